"""Reading foreign files: weights and plain data only, whatever else a file may hold."""

import hashlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from difiqa_hf.conversion.file_types import check_type, file_type

StateDict = dict[str, Tensor]


class _Inert:
    """Takes whatever unpickling gives it and keeps nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


# What training frameworks pickle beside the weights -> what takes its place: nothing of theirs is needed, or run.
TRAINING_CLASSES = {
    "argparse.Namespace": _Inert,
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint": _Inert,
    "pytorch_lightning.utilities.parsing.AttributeDict": dict,
}


def read_checkpoint(path: str | Path) -> Any:
    """The content of a safetensors file or of one that `torch.save` wrote, on the CPU; never runs code of the file.

    Raises:
        ValueError: for anything else, and for pickles that name other than tensors and plain data; with what was found.
    """
    path = Path(path)
    check_type(path, "torch", "safetensors")
    damaged = f"{path} is damaged, or no checkpoint ({path.stat().st_size} bytes); fetch it again"
    stand_ins = [(stand_in, name) for name, stand_in in TRAINING_CLASSES.items()]
    try:
        if file_type(path) == "safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(stand_ins):
            # mapped, not read: a large checkpoint with optimiser states costs no memory for what is not used
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global)\s+([\w.]+\.\w+)", str(error))
        if named is None:
            raise ValueError(damaged) from error
        raise ValueError(
            f"{path} holds more than weights and plain data, so it was not loaded and nothing of it was run: it names "
            f"{named[1]}. If it is a model saved whole, save its weights where the authors' code is installed, "
            "torch.save(model.state_dict(), 'weights.pth'), and convert those"
        ) from error
    except Exception as error:  # damaged bytes may raise anything
        raise ValueError(damaged) from error


def is_state_dict(value: Any) -> bool:
    """Whether this is a dictionary of named tensors."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())


def without_prefix(state: StateDict, prefix: str) -> StateDict:
    """The entries that begin with `prefix`, without it."""
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def is_counter(key: str) -> bool:
    """Whether this is BatchNorm's training counter, which old files lack and no output depends on."""
    return key.endswith("num_batches_tracked")


def check_fit(found: StateDict, expected: StateDict) -> None:
    """Refuse a state dict that is not what a network needs: every name, no other, shapes, finite floating point.

    Args:
        found: of the file; only BatchNorm's counters may be missing.
        expected: of the network, under the same names.

    Raises:
        ValueError: with the numbers and first names of what is wrong.
    """
    problems = {
        "missing": [key for key in expected if key not in found and not is_counter(key)],
        "not of this network": [key for key in found if key not in expected],
    }
    if not any(problems.values()):
        both = [key for key in expected if key in found]
        problems["wrong"] = [f"{key} {fault}" for key in both if (fault := _misfit(found[key], expected[key]))]
    if any(problems.values()):
        raise ValueError("; ".join(f"{what} ({len(keys)}): {first(keys)}" for what, keys in problems.items() if keys))


def _misfit(found: Tensor, expected: Tensor) -> str:
    """What is wrong with a tensor, "" if nothing is."""
    if found.shape != expected.shape:
        return f"has shape {tuple(found.shape)}, not {tuple(expected.shape)}"
    if found.layout != torch.strided or found.is_quantized:
        return f"is {found.layout if found.layout != torch.strided else 'quantised'}, not plain numbers"
    if found.is_floating_point() != expected.is_floating_point() or found.is_complex():
        kind = "floating point" if expected.is_floating_point() else "a whole number"
        return f"holds {str(found.dtype).removeprefix('torch.')}, not {kind}"
    if not found.float().isfinite().all():
        return "is not finite"
    return ""


def first(names: list, count: int = 3) -> str:
    """The first few, for error messages."""
    return ", ".join(map(str, names[:count])) + (", …" if len(names) > count else "")


def describe(content: Any) -> str:
    """What a file holds, for error messages: kind, size and first names."""
    if is_state_dict(content):
        return f"{len(content)} tensors ({first(list(content))})"
    if isinstance(content, dict):
        return f"a dictionary with {len(content)} entries" + (f" ({first(list(content), 6)})" if content else "")
    return f"a single {type(content).__name__}"


def sha256(path: str | Path) -> str:
    """64 hex digits of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

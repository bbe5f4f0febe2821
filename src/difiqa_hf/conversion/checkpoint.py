"""Reading foreign files: weights and plain data only, whatever else a file may hold."""

import hashlib
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

StateDict = dict[str, Tensor]

# first bytes of what people have instead of a checkpoint -> what it is
NOT_A_CHECKPOINT = {
    b"<": "a web page: the download stopped at the site's own page, fetch the file in a browser",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with git lfs pull",
    b"\x08": "an ONNX model: convert it with the kind insightface-onnx",
    b"Rar!": "an archive: unpack it first",
    b"7z\xbc\xaf": "an archive: unpack it first",
    b"\x1f\x8b": "an archive: unpack it first",
}


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
    """The content of a .safetensors file or of one that `torch.save` wrote, on the CPU; never runs code of the file.

    Raises:
        ValueError: for anything else, and for pickles that name other than tensors and plain data; with what was found.
    """
    path = Path(path)
    with path.open("rb") as file:
        start = file.read(64)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file: {error}") from error
    for magic, what in NOT_A_CHECKPOINT.items():
        if start.lstrip().startswith(magic):
            raise ValueError(f"{path} is {what}")
    stand_ins = [(stand_in, name) for name, stand_in in TRAINING_CLASSES.items()]
    try:
        with torch.serialization.safe_globals(stand_ins):
            # mapped, not read: a large checkpoint with optimiser states costs no memory for what is not used
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(
            r"unsupported global[^,]*? (was|whose) |[^\n]*(?=\s*Check the documentation)", str(error), re.I
        )
        reason = named[0].removesuffix("was ").removesuffix("whose ") if named else str(error)
        raise ValueError(
            f"{path} holds more than weights and plain data, so it was not loaded and nothing of it was run: "
            f"{reason.strip()[:300]}"
        ) from error
    except (RuntimeError, EOFError, KeyError, AttributeError, TypeError, IndexError) as error:
        raise ValueError(
            f"{path} is no file of torch.save, or damaged ({path.stat().st_size} bytes): {error}"
        ) from error


def is_state_dict(value: Any) -> bool:
    """Whether this is a dictionary of named tensors."""
    if not isinstance(value, dict) or not value:
        return False
    return all(isinstance(key, str) and isinstance(item, Tensor) for key, item in value.items())


def without_prefix(state: StateDict, *prefixes: str) -> StateDict:
    """The entries that begin with the first of the prefixes that any entry has, without it; {} if none has."""
    for prefix in prefixes:
        found = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if found:
            return found
    return {}


def describe(content: Any) -> str:
    """What a file holds, for error messages: kind, size and first names."""
    if is_state_dict(content):
        return f"{len(content)} tensors, the first are {', '.join(list(content)[:4])}"
    if isinstance(content, dict):
        return f"a dictionary with {len(content)} entries, the first are {', '.join(map(str, list(content)[:6]))}"
    return f"a {type(content).__name__}"


def sha256(path: str | Path) -> str:
    """64 hex digits of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

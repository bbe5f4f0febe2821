"""What every published state dict goes through: recognise, rename, load strictly, write, compare."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, describe, is_state_dict, read_checkpoint, sha256, without_prefix
from difiqa_hf.conversion.result import Conversion, Origin, largest_difference, probe_images, write_card
from difiqa_hf.image_processing import FaceImageProcessor

EMBEDDER_USAGE = """from difiqa_hf import FaceImageProcessor
from difiqa_hf.recognizers import embed, load_recognizer

recognizer = load_recognizer("{folder}")
embed(recognizer, FaceImageProcessor()(["face_aligned_112.jpg"]).pixel_values)  # (1, dim), not L2-normalised"""
REGRESSOR_USAGE = """from difiqa_hf import FaceImageProcessor, create_method

method = create_method("difiqa-r", checkpoint="{folder}")
method(FaceImageProcessor()(["face_aligned_112.jpg"]).pixel_values)  # higher is better"""


def plain(content: Any) -> StateDict | None:
    """A bare state dict, perhaps of a network wrapped for several GPUs."""
    if not is_state_dict(content):
        return None
    wrapped = without_prefix(content, "module.")
    return wrapped if len(wrapped) == len(content) else content  # a stray key must not vanish


@dataclass(frozen=True)
class Family:
    """A converter for one family of published checkpoints.

    Attributes:
        kind: as in `KINDS`.
        origin: for the card.
        markers: names of tensors that the family has.
        foreign: names of tensors that it has not, where another family has the same markers.
        build: official state dict -> fresh model of ours of the size that its shapes tell.
        unwrap: content of the file -> official state dict, None if the file is something else.
        translate, restore: official state dict <-> ours; identity where we use the official names.
        usage: for the card; {folder} is the folder.
    """

    kind: str
    origin: Origin
    markers: tuple[str, ...]
    build: Callable[[StateDict], PreTrainedModel]
    foreign: tuple[str, ...] = ()
    unwrap: Callable[[Any], StateDict | None] = plain
    translate: Callable[[StateDict], StateDict] = dict
    restore: Callable[[StateDict], StateDict] = dict
    usage: str = field(default=EMBEDDER_USAGE, repr=False)

    def state_of(self, content: Any) -> StateDict | None:
        """The official state dict in a file's content, None if it is not of this family."""
        state = self.unwrap(content)
        if not state or not all(key in state for key in self.markers) or any(key in state for key in self.foreign):
            return None
        return state

    def read(self, path: Path) -> tuple[PreTrainedModel, StateDict]:
        """Model with the file's weights, in float32 and eval mode, and the official state dict."""
        content = read_checkpoint(path)
        state = self.state_of(content)
        if state is None:
            raise ValueError(
                f"{path} is not {self.origin.title}: that has {', '.join(self.markers)}; "
                f"found {describe(content)}{suggestion(content, self.kind)}"
            )
        try:
            model = self.build(state)
            load_strictly(model, self.translate(state))
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} looks like {self.origin.title} but does not fit: {error}") from error
        return model.requires_grad_(False).eval(), state

    def __call__(self, path: Path, output: Path) -> Conversion:
        """Convert `path` into the folder `output`."""
        model, state = self.read(path)
        model.save_pretrained(output)
        FaceImageProcessor().save_pretrained(output)
        written = type(model).from_pretrained(output, dtype=torch.float32).eval()
        result = Conversion(
            self.kind,
            output,
            len(state),
            largest_difference(state, only_of(state, self.restore(written.state_dict()))),
            (outputs(model) - outputs(written)).abs().max().item(),
            "the file's weights in memory against the written folder",
            sha256(path),
        )
        write_card(output / "README.md", path, self.origin, result, self.usage.format(folder=output.name))
        return result


def load_strictly(model: PreTrainedModel, state: StateDict) -> None:
    """All tensors, no others; only BatchNorm's training counter, which old files lack, may be missing."""
    counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    model.load_state_dict(counters | state)


def only_of(source: StateDict, result: StateDict) -> StateDict:
    """`result` without BatchNorm's training counters that `source` lacks."""
    return {key: value for key, value in result.items() if key in source or not key.endswith("num_batches_tracked")}


@torch.no_grad()
def outputs(model: PreTrainedModel) -> Tensor:
    """Embeddings and qualities of the probe, as far as the model has them, side by side."""
    output = model(probe_images())
    found = [getattr(output, name, None) for name in ("embeddings", "quality")]
    return torch.cat([value.reshape(len(value), -1).float() for value in found if value is not None], 1)


def suggestion(content: Any, kind: str) -> str:
    """ "; this looks like …" if another family recognises the content."""
    from difiqa_hf.conversion.registry import KINDS, converter

    for other in KINDS:
        candidate = None if other in (kind, "insightface-onnx") else converter(other)
        if isinstance(candidate, Family) and candidate.state_of(content) is not None:
            return f"; this looks like {candidate.origin.title}, kind {other}"
    return ""

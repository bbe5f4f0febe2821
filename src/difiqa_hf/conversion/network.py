"""A converted network on disk: how it is written, probed and used."""

from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, is_counter
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.inference import probe_images

SAME_CODE = "this package's network with the file's weights, before and after writing; the authors' code did not run"

EMBEDDER_USAGE = """from difiqa_hf import FaceImageProcessor
from difiqa_hf.recognizers import embed, load_recognizer

recognizer = load_recognizer("{folder}")
embed(recognizer, FaceImageProcessor()(["face_aligned_112.jpg"]).pixel_values)  # (1, dim), not L2-normalised"""


METHOD_USAGE = """from difiqa_hf import FaceImageProcessor, create_method

method = create_method("{name}", checkpoint="{{folder}}")
method(FaceImageProcessor()(["face_aligned_112.jpg"]).pixel_values)  # higher is better"""


def usage(method: str | None) -> str:
    """For the card: how a quality method takes the folder, or a recogniser is loaded from it; {folder} is left open."""
    return METHOD_USAGE.format(name=method) if method else EMBEDDER_USAGE


def fill(model: PreTrainedModel, state: StateDict) -> PreTrainedModel:
    """`model` with weights that `check_fit` found right, in eval mode; half precision becomes float32 on the way."""
    counters = {key: value for key, value in model.state_dict().items() if is_counter(key)}
    model.load_state_dict(counters | state)
    return model.requires_grad_(False).eval()


def write_network(model: PreTrainedModel, folder: Path, method: str | None = None) -> PreTrainedModel:
    """Write configuration, weights and processor; returns what loads from the folder, in float32 and eval mode.

    The configuration names the quality `method`, if the network is for one, so that no other takes it.
    """
    if method:
        model.config.quality_method = method
    model.save_pretrained(folder)
    FaceImageProcessor().save_pretrained(folder)
    return type(model).from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def outputs(model: PreTrainedModel) -> Tensor:
    """Embeddings and qualities of the probe, as far as the model has them, side by side."""
    output = model(probe_images())
    found = [getattr(output, name, None) for name in ("embeddings", "quality")]
    return torch.cat([value.reshape(len(value), -1).float() for value in found if value is not None], 1)


def probe_difference(model: PreTrainedModel, written: PreTrainedModel) -> float:
    """Largest absolute difference of the outputs of two networks."""
    return (outputs(model) - outputs(written)).abs().max().item()

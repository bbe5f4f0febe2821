"""The released DifFIQA checkpoint (LSIbabnikz/DifFIQA, `model.pt`) -> denoiser and pipeline of variant "released"."""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import DDPMScheduler
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, check_fit, describe, is_state_dict, sha256, without_prefix
from difiqa_hf.conversion.family import AS_PUBLISHED, of_file
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.network import SAME_CODE
from difiqa_hf.conversion.registry import suggestion
from difiqa_hf.conversion.result import Conversion, Converter, Origin, largest_difference, write_card
from difiqa_hf.conversion.shapes import numbers, shape_of
from difiqa_hf.diffusion import alphas_cumprod
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.inference import probe_images
from difiqa_hf.models.unet_released import ReleasedUNet2DModel

RESNET = [
    ("mlp.1", "time_projection"),
    ("block1.proj", "conv1"),
    ("block1.norm", "norm1"),
    ("block2.proj", "conv2"),
    ("block2.norm", "norm2"),
    ("res_conv", "shortcut"),
]
LINEAR_ATTENTION = [
    ("fn.norm.g", "norm.gain"),
    ("fn.fn.to_qkv", "to_qkv"),
    ("fn.fn.to_out.0", "to_out"),
    ("fn.fn.to_out.1.g", "norm_out.gain"),
]
ATTENTION = [("fn.norm.g", "norm.gain"), ("fn.fn.to_qkv", "to_qkv"), ("fn.fn.to_out", "to_out")]
STAGE = {"0": ("resnet1", RESNET), "1": ("resnet2", RESNET), "2": ("attention", LINEAR_ATTENTION)}


def _unet_names() -> list[tuple[str, str]]:
    """Every module of the network, published name first."""
    pairs = [
        ("init_conv", "conv_in"),
        ("time_mlp", "time_embedding"),
        ("downs.{i}.3", "down_blocks.{i}.resample"),
        ("ups.{i}.3", "up_blocks.{i}.resample"),
        ("final_conv", "conv_out"),
    ]
    modules = [("mid_block1", "mid_resnet1", RESNET), ("mid_attn", "mid_attention", ATTENTION)]
    modules += [("mid_block2", "mid_resnet2", RESNET), ("final_res_block", "resnet_out", RESNET)]
    for foreign, ours in (("downs", "down_blocks"), ("ups", "up_blocks")):
        modules += [(f"{foreign}.{{i}}.{j}", f"{ours}.{{i}}.{name}", parts) for j, (name, parts) in STAGE.items()]
    pairs += [(f"{module}.{part}", f"{ours}.{name}") for module, ours, parts in modules for part, name in parts]
    return pairs


UNET_KEYS = KeyMap(_unet_names(), "the released DifFIQA UNet")

ORIGIN = Origin(
    title="DifFIQA as released (diffusion model)",
    url="https://github.com/LSIbabnikz/DifFIQA",
    licence="MIT",
    paper="Babnik et al., DifFIQA, IJCB 2023",
    input="",  # two networks: `NOTES`
)
NOTES = """The UNet was trained with RGB in [-1, 1], 112 x 112, which the pipeline makes of aligned faces in any form.
The recogniser's own colour order and range stand in `recognizer/config.json`, and it converts the pixel values itself.

Weights: {weights}. Recogniser inside: {inside}."""
USAGE = """from difiqa_hf import DifFIQAPipeline

pipe = DifFIQAPipeline.from_pretrained("{folder}"RECOGNIZER)
pipe(["face_aligned_112.jpg"], seed=0).quality  # variant "released": the authors' five terms"""

MARKERS = {"alphas_cumprod", "model.init_conv.weight"}
# which weights -> the part of the checkpoint, and what stands before the names of the whole diffusion process there
WEIGHTS = {"raw": ("model", ""), "ema": ("ema", "ema_model.")}


def published_unet(content: Any, weights: str = "raw") -> StateDict:
    """The UNet's published state dict in the content of a checkpoint {step, model, opt, ema, scaler}.

    Args:
        content: what the file holds.
        weights: "raw", which the released inference uses, or "ema", the moving average that the paper describes.

    Raises:
        ValueError: if it is another checkpoint, or of another noise schedule.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(WEIGHTS)}, found {weights!r}")
    part, prefix = WEIGHTS[weights]
    process = content.get(part) if isinstance(content, dict) else None
    found = process.keys() if is_state_dict(process) else set()
    lacking = sorted(prefix + key for key in MARKERS if prefix + key not in found)
    if lacking:
        inside = f", its {part!r} {describe(process)}" if process is not None else ""
        raise ValueError(
            f"this is not {ORIGIN.title}: that has {part!r} with {' and '.join(lacking)}; found {describe(content)}"
            f"{inside}{suggestion(content, 'difiqa')}"
        )
    check_schedule(process[f"{prefix}alphas_cumprod"])
    return without_prefix(process, f"{prefix}model.")


def check_schedule(found: Tensor) -> None:
    """Refuse another noise schedule than the published one: its weights would be right, and all scores wrong."""
    expected = alphas_cumprod(make_scheduler())
    check_fit({"alphas_cumprod": found}, {"alphas_cumprod": expected})
    difference = (found.double() - expected).abs().max()
    if difference > 1e-6:
        raise ValueError(
            f"the schedule of the file is not the cosine one over {len(expected)} steps: alphas_cumprod runs from "
            f"{found[0]:.6f} to {found[-1]:.3g} and differs by up to {difference:.3g}"
        )


def make_scheduler() -> DDPMScheduler:
    """The released schedule: cosine, x0 predicted."""
    return DDPMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2")


def network(content: Any, weights: str) -> tuple[ReleasedUNet2DModel, StateDict]:
    """A UNet with the published weights, of the size that their shapes tell, and their state dict."""
    state = published_unet(content, weights)
    try:
        dim = shape_of(state, "init_conv.weight", 4)[0]
        stages = 1 + max((stage for (stage,) in numbers(state, r"downs\.(\d+)\..+")), default=-1)
        mults = [shape_of(state, f"downs.{i}.3.weight", 4)[0] // dim for i in range(stages)]
        if not mults:
            raise ValueError("no tensor begins with downs.")
        unet = ReleasedUNet2DModel(dim=dim, dim_mults=mults)
        check_fit(state, UNET_KEYS.backward(unet.state_dict()))
    except ValueError as error:
        raise ValueError(f"this looks like {ORIGIN.title} but does not fit, {AS_PUBLISHED}: {error}") from error
    unet.load_state_dict(UNET_KEYS.forward(state))
    return unet.requires_grad_(False).eval(), state


def convert(path: Path, output: Path, weights: str = "raw", recognizer: PreTrainedModel | None = None) -> Conversion:
    """Convert `path` into a pipeline folder of variant "released".

    Args:
        path, output: file and folder.
        weights: "raw" or "ema", see `published_unet`.
        recognizer: M, to be stored with it (as released: insightface's CosFace R100); without, users name one when
            they load the pipeline.
    """
    unet, state = of_file(path, network, weights)
    written = write_pipeline(unet, recognizer, output)
    tensor_difference = largest_difference(state, UNET_KEYS.backward(written.state_dict()))
    probe = probe_images(1, 32)  # the network is convolutional: a small image shows as much as a large one
    with torch.no_grad():
        difference = (unet(probe, 4).sample - written(probe, 4).sample).abs().max().item()
    result = Conversion(
        "difiqa", output, len(state), tensor_difference, difference, f"{SAME_CODE}; 32 x 32, t = 5", sha256(path)
    )
    usage, inside = USAGE.replace("RECOGNIZER", ", recognizer=…"), "none: name one when loading"
    if recognizer is not None:
        usage = USAGE.replace("RECOGNIZER", "")
        inside = f"{type(recognizer).__name__}, under its own licence, which the one above does not replace"
    write_card(path, ORIGIN, result, usage, NOTES.format(weights=weights, inside=inside))
    return result


def write_pipeline(unet: ReleasedUNet2DModel, recognizer: PreTrainedModel | None, folder: Path) -> ReleasedUNet2DModel:
    """The folder of a pipeline; returns the UNet that loads from it."""
    unet.save_pretrained(folder / "unet")
    make_scheduler().save_pretrained(folder / "scheduler")
    FaceImageProcessor().save_pretrained(folder / "image_processor")
    if recognizer is not None:
        recognizer.save_pretrained(folder / "recognizer")
    (folder / "model_index.json").write_text(json.dumps(model_index(recognizer), indent=2) + "\n")
    return ReleasedUNet2DModel.from_pretrained(folder / "unet").eval()


def model_index(recognizer: PreTrainedModel | None) -> dict:
    """What `DifFIQAPipeline.save_pretrained` would write; the pipeline itself belongs to a higher layer."""
    own = [None, None] if recognizer is None else [type(recognizer).__module__, type(recognizer).__name__]
    return {
        "_class_name": "DifFIQAPipeline",
        "_diffusers_version": diffusers.__version__,
        "unet": ["difiqa_hf.models.unet_released", "ReleasedUNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "image_processor": ["difiqa_hf.image_processing", "FaceImageProcessor"],
        "recognizer": own,
        "variant": "released",
        "timestep": 5,
        "num_repeats": 10,
        "flip": True,
        "forward": True,
        "reference_quantiles": None,
    }


def recognises(content: Any) -> bool:
    """Whether this is the content of a checkpoint of the released training."""
    return isinstance(content, dict) and is_state_dict(content.get("model")) and content["model"].keys() >= MARKERS


CONVERTERS = {"difiqa": Converter(ORIGIN.title, convert, recognises)}

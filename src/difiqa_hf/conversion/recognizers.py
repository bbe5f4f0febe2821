"""Released recognisers in foreign layouts -> our models; the layout is recognised by its keys."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, is_state_dict, read_checkpoint, sha256, without_prefix
from difiqa_hf.conversion.family import EMBEDDER_USAGE, outputs
from difiqa_hf.conversion.result import Conversion, Origin, write_card
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.models.modeling_edgenext import EdgeNeXtRecognizer
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetRecognizer


@dataclass(frozen=True)
class Layout:
    """One foreign checkpoint layout.

    Attributes:
        name: what the error messages call it.
        markers: keys that together only this layout has.
        model_class: our class of the network.
        config: arguments of its configuration: architecture and input contract.
        translate: foreign state dict -> our names and shapes.
        origin: for the card.
    """

    name: str
    markers: tuple[str, ...]
    model_class: type[PreTrainedModel]
    config: dict
    translate: Callable[[StateDict], StateDict]
    origin: Origin


def rename(state: StateDict, modules: dict[str, str]) -> StateDict:
    """Replace module names (a key without its last part); what is not in `modules` stays and is refused on loading."""
    renamed = {}
    for key, value in state.items():
        module, _, parameter = key.rpartition(".")
        renamed[f"{modules.get(module, module)}.{parameter}"] = value
    return renamed


def linear_head(state: StateDict) -> StateDict:
    """The embedding layer as a linear one with bias, where it is a 1x1 convolution with or without."""
    weight = state["fc.weight"].flatten(1)
    return {"fc.bias": torch.zeros(len(weight)), **state, "fc.weight": weight}


def translate_webface600k(state: StateDict) -> StateDict:
    """0 and 1 are the stem, 2 to 16 blocks, 17 and 18 the last convolutions; in each, 0 convolves, 1 is the PReLU."""
    modules = {"features": "norm"}
    for i, part in {"0": "stem.0", "1": "stem.1", "17": "last", "18": "reduce"}.items():
        modules |= {f"layers.{i}.0": f"{part}.conv", f"layers.{i}.1": f"{part}.activation"}
    for i in range(15):
        for j, part in enumerate(("expand", "depthwise", "project")):
            foreign, ours = f"layers.{i + 2}.layers.{j}", f"blocks.{i}.{part}"
            modules |= {f"{foreign}.0": f"{ours}.conv", f"{foreign}.1": f"{ours}.activation"}
    return rename(state, modules)


def translate_relu6(state: StateDict) -> StateDict:
    """Torchvision's MobileNetV2 names in the blocks, the authors' own around them."""
    modules = {
        "conv1.0": "stem.0.conv",
        "conv1.1": "stem.0.norm",
        "dw_conv.depthwise": "stem.1.conv",
        "dw_conv.bn1": "stem.1.norm",
        "dw_conv.pointwise": "stem.2.conv",
        "dw_conv.bn2": "stem.2.norm",
        "conv2.0": "last.conv",
        "conv2.1": "last.norm",
        "gdconv.depthwise": "reduce.conv",
        "gdconv.bn": "reduce.norm",
        "conv3": "fc",
        "bn": "norm",
    }
    parts = {"0.0": "expand.conv", "0.1": "expand.norm", "1.0": "depthwise.conv", "1.1": "depthwise.norm"}
    parts |= {"2": "project.conv", "3": "project.norm"}
    modules |= {f"features.{i}.conv.{j}": f"blocks.{i}.{part}" for i in range(15) for j, part in parts.items()}
    return linear_head(rename(state, modules))


def translate_casia(state: StateDict) -> StateDict:
    """Three layers per unit: convolution, BatchNorm, PReLU; in the blocks they are numbered through."""
    units = {"conv1": "stem.0", "dw_conv1": "stem.1", "conv2": "last", "linear7": "reduce"}
    layers = {"conv": "conv", "bn": "norm", "prelu": "activation"}
    modules = {f"{unit}.{layer}": f"{units[unit]}.{layers[layer]}" for unit in units for layer in layers}
    modules |= {"linear1.conv": "fc", "linear1.bn": "norm"}
    numbered = [f"{part}.{layer}" for part in ("expand", "depthwise", "project") for layer in layers.values()]
    modules |= {f"blocks.{i}.conv.{j}": f"blocks.{i}.{part}" for i in range(15) for j, part in enumerate(numbered)}
    return linear_head(rename(state, modules))


LAYOUTS = (
    Layout(
        name="insightface w600k_mbf (MobileFaceNet, BatchNorm folded)",
        markers=("layers.2.layers.0.0.weight", "layers.18.1.weight", "fc.weight"),
        model_class=MobileFaceNetRecognizer,
        config=dict(
            stem_width=128,
            stem_groups=64,
            stages=[(1, 128, 5, 2), (2, 256, 1, 2), (1, 256, 6, 1), (2, 256, 1, 2), (1, 256, 2, 1)],
            head="flatten",
            embedding_size=512,
            batch_norm=False,
        ),
        translate=translate_webface600k,
        origin=Origin(
            title="MobileFaceNet w600k_mbf (InsightFace)",
            url="https://github.com/deepinsight/insightface/tree/master/model_zoo",
            licence="models for non-commercial research only",
            paper="Deng et al., ArcFace, CVPR 2019",
        ),
    ),
    Layout(
        name="foamliu/MobileFaceNet (ReLU6, ImageNet normalisation)",
        markers=("dw_conv.pointwise.weight", "gdconv.depthwise.weight", "conv3.weight"),
        model_class=MobileFaceNetRecognizer,
        config=dict(
            stem_pointwise=True,
            stem_activation="relu",  # ReLU6 here as well lowers the cosine to the golden embeddings to .9996
            activation="relu6",
            image_mean=[255 * 0.485, 255 * 0.456, 255 * 0.406],
            image_std=[255 * 0.229, 255 * 0.224, 255 * 0.225],
        ),
        translate=translate_relu6,
        origin=Origin(
            title="MobileFaceNet (foamliu)",
            url="https://github.com/foamliu/MobileFaceNet",
            licence="Apache-2.0",
            paper="Chen et al., MobileFaceNets, CCBR 2018",
            input="RGB, ImageNet mean and standard deviation",
        ),
    ),
    Layout(
        name="Xiaoccer/MobileFaceNet_Pytorch (112 x 96)",
        markers=("dw_conv1.prelu.weight", "linear7.conv.weight", "linear1.conv.weight"),
        model_class=MobileFaceNetRecognizer,
        config=dict(crop=[0, 8, 112, 96], image_std=[128.0, 128.0, 128.0]),
        translate=translate_casia,
        origin=Origin(
            title="MobileFaceNet (Xiaoccer)",
            url="https://github.com/Xiaoccer/MobileFaceNet_Pytorch",
            licence="none stated by the authors",
            paper="Chen et al., MobileFaceNets, CCBR 2018",
            input="RGB, (x - 127.5) / 128, columns 8 to 104",
        ),
    ),
    Layout(
        name="EdgeFace-XS (timm's edgenext_x_small)",
        markers=("stem.0.weight", "stages.1.blocks.2.xca.temperature", "head.fc.weight"),
        model_class=EdgeNeXtRecognizer,
        config={},
        translate=dict,  # our names are timm's
        origin=Origin(
            title="EdgeFace-XS",
            url="https://github.com/otroshi/edgeface",
            licence="BSD-3-Clause code; trained on WebFace12M: treat as research only",
            paper="George et al., EdgeFace, IEEE TBIOM 2024",
        ),
    ),
)


def foreign_state(content) -> StateDict:
    """The state dict in a file's content: bare, or where the authors' training scripts put it."""
    while isinstance(content, dict) and not is_state_dict(content):
        content = next((content[key] for key in ("net_state_dict", "state_dict", "model") if key in content), None)
    state = content or {}
    return without_prefix(state, "module.") or state


def read_recognizer(path: str | Path) -> tuple[PreTrainedModel, Layout]:
    """Model and layout of a released recogniser, in float32 and eval mode; errors as in `convert_recognizer`."""
    state = foreign_state(read_checkpoint(path))
    layout = next((layout for layout in LAYOUTS if all(key in state for key in layout.markers)), None)
    if layout is None:
        raise ValueError(
            f"{path} holds no known recogniser: {len(state)} keys, the first are {sorted(state)[:3]}; "
            f"known layouts: {', '.join(layout.name for layout in LAYOUTS)}"
        )
    model = layout.model_class(layout.model_class.config_class(**layout.config))
    try:
        model.load_state_dict(layout.translate(state))  # copies half-precision storage into float32 parameters
    except RuntimeError as error:
        raise ValueError(f"{path} looks like {layout.name} but does not fit: {error}") from error
    return model.eval(), layout


def convert_recognizer(path: str | Path) -> PreTrainedModel:
    """Read a released recogniser (.safetensors, or what torch.save wrote) into our model, in float32 and eval mode.

    Raises:
        ValueError: for an unknown layout, a missing or unexpected key or a wrong shape, with what was found.
    """
    return read_recognizer(path)[0]


def convert(path: Path, output: Path) -> Conversion:
    """Convert `path` into the folder `output`."""
    model, layout = read_recognizer(path)
    model.save_pretrained(output)
    FaceImageProcessor().save_pretrained(output)
    written = type(model).from_pretrained(output, dtype=torch.float32).eval()
    difference = (outputs(model) - outputs(written)).abs().max().item()
    probe = "the file's weights in memory against the written folder"
    result = Conversion("recognizer", output, len(model.state_dict()), None, difference, probe, sha256(path))
    write_card(output / "README.md", path, layout.origin, result, EMBEDDER_USAGE.format(folder=output.name))
    return result


CONVERTERS = {"recognizer": convert}

"""Released recognisers in foreign layouts -> our models; the layout is recognised by its keys."""

from collections.abc import Callable
from pathlib import Path

from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Choice, Family, of_file
from difiqa_hf.conversion.keymap import HeadKeyMap, KeyMap
from difiqa_hf.conversion.result import Origin
from difiqa_hf.models.modeling_edgenext import EdgeNeXtConfig, EdgeNeXtRecognizer
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer

PARTS = ("expand", "depthwise", "project")  # of a block of MobileFaceNet
# where a training script may have put the state dict, besides the file itself
WITHIN = ("", "net_state_dict", "state_dict", "model")


def mobilefacenet(**config) -> Callable[[StateDict], MobileFaceNetRecognizer]:
    """`Family.build` of a network that comes in one size only."""
    return lambda state: MobileFaceNetRecognizer(MobileFaceNetConfig(**config))


def webface600k_names() -> list[tuple[str, str]]:
    """0 and 1 are the stem, 2 to 16 blocks, 17 and 18 the last convolutions; in each, 0 convolves, 1 is the PReLU."""
    units = {"layers.0": "stem.0", "layers.1": "stem.1", "layers.17": "last", "layers.18": "reduce"}
    units |= {f"layers.{i + 2}.layers.{j}": f"blocks.{i}.{part}" for i in range(15) for j, part in enumerate(PARTS)}
    layers = {"0": "conv", "1": "activation"}
    pairs = [(f"{unit}.{layer}", f"{units[unit]}.{layers[layer]}") for unit in units for layer in layers]
    return [*pairs, ("fc", "fc"), ("features", "norm")]


def relu6_names() -> list[tuple[str, str]]:
    """Torchvision's MobileNetV2 names in the blocks, the authors' own around them."""
    parts = {"0.0": "expand.conv", "0.1": "expand.norm", "1.0": "depthwise.conv", "1.1": "depthwise.norm"}
    parts |= {"2": "project.conv", "3": "project.norm"}
    return [
        ("conv1.0", "stem.0.conv"),
        ("conv1.1", "stem.0.norm"),
        ("dw_conv.depthwise", "stem.1.conv"),
        ("dw_conv.bn1", "stem.1.norm"),
        ("dw_conv.pointwise", "stem.2.conv"),
        ("dw_conv.bn2", "stem.2.norm"),
        *((f"features.{{i}}.conv.{layer}", f"blocks.{{i}}.{part}") for layer, part in parts.items()),
        ("conv2.0", "last.conv"),
        ("conv2.1", "last.norm"),
        ("gdconv.depthwise", "reduce.conv"),
        ("gdconv.bn", "reduce.norm"),
        ("conv3", "fc"),
        ("bn", "norm"),
    ]


def casia_names() -> list[tuple[str, str]]:
    """Three layers per unit: convolution, BatchNorm, PReLU; in the blocks they are numbered through."""
    units = {"conv1": "stem.0", "dw_conv1": "stem.1", "conv2": "last", "linear7": "reduce"}
    layers = {"conv": "conv", "bn": "norm", "prelu": "activation"}
    pairs = [(f"{unit}.{layer}", f"{units[unit]}.{layers[layer]}") for unit in units for layer in layers]
    numbered = enumerate(f"{part}.{layer}" for part in PARTS for layer in layers.values())
    pairs += [(f"blocks.{{i}}.conv.{j}", f"blocks.{{i}}.{part}") for j, part in numbered]
    return [*pairs, ("linear1.conv", "fc"), ("linear1.bn", "norm")]


WEBFACE600K = Family(
    kind="recognizer",
    origin=Origin(
        title="MobileFaceNet w600k_mbf (InsightFace, BatchNorm folded)",
        url="https://github.com/deepinsight/insightface/tree/master/model_zoo",
        licence="models for non-commercial research only",
        paper="Deng et al., ArcFace, CVPR 2019",
    ),
    markers=("layers.2.layers.0.0.weight", "layers.18.1.weight", "fc.weight"),
    within=WITHIN,
    build=mobilefacenet(
        stem_width=128,
        stem_groups=64,
        stages=[(1, 128, 5, 2), (2, 256, 1, 2), (1, 256, 6, 1), (2, 256, 1, 2), (1, 256, 2, 1)],
        head="flatten",
        embedding_size=512,
        batch_norm=False,
    ),
    keys=KeyMap(webface600k_names(), "w600k_mbf"),
)
RELU6 = Family(
    kind="recognizer",
    origin=Origin(
        title="MobileFaceNet of foamliu (ReLU6)",
        url="https://github.com/foamliu/MobileFaceNet",
        licence="Apache-2.0",
        paper="Chen et al., MobileFaceNets, CCBR 2018",
        input="RGB, ImageNet mean and standard deviation, 112 x 112",
    ),
    markers=("dw_conv.pointwise.weight", "gdconv.depthwise.weight", "conv3.weight"),
    within=WITHIN,
    build=mobilefacenet(
        stem_pointwise=True,
        stem_activation="relu",  # ReLU6 here as well lowers the cosine to the golden embeddings to .9996
        activation="relu6",
        image_mean=[255 * 0.485, 255 * 0.456, 255 * 0.406],
        image_std=[255 * 0.229, 255 * 0.224, 255 * 0.225],
    ),
    keys=HeadKeyMap(relu6_names(), "MobileFaceNet of foamliu", "fc", convolution=True, bias=True),
)
CASIA = Family(
    kind="recognizer",
    origin=Origin(
        title="MobileFaceNet of Xiaoccer (112 x 96)",
        url="https://github.com/Xiaoccer/MobileFaceNet_Pytorch",
        licence="none stated by the authors",
        paper="Chen et al., MobileFaceNets, CCBR 2018",
        input="RGB, (x - 127.5) / 128, columns 8 to 104 of 112 x 112",
    ),
    markers=("dw_conv1.prelu.weight", "linear7.conv.weight", "linear1.conv.weight"),
    within=WITHIN,
    build=mobilefacenet(crop=[0, 8, 112, 96], image_std=[128.0, 128.0, 128.0]),
    keys=HeadKeyMap(casia_names(), "MobileFaceNet of Xiaoccer", "fc", convolution=True, bias=False),
)
EDGEFACE = Family(
    kind="recognizer",
    origin=Origin(
        title="EdgeFace-XS (timm's edgenext_x_small)",
        url="https://github.com/otroshi/edgeface",
        licence="BSD-3-Clause code; trained on WebFace12M: treat as research only",
        paper="George et al., EdgeFace, IEEE TBIOM 2024",
    ),
    markers=("stem.0.weight", "stages.1.blocks.2.xca.temperature", "head.fc.weight"),
    within=WITHIN,
    build=lambda state: EdgeNeXtRecognizer(EdgeNeXtConfig()),
)
RECOGNIZER = Choice("one of the small recognisers", (WEBFACE600K, RELU6, CASIA, EDGEFACE))
CONVERTERS = {"recognizer": RECOGNIZER}


def convert_recognizer(path: str | Path) -> PreTrainedModel:
    """Read a released recogniser (safetensors, or what torch.save wrote) into our model, in float32 and eval mode.

    Raises:
        ValueError: for an unknown layout, a missing or unexpected key or a wrong shape, with what was found.
    """
    model, _ = of_file(path, RECOGNIZER.network)
    return model

"""eDifFIQA: an iResNet-100, 50 or 18 (L, M, S) or a MobileFaceNet-512 (T), each with a two-layer head."""

from dataclasses import replace

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Choice, Family
from difiqa_hf.conversion.keymap import HeadKeyMap, KeyMap
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size, shape_of
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor, DifFIQARegressorConfig

HEAD = [("mlp.l1", "head.0"), ("mlp.l2", "head.2")]
IRESNET_KEYS = KeyMap([*HEAD, ("base_model", "backbone")], "eDifFIQA (S, M, L)")

# single blocks change the width, `model.*` repeat it; our blocks are numbered through
STAGES = {"conv_23": 0, "conv_3.model": 1, "conv_34": 5, "conv_4.model": 6, "conv_45": 12, "conv_5.model": 13}
REPEATS = {"conv_3.model": 4, "conv_4.model": 6, "conv_5.model": 2}
LAYER = {"conv": "conv", "bn": "norm", "prelu": "activation"}
UNITS = {"conv1": "stem.0", "conv2_dw": "stem.1", "conv_6_sep": "last", "conv_6_dw": "reduce"}


def _mobilefacenet_names() -> list[tuple[str, str]]:
    """Every module of size T, published name first, without the prefixes of the backbone."""
    units = dict(UNITS)
    for stage, first in STAGES.items():
        for i in range(REPEATS.get(stage, 1)):
            block = f"{stage}.{i}" if stage in REPEATS else stage
            parts = {"conv": "expand", "conv_dw": "depthwise", "project": "project"}
            units |= {f"{block}.{part}": f"blocks.{first + i}.{ours}" for part, ours in parts.items()}
    pairs = [(f"{unit}.{layer}", f"{units[unit]}.{ours}") for unit in units for layer, ours in LAYER.items()]
    return [*pairs, ("linear", "fc"), ("bn", "norm")]


MOBILEFACENET_KEYS = HeadKeyMap(
    [*HEAD, *((f"base_model.{foreign}", f"backbone.{ours}") for foreign, ours in _mobilefacenet_names())],
    "eDifFIQA (T)",
    "backbone.fc",
    convolution=False,
    bias=False,
)


def build_iresnet(state: StateDict) -> DifFIQARegressor:
    """Sizes S, M and L: the regressor of the size of `state`."""
    backbone = {"model_type": "iresnet", **iresnet_size(state, "base_model.")}
    return DifFIQARegressor(DifFIQARegressorConfig(backbone_config=backbone, head_width=head_width(state)))


def build_mobilefacenet(state: StateDict) -> DifFIQARegressor:
    """Size T: its head sees the embedding at unit length."""
    embedding_size, _ = shape_of(state, "base_model.linear.weight", 2)
    backbone = {"model_type": "mobilefacenet", "embedding_size": embedding_size}
    config = DifFIQARegressorConfig(backbone_config=backbone, head_width=head_width(state), normalize_embeddings=True)
    return DifFIQARegressor(config)


def head_width(state: StateDict) -> int:
    """Between the two layers of the head."""
    return shape_of(state, "mlp.l1.weight", 2)[0]


MARKERS = ("mlp.l1.weight", "mlp.l2.weight")
IRESNET = Family(
    kind="ediffiqa",
    origin=Origin(
        title="eDifFIQA (S, M or L: iResNet with a two-layer quality head)",
        url="https://github.com/LSIbabnikz/eDifFIQA",
        licence="none stated by the authors",
        paper="Babnik et al., eDifFIQA, IEEE TBIOM 2024",
    ),
    markers=("base_model.conv1.weight", *MARKERS),
    build=build_iresnet,
    keys=IRESNET_KEYS,
    method="difiqa-r",  # the same class of network
)
MOBILEFACENET = replace(
    IRESNET,
    origin=replace(IRESNET.origin, title="eDifFIQA (T: MobileFaceNet with a two-layer quality head)"),
    markers=("base_model.conv1.conv.weight", *MARKERS),
    build=build_mobilefacenet,
    keys=MOBILEFACENET_KEYS,
)
CONVERTERS = {"ediffiqa": Choice("eDifFIQA", (IRESNET, MOBILEFACENET))}

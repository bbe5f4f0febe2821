"""eDifFIQA: an iResNet-100, 50 or 18 (L, M, S) or a MobileFaceNet-512 (T), each with a two-layer head."""

import torch

from difiqa_hf.conversion.checkpoint import StateDict, without_prefix
from difiqa_hf.conversion.family import REGRESSOR_USAGE, Family
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size
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


MOBILEFACENET_KEYS = KeyMap(
    [*HEAD, *((f"base_model.{foreign}", f"backbone.{ours}") for foreign, ours in _mobilefacenet_names())],
    "eDifFIQA (T)",
)


def is_mobilefacenet(state: StateDict) -> bool:
    """Whether these are the names of size T, published or ours."""
    return "base_model.conv1.conv.weight" in state or "backbone.stem.0.conv.weight" in state


def build(state: StateDict) -> DifFIQARegressor:
    """The regressor of the size of `state`; that of size T normalises the embedding."""
    if is_mobilefacenet(state):
        backbone = {"model_type": "mobilefacenet", "embedding_size": len(state["base_model.linear.weight"])}
    else:
        backbone = {"model_type": "iresnet", **iresnet_size(without_prefix(state, "base_model."))}
    width, normalize = len(state["mlp.l1.weight"]), is_mobilefacenet(state)
    return DifFIQARegressor(
        DifFIQARegressorConfig(backbone_config=backbone, head_width=width, normalize_embeddings=normalize)
    )


def translate(state: StateDict) -> StateDict:
    """Published names -> ours; the embedding layer of size T has no bias, ours has one of zeros."""
    if not is_mobilefacenet(state):
        return IRESNET_KEYS.forward(state)
    bias = torch.zeros(len(state["base_model.linear.weight"]))
    return {"backbone.fc.bias": bias, **MOBILEFACENET_KEYS.forward(state)}


def restore(state: StateDict) -> StateDict:
    """Our names -> published ones."""
    if not is_mobilefacenet(state):
        return IRESNET_KEYS.backward(state)
    return MOBILEFACENET_KEYS.backward({key: value for key, value in state.items() if key != "backbone.fc.bias"})


EDIFFIQA = Family(
    kind="ediffiqa",
    origin=Origin(
        title="eDifFIQA (iResNet or MobileFaceNet with a two-layer quality head)",
        url="https://github.com/LSIbabnikz/eDifFIQA",
        licence="none stated by the authors",
        paper="Babnik et al., eDifFIQA, IEEE TBIOM 2024",
    ),
    markers=("mlp.l1.weight", "mlp.l2.weight"),
    build=build,
    translate=translate,
    restore=restore,
    usage=REGRESSOR_USAGE,
)
CONVERTERS = {"ediffiqa": EDIFFIQA}

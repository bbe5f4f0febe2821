"""DifFIQA(R): an iResNet-100 with a linear head, `base.*` and `linear.*`."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor, DifFIQARegressorConfig

KEYS = KeyMap([("base", "backbone"), ("linear", "head")], "DifFIQA(R)")


def build(state: StateDict) -> DifFIQARegressor:
    """A regressor on an iResNet of the size of `state`, unbounded as released."""
    backbone = {"model_type": "iresnet", **iresnet_size(state, "base.")}
    return DifFIQARegressor(DifFIQARegressorConfig(backbone_config=backbone))


DIFIQA_R = Family(
    kind="difiqa-r",
    origin=Origin(
        title="DifFIQA(R) as released (iResNet with a linear quality head)",
        url="https://github.com/LSIbabnikz/DifFIQA",
        licence="MIT; the backbone is insightface's CosFace, for non-commercial research only",
        paper="Babnik et al., DifFIQA, IJCB 2023",
    ),
    markers=("base.conv1.weight", "base.layer1.0.bn1.weight", "linear.weight"),
    build=build,
    keys=KEYS,
    method="difiqa-r",
)
CONVERTERS = {"difiqa-r": DIFIQA_R}

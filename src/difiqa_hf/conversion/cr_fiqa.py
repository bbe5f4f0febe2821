"""CR-FIQA: an iResNet with a linear layer `qs` on its embedding."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor, DifFIQARegressorConfig

SAME = ("conv1", "bn1", "prelu", "layer{s}.{i}", "bn2", "fc", "features")
KEYS = KeyMap([("qs", "head"), *((name, f"backbone.{name}") for name in SAME)], "CR-FIQA")


def build(state: StateDict) -> DifFIQARegressor:
    """A regressor on an iResNet of the size of `state`; the same computation as DifFIQA(R), from other training."""
    backbone = {"model_type": "iresnet", **iresnet_size(state), "dropout": 0.4}
    return DifFIQARegressor(DifFIQARegressorConfig(backbone_config=backbone))


CR_FIQA = Family(
    kind="cr-fiqa",
    origin=Origin(
        title="CR-FIQA (iResNet with a linear quality head)",
        url="https://github.com/fdbtrs/CR-FIQA",
        licence="CC BY-NC 4.0",
        paper="Boutros et al., CR-FIQA, CVPR 2023",
    ),
    markers=("conv1.weight", "layer1.0.bn1.weight", "fc.weight", "qs.weight"),
    build=build,
    keys=KEYS,
    method="cr-fiqa",
)
CONVERTERS = {"cr-fiqa": CR_FIQA}

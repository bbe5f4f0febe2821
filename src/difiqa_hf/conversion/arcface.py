"""ArcFace and CosFace of insightface's arcface_torch: plain state dicts of iResNets, in our names already."""

from dataclasses import replace

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer


def build(state: StateDict) -> IResNetRecognizer:
    """An iResNet of the size of `state`."""
    return IResNetRecognizer(IResNetConfig(**iresnet_size(state)))


ARCFACE = Family(
    kind="arcface",
    origin=Origin(
        title="ArcFace (iResNet, insightface)",
        url="https://github.com/deepinsight/insightface",
        licence="code MIT; models for non-commercial research only",
        paper="Deng et al., ArcFace, CVPR 2019",
    ),
    markers=("conv1.weight", "layer1.0.bn1.weight", "fc.weight", "features.running_mean"),
    foreign=("qs.weight",),
    build=build,
)
COSFACE = replace(
    ARCFACE,
    kind="cosface",
    origin=replace(
        ARCFACE.origin, title="CosFace (iResNet, insightface)", paper="Wang et al., CosFace, CVPR 2018 (insightface's)"
    ),
)
CONVERTERS = {"arcface": ARCFACE, "cosface": COSFACE}

"""MagFace: an iResNet within a training checkpoint; its quality is the length of the embedding."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import iresnet_size
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer


def build(state: StateDict) -> IResNetRecognizer:
    """MagFace's constants and input: BatchNorm eps 2e-5 and momentum .9, BGR in [0, 1]."""
    return IResNetRecognizer(
        IResNetConfig(
            **iresnet_size(state),
            batch_norm_eps=2e-5,
            batch_norm_momentum=0.9,
            dropout=0.4,
            color_order="bgr",
            image_mean=[0.0, 0.0, 0.0],
            image_std=[255.0, 255.0, 255.0],
        )
    )


MAGFACE = Family(
    kind="magface",
    origin=Origin(
        title="MagFace (iResNet)",
        url="https://github.com/IrvingMeng/MagFace",
        licence="Apache-2.0",
        paper="Meng et al., MagFace, CVPR 2021",
        input="BGR, x / 255, 112 x 112",
    ),
    markers=("conv1.weight", "layer1.0.bn1.weight", "fc.weight", "features.running_mean"),
    within=("state_dict",),
    prefixes=("features.module.", "module.features.", "features."),  # a wrapper for several GPUs moves
    dropped=("fc.", "module.fc."),  # the classifier
    build=build,
    method="magface",
)
CONVERTERS = {"magface": MAGFACE}

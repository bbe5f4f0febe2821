"""AdaFace: an IR network with middle BatchNorm within a Lightning checkpoint; BGR."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import ir_size
from difiqa_hf.models.modeling_ir import IRConfig, IRRecognizer


def build(state: StateDict) -> IRRecognizer:
    """An IR network of the size of `state`."""
    return IRRecognizer(IRConfig(**ir_size(state, "output_layer.3.weight"), color_order="bgr"))


ADAFACE = Family(
    kind="adaface",
    origin=Origin(
        title="AdaFace (IR, with middle BatchNorm)",
        url="https://github.com/mk-minchul/AdaFace",
        licence="MIT",
        paper="Kim et al., AdaFace, CVPR 2022",
        input="BGR, (x - 127.5) / 127.5, 112 x 112",
    ),
    markers=("input_layer.0.weight", "body.0.res_layer.5.weight", "output_layer.3.weight"),
    within=("state_dict",),
    prefixes=("model.",),
    dropped=("head.",),  # the classifier
    build=build,
)
CONVERTERS = {"adaface": ADAFACE}

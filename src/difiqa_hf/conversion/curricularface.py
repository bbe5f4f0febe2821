"""CurricularFace: a plain state dict of an IR network without middle BatchNorm."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import ir_size
from difiqa_hf.models.modeling_ir import IRConfig, IRRecognizer


def build(state: StateDict) -> IRRecognizer:
    """An IR network of the size of `state`."""
    return IRRecognizer(IRConfig(**ir_size(state, "output_layer.3.weight")))


CURRICULARFACE = Family(
    kind="curricularface",
    origin=Origin(
        title="CurricularFace (IR, without middle BatchNorm)",
        url="https://github.com/HuangYG123/CurricularFace",
        licence="MIT",
        paper="Huang et al., CurricularFace, CVPR 2020",
    ),
    markers=("input_layer.0.weight", "body.0.res_layer.4.weight", "output_layer.3.weight"),
    foreign=("body.0.res_layer.5.weight",),
    build=build,
)
CONVERTERS = {"curricularface": CURRICULARFACE}

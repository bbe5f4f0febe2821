"""SDD-FIQA: an IR-50 whose flattened last map is regressed to a quality from 0 to 100."""

from difiqa_hf.conversion.checkpoint import StateDict
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.result import Origin
from difiqa_hf.conversion.shapes import ir_size
from difiqa_hf.models.modeling_ir import IRQualityConfig, IRQualityModel


def build(state: StateDict) -> IRQualityModel:
    """A quality network of the size of `state`."""
    size = ir_size(state, "quality.3.weight")
    return IRQualityModel(IRQualityConfig(**size | {"embedding_size": IRQualityConfig.embedding_size}))


SDD_FIQA = Family(
    kind="sdd-fiqa",
    origin=Origin(
        title="SDD-FIQA (IR-50 with a quality head)",
        url="https://github.com/Tencent/TFace/tree/master/quality",
        licence="Apache-2.0",
        paper="Ou et al., SDD-FIQA, CVPR 2021",
    ),
    markers=("input_layer.0.weight", "body.0.res_layer.4.weight", "quality.1.weight", "quality.3.weight"),
    build=build,
    method="sdd-fiqa",
)
CONVERTERS = {"sdd-fiqa": SDD_FIQA}

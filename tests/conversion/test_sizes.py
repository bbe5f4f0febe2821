"""The published sizes: names and shapes of the full networks against the official layouts, without memory."""

import official
import pytest
import torch

from difiqa_hf.conversion.registry import converter
from difiqa_hf.models.modeling_ir import IRConfig, IRQualityConfig, IRQualityModel, IRRecognizer
from difiqa_hf.models.modeling_iresnet import LAYERS

WIDTHS = (64, 128, 256, 512)


def shapes_of(state: dict) -> dict:
    return {key: tuple(value.shape) for key, value in state.items()}


def on_meta(shapes: dict) -> dict:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize("depth, layers", [(50, (3, 4, 14, 3)), (101, (3, 13, 30, 3))])
@pytest.mark.parametrize("middle", [True, False])
def test_ir(depth, layers, middle):
    """IR-50 and IR-101 as in AdaFace (middle BatchNorm) and CurricularFace (none): 24 and 49 units."""
    with torch.device("meta"):
        model = IRRecognizer(IRConfig.from_depth(depth, middle_batch_norm=middle))
    head = official.embedding_shapes(25088, 512, 512)
    assert shapes_of(model.state_dict()) == official.ir_shapes(middle, layers, WIDTHS, 64) | head
    assert len(model.body) == {50: 24, 101: 49}[depth]
    with pytest.raises(ValueError, match="50, 101, found 100"):
        IRConfig.from_depth(100)


def test_sdd_fiqa():
    with torch.device("meta"):
        model = IRQualityModel(IRQualityConfig.from_depth(50))
    layers = (3, 4, 14, 3)
    expected = official.ir_shapes(False, layers, WIDTHS, 64) | official.quality_shapes(25088)
    assert shapes_of(model.state_dict()) == expected


@pytest.mark.parametrize(
    "size, depth, millions", [("S", 18, 24.6), ("M", 50, 44.1), ("L", 100, 65.7), ("T", None, 1.7)]
)
def test_ediffiqa(size, depth, millions):
    """Parameters as the authors count them."""
    base = official.iresnet_shapes(LAYERS[depth], WIDTHS, 64, 512) if depth else official.mobilefacenet_shapes()
    head = {"mlp.l1.weight": (1024, 512), "mlp.l1.bias": (1024,), "mlp.l2.weight": (1, 1024), "mlp.l2.bias": (1,)}
    state = on_meta({f"base_model.{key}": shape for key, shape in base.items()} | head)
    family = converter("ediffiqa").family_of(state)
    with torch.device("meta"):
        model = family.build(state)
        back = family.restore(model.state_dict())
    assert shapes_of(back) == shapes_of(state)
    count = sum(value.numel() for value in model.parameters()) - (512 if size == "T" else 0)  # our bias of zeros
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("kind", ["arcface", "cr-fiqa", "difiqa-r", "magface"])
def test_r100(kind):
    base = official.iresnet_shapes(LAYERS[100], WIDTHS, 64, 512)
    prefix = "base." if kind == "difiqa-r" else ""
    head = {"cr-fiqa": "qs", "difiqa-r": "linear"}.get(kind)
    shapes = {f"{prefix}{key}": shape for key, shape in base.items()}
    shapes |= {f"{head}.weight": (1, 512), f"{head}.bias": (1,)} if head else {}
    family = converter(kind)
    with torch.device("meta"):
        model = family.build(on_meta(shapes))
        assert shapes_of(family.restore(model.state_dict())) == shapes

"""EdgeNeXt: what only this family has."""

import math

import pytest
import torch

from difiqa_hf.models.modeling_edgenext import EdgeNeXtConfig, EdgeNeXtPositionEncoding, EdgeNeXtRecognizer


def test_default_is_edgeface_xs_in_size():
    with torch.device("meta"):
        model = EdgeNeXtRecognizer(EdgeNeXtConfig())
    head = sum(value.numel() for value in model.head.parameters())
    trunk = sum(value.numel() for value in model.parameters()) - head
    assert head == 2 * 192 + 192 * 512 + 512
    assert trunk == 2_336_804 - (2 * 192 + 192 * 1000 + 1000)  # timm's edgenext_x_small without its classifier


def test_position_encoding_in_closed_form():
    code = EdgeNeXtPositionEncoding(width=4).encode(14, torch.device("cpu"))
    assert code.shape == (14, 32)
    for position, feature in [(0, 0), (13, 1), (5, 6), (5, 7)]:
        angle = (position + 1) / 14 * 2 * math.pi / 10000 ** (feature // 2 * 2 / 32)
        expected = math.sin(angle) if feature % 2 == 0 else math.cos(angle)
        assert code[position, feature].item() == pytest.approx(expected, abs=1e-5)


def test_inconsistent_stages_are_refused():
    with pytest.raises(Exception, match="depths has 3 values for 4 widths"):
        EdgeNeXtConfig(depths=[3, 3, 9])
    with pytest.raises(Exception, match="3 heads do not divide 32 channels"):
        EdgeNeXtConfig(num_heads=[3, 4, 4, 4])

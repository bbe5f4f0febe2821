"""The network of LightQNet on toy widths; its released weights are tested in tests/conversion."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from difiqa_hf.models.modeling_lightqnet import WIDTHS, LightQNet, LightQNetConfig
from toys import toy_faces, toy_lightqnet


def test_padding_is_tensorflow_s():
    """SAME: as few zeros as the outputs need, the odd one behind; torch pads both sides alike."""
    torch.manual_seed(0)
    layer = toy_lightqnet().blocks[1].depthwise
    x = torch.randn(1, 8, 6, 7)
    padded = F.pad(x, (1, 1, 0, 1))  # height 6 -> 3 outputs reach row 6; width 7 -> 4 outputs reach column 8
    expected = layer.activation(layer.norm(F.conv2d(padded, layer.conv.weight, stride=2, groups=8)))
    assert torch.equal(layer(x), expected) and expected.shape == (1, 8, 3, 4)
    assert layer.padding(48, 3) == (0, 1) and toy_lightqnet().stem.padding(96, 3) == (1, 1)


def test_output_and_half_precision():
    model, x = toy_lightqnet(), toy_faces(3)
    with torch.no_grad():
        quality = model(x).quality
        assert quality.shape == (3,) and quality.min() > 0 and quality.max() < 1
        assert torch.equal(model(x, return_dict=False)[0], quality)
        half = model.to(torch.bfloat16)(x).quality
    torch.testing.assert_close(half.float(), quality, atol=0.02, rtol=0)


def test_color_order():
    x, rgb, bgr = toy_faces(2), toy_lightqnet(), toy_lightqnet()
    rgb.config.color_order = "rgb"
    with torch.no_grad():
        assert torch.equal(bgr(x).quality, rgb(x.flip(1)).quality)


def test_round_trip_is_bit_exact(tmp_path):
    model, x = toy_lightqnet(), toy_faces(2)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(AutoModel.from_pretrained(tmp_path)(x).quality, model(x).quality)


def test_parameters_of_the_released_widths():
    counts = {
        name: sum(p.numel() for p in LightQNet(LightQNetConfig(stem_width=s, blocks=b, last_width=last)).parameters())
        for name, (s, b, last) in WIDTHS.items()
    }
    assert counts == {"dm100": 429_465, "dm050": 124_449, "dm025": 43_513}


@pytest.mark.parametrize("blocks", [[[4, 8]], [[-1, 8, 1]], [[4, 8, 0]]])
def test_impossible_blocks_are_refused(blocks):
    with pytest.raises(Exception, match=r"a block is \(expanded channels or 0, channels, stride\)"):
        LightQNetConfig(blocks=blocks)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"must be \(batch, 3, 112, 112\).*found \(1, 3, 96, 96\)"):
        toy_lightqnet()(torch.zeros(1, 3, 96, 96))

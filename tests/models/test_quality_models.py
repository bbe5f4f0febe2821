"""Networks of FaceQnet, PCNet and FaceQgen: shapes, input contract, learning, round trip."""

import pytest
import torch
from torch import nn
from transformers import AutoModel

from difiqa_hf.models.modeling_faceqgen import FaceQgenConfig
from difiqa_hf.models.modeling_quality_resnet import PRESETS, QualityResNet, QualityResNetConfig
from toys import toy_faceqgen, toy_faces


def toy_resnet(block: str = "basic", **options):
    torch.manual_seed(0)
    settings = dict(block=block, layers=[1, 1], widths=[8, 8], stem_width=4, network_size=32)
    return QualityResNet(QualityResNetConfig(**settings | options)).eval()


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("output_mapping", ["sigmoid", "identity"])
def test_resnet_output(block, output_mapping):
    model, x = toy_resnet(block, output_mapping=output_mapping, head_width=4), toy_faces(3)
    with torch.no_grad():
        out = model(x)
        alone = model(x[1:2]).quality
    assert out.quality.shape == (3,)
    torch.testing.assert_close(out.quality[1:2], alone)
    assert torch.equal(out.quality, out.logits.sigmoid() if output_mapping == "sigmoid" else out.logits)


def test_resnet_sees_its_own_size_colour_and_scale():
    seen = {}
    model, x = toy_resnet(color_order="bgr", image_mean=0.0, image_std=1.0, stem_padding=[0, 0]), toy_faces(1)
    model.conv.register_forward_pre_hook(lambda module, inputs: seen.update(x=inputs[0]))
    with torch.no_grad():
        model(torch.stack([torch.full((112, 112), v) for v in (-1.0, 0.0, 1.0)])[None])
    assert seen["x"].shape == (1, 3, 32, 32)
    assert seen["x"].mean((0, 2, 3)).tolist() == [255, 127.5, 0]
    with pytest.raises(ValueError, match=r"found \(1, 3, 112, 96\)"):
        model(x[..., :96])


@pytest.mark.parametrize(("preset", "millions"), [("faceqnet", 23.57), ("pcnet", 6.37)])
def test_presets_have_the_size_of_what_they_name(preset, millions):
    with torch.device("meta"):
        model = QualityResNet(QualityResNetConfig.from_preset(preset))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert set(PRESETS) == {"faceqnet", "pcnet"}
    with pytest.raises(ValueError, match="presets are faceqnet, pcnet, found 'resnet'"):
        QualityResNetConfig.from_preset("resnet")


@pytest.mark.parametrize("make", [toy_resnet, lambda: toy_resnet("bottleneck", max_pool=True), toy_faceqgen])
def test_round_trip_and_learning(make, tmp_path):
    model, x = make(), toy_faces(4)
    model.save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path)
    with torch.no_grad():
        for found, expected in zip(again(x, return_dict=False), model(x, return_dict=False), strict=True):
            assert torch.equal(found, expected)
    out = model.train()(x, return_dict=False)
    sum(o.square().sum() for o in out).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_no_batch_norm_in_faceqgen():
    """The restoration of a face must not depend on its neighbours, in training neither."""
    assert not any(isinstance(m, nn.BatchNorm2d) for m in toy_faceqgen().modules())


def test_impossible_configurations_are_refused():
    with pytest.raises(Exception, match="image_size 112 is no multiple of 32"):
        FaceQgenConfig(widths=[4] * 5)
    with pytest.raises(Exception, match="one value > 0 for each stage"):
        QualityResNetConfig(layers=[1])

"""MobileFaceNet: what only this family has."""

import pytest
import torch
from torch import nn

from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from toys import toy_faces


def parameters(**options) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in MobileFaceNetRecognizer(MobileFaceNetConfig(**options)).parameters())


def test_default_is_the_network_of_the_paper_in_size():
    assert 0.98e6 < parameters() < 1.02e6  # Table 1 of arXiv 1804.07573: .99 M


def test_student_of_another_size():
    stages = [(2, 64, 4, 2), (2, 96, 4, 2), (2, 128, 2, 2)]
    assert parameters(stem_width=48, stages=stages, last_width=256, embedding_size=512) < 1.3e6


@pytest.mark.parametrize(
    "side, crop, kernel", [(112, None, (7, 7)), (112, [0, 8, 112, 96], (7, 6)), (100, None, (7, 7))]
)
def test_global_convolution_covers_the_last_map(side, crop, kernel):
    model = MobileFaceNetRecognizer(MobileFaceNetConfig(image_size=side, crop=crop)).eval()
    assert model.reduce.conv.kernel_size == kernel
    with torch.no_grad():
        assert model(torch.zeros(1, 3, side, side)).embeddings.shape == (1, 128)


def test_folded_batch_norm_leaves_biases():
    model = MobileFaceNetRecognizer(MobileFaceNetConfig(batch_norm=False, head="flatten"))
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d)]
    assert norms == ["norm"]
    assert all(module.bias is not None for module in model.modules() if isinstance(module, nn.Conv2d))


def test_folding_batch_norm_by_hand_changes_nothing():
    torch.manual_seed(0)
    config = dict(stem_width=8, stages=[(2, 8, 2, 4), (2, 8, 1, 4)], last_width=16, embedding_size=8)
    model = MobileFaceNetRecognizer(MobileFaceNetConfig(**config))
    with torch.no_grad():
        for _ in range(3):  # statistics that are not 0 and 1
            model(toy_faces(8))
    folded = MobileFaceNetRecognizer(MobileFaceNetConfig(**config, batch_norm=False))
    state = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            conv = name.replace("norm", "conv")
            scale = module.weight / (module.running_var + module.eps).sqrt()
            state[f"{conv}.weight"] = state[f"{conv}.weight"] * scale.view(-1, 1, 1, 1)
            state[f"{conv}.bias"] = module.bias - module.running_mean * scale
            state = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
    folded.load_state_dict(state)
    with torch.no_grad():
        expected, found = (network.eval()(toy_faces()).embeddings for network in (model, folded))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_wrong_stage_is_refused():
    with pytest.raises(Exception, match="expansion, channels, repeats, stride"):
        MobileFaceNetConfig(stages=[(2, 64, 5)])

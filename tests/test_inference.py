"""Folding BatchNorms: the same outputs from fewer operations, and never at the price of other outputs."""

import pytest
import torch
from torch import nn

from difiqa_hf.inference import for_inference
from difiqa_hf.methods import create_method
from toys import toy_faces, toy_recognizer


def norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


class Net(nn.Module):
    """Convolution and BatchNorm; `reused` needs the output of the convolution once more."""

    def __init__(self, reused: bool):
        super().__init__()
        self.conv, self.norm, self.reused = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), reused
        self.norm.running_mean += 1
        self.norm.running_var *= 3

    def forward(self, pixel_values):
        found = self.conv(pixel_values)
        return {"embeddings": (self.norm(found) + (found if self.reused else 0)).flatten(1)}


@pytest.mark.parametrize("reused", [False, True])
def test_only_what_stays_the_same_is_folded(reused):
    torch.manual_seed(0)
    model = Net(reused).eval()
    quicker = for_inference(model)
    assert norms(model) == 1 and norms(quicker) == reused
    x = toy_faces(3)
    with torch.no_grad():
        assert torch.allclose(quicker(x)["embeddings"], model(x)["embeddings"], atol=1e-5)


class Twice(Net):
    """The same convolution and norm two times in one pass."""

    def forward(self, pixel_values):
        first = self.norm(self.conv(pixel_values))[:, :3]
        return {"embeddings": self.norm(self.conv(first)).flatten(1)}


class Plain(Net):
    """Another interface."""

    def forward(self, pixel_values):
        return super().forward(pixel_values)["embeddings"]


def test_odd_networks():
    torch.manual_seed(0)
    twice, plain, x = Twice(False).eval(), Plain(False).eval(), toy_faces(2)
    with torch.no_grad():
        assert torch.allclose(for_inference(twice)(x)["embeddings"], twice(x)["embeddings"], atol=1e-4)
        assert torch.allclose(for_inference(plain)(x), plain(x), atol=1e-6)


def test_a_recogniser():
    model = toy_recognizer()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    quicker = for_inference(model)
    assert norms(quicker) < norms(model)
    with torch.no_grad():
        assert torch.allclose(quicker(toy_faces(3)).embeddings, model(toy_faces(3)).embeddings, atol=1e-4)


def test_the_weights_of_a_method_are_saved_as_they_were(tmp_path):
    method = create_method("difiqa-r")
    assert norms(method.network) < norms(method.model)
    method.save_pretrained(tmp_path)
    assert create_method("difiqa-r", checkpoint=tmp_path).revision == method.revision

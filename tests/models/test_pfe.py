"""The uncertainty head: starting value, frozen backbone, formula, round trip."""

import pytest
import torch
from transformers import AutoModel

from difiqa_hf.methods.pfe import pfe_quality
from difiqa_hf.models.modeling_pfe import PFEConfig, PFEModel
from toys import toy_faces, toy_recognizer


def toy(**options):
    torch.manual_seed(0)
    return PFEModel.from_embedder(toy_recognizer(), head_width=8, **options)


def test_a_fresh_head_says_the_same_of_every_image():
    with torch.no_grad():
        out = toy().eval()(toy_faces(3))
    torch.testing.assert_close(out.log_variance, torch.full((3, 8), -7.0), atol=2e-3, rtol=0)
    torch.testing.assert_close(out.embeddings.norm(dim=1), torch.ones(3))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(toy_recognizer()(toy_faces(3)).embeddings)
    assert torch.equal(out.embeddings, expected)


def test_training_moves_the_head_only():
    model = toy().train()
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    model(toy_faces(4)).log_variance.sum().backward()
    assert not model.backbone.training and all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.head.parameters()) and model.scale.grad is not None
    assert all(torch.equal(value, before[key]) for key, value in model.backbone.state_dict().items())


@pytest.mark.parametrize("loader", [PFEModel, AutoModel])
def test_round_trip_is_bit_exact(loader, tmp_path):
    model, x = toy(initial_scale=0.5).eval(), toy_faces(2)
    model.save_pretrained(tmp_path)
    again = loader.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(x).log_variance, model(x).log_variance)
        assert torch.equal(again(x, return_dict=False)[0], model(x).embeddings)


def test_reductions():
    log_variance = torch.tensor([[1.0, 4.0], [2.0, 2.0]]).log()
    torch.testing.assert_close(pfe_quality(log_variance), torch.tensor([-2.5, -2.0]))
    torch.testing.assert_close(pfe_quality(log_variance, "harmonic"), torch.tensor([-1.6, -2.0]))
    torch.testing.assert_close(pfe_quality(log_variance, "log"), -torch.tensor([2.0, 2.0]).log())


def test_a_backbone_is_needed():
    with pytest.raises(ValueError, match="backbone_config is empty"):
        PFEModel(PFEConfig())

"""The released UNet: published names, sizes and numbers; the interface of UNet2DModel."""

import json

import numpy as np
import pytest
import torch

from difiqa_hf.conversion.difiqa_released import UNET_KEYS
from difiqa_hf.models.unet_released import ReleasedUNet2DModel
from rules import made_by_rule
from toys import toy_faces


def toy(**options) -> ReleasedUNet2DModel:
    torch.manual_seed(0)
    return ReleasedUNet2DModel(dim=8, dim_mults=(1, 2), norm_num_groups=4, **options).eval()


@pytest.fixture(scope="module")
def keys(shared):
    folder = shared / "golden" / "released"
    return {
        16: json.loads((folder / "keys_dim16.json").read_text())["unet"],
        128: json.loads((folder / "keys_dim128.json").read_text()),
    }


@pytest.mark.parametrize("dim", [16, 128])
def test_names_and_shapes_are_the_published_ones(keys, dim):
    with torch.device("meta"):
        state = ReleasedUNet2DModel(dim=dim).state_dict()
    assert {key: list(value.shape) for key, value in UNET_KEYS.backward(state).items()} == keys[dim]
    assert UNET_KEYS.forward(UNET_KEYS.backward(state)).keys() == state.keys()


@pytest.mark.parametrize("case, seed", [("dim16_t5_n2", 0), ("dim16_t5_n10", 40)])
def test_output_is_that_of_the_released_network(shared, keys, case, seed):
    expected = torch.from_numpy(np.load(shared / "golden" / "released" / f"{case}.npz")["unet_out"])
    unet = ReleasedUNet2DModel(dim=16).eval()
    unet.load_state_dict(UNET_KEYS.forward(made_by_rule(keys[16])))
    with torch.no_grad():
        found = unet(toy_faces(2, seed + 1), torch.tensor([3, 77])).sample[:, :, ::4, ::4]
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_one_timestep_for_all_is_the_same_as_one_each():
    unet, faces = toy(), toy_faces(2)
    with torch.no_grad():
        each = unet(faces, torch.tensor([4, 4])).sample
        assert torch.equal(unet(faces, 4).sample, each)
        assert torch.equal(unet(faces, torch.tensor(4), return_dict=False)[0], each)
        assert not torch.allclose(unet(faces, 5).sample, each)
        torch.testing.assert_close(unet(faces[:1], 4).sample, each[:1])


def test_round_trip_is_bit_exact(tmp_path):
    unet, faces = toy(), toy_faces(1)
    unet.save_pretrained(tmp_path)
    loaded = ReleasedUNet2DModel.from_pretrained(tmp_path)
    assert loaded.config.dim == 8
    weights, found = unet.state_dict(), loaded.state_dict()
    assert weights.keys() == found.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
    with torch.no_grad():  # on some processors the last digit depends on where in memory the weights lie
        torch.testing.assert_close(loaded(faces, 3).sample, unet(faces, 3).sample, atol=1e-4, rtol=0)


def test_half_precision_changes_little():
    unet, faces = toy(), toy_faces(1)
    with torch.no_grad():
        full = unet(faces, 3).sample
        half = unet.to(torch.bfloat16)(faces.bfloat16(), 3).sample
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).abs().mean() < 0.25 * full.abs().mean()  # its constants differ, as released


def test_every_parameter_learns():
    unet = toy().train()
    unet(toy_faces(2), torch.tensor([1, 50])).sample.pow(2).mean().backward()
    assert all(value.grad is not None and value.grad.abs().sum() for value in unet.parameters())


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 2, found \(111, 112\)"):
        toy()(torch.zeros(1, 3, 111, 112), 0)
    with pytest.raises(ValueError, match="multiple of 8 groups, found 20"):
        ReleasedUNet2DModel(dim=20)

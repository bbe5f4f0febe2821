"""The patch U-Net: identity at birth, its scale c(t), save and load."""

import pytest
import torch
from diffusers import DDPMScheduler

from difiqa_hf.diffusion import alphas_cumprod, degradation_weight
from difiqa_hf.models.unet_patch import PatchUNet2DModel
from toys import toy_faces, toy_unet


def test_an_untrained_network_is_the_identity():
    config = {key: toy_unet().config[key] for key in ("sample_size", "in_channels", "out_channels", "patch_size")}
    unet = PatchUNet2DModel(
        **config,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
        add_attention=False,
    )
    x = toy_faces(2)
    assert torch.equal(unet(x, 3).sample, x)


def test_correction_scale_is_the_expected_size_of_the_correction():
    t = torch.tensor([0, 4, 50, 99])
    alpha_bar = alphas_cumprod(DDPMScheduler(beta_schedule="squaredcos_cap_v2"))
    expected = (1 - alpha_bar[t] + (0.09 * degradation_weight(t, 100)) ** 2).sqrt()
    assert torch.allclose(toy_unet().correction_scale(t), expected, rtol=1e-3)


def test_scalar_and_vector_timesteps_agree():
    unet, x = toy_unet(), toy_faces(3)
    with torch.no_grad():
        assert torch.allclose(unet(x, 4).sample, unet(x, torch.tensor([4, 4, 4])).sample)
        assert not torch.equal(unet(x, 4).sample, unet(x, 60).sample)
        assert torch.equal(unet(x, 4, return_dict=False)[0], unet(x, 4).sample)


def test_save_and_load(tmp_path, caplog):
    unet, x = toy_unet(), toy_faces(1)
    unet.save_pretrained(tmp_path)
    assert "not expected" not in caplog.text
    with torch.no_grad():
        assert torch.equal(PatchUNet2DModel.from_pretrained(tmp_path).eval()(x, 4).sample, unet(x, 4).sample)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"3 \* patch_size\*\*2 = 48"):
        PatchUNet2DModel(patch_size=4, in_channels=12, out_channels=12)

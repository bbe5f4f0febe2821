"""Toy networks in milliseconds: real classes, tiny widths, fixed seeds."""

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler

from difiqa_hf.methods import QualityMethod
from difiqa_hf.models.modeling_faceqgen import FaceQgenConfig, FaceQgenModel
from difiqa_hf.models.modeling_lightqnet import LightQNet, LightQNetConfig
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from difiqa_hf.models.unet_patch import PatchUNet2DModel
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline


def toy_faces(count: int = 2, seed: int = 0) -> torch.Tensor:
    """Smooth random pixel values (count, 3, 112, 112) in [-1, 1]."""
    coarse = torch.randn(count, 3, 14, 14, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=112, mode="bicubic").clamp(-1, 1)


def toy_unet(seed: int = 0) -> PatchUNet2DModel:
    """A denoiser on 8 x 8 patches whose correction is not zero."""
    torch.manual_seed(seed)
    unet = PatchUNet2DModel(
        sample_size=14,
        in_channels=192,
        out_channels=192,
        patch_size=8,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        norm_num_groups=4,
        add_attention=False,
    )
    torch.nn.init.normal_(unet.conv_out.weight, std=0.5)
    return unet.eval()


def toy_recognizer(seed: int = 0) -> MobileFaceNetRecognizer:
    torch.manual_seed(seed)
    config = MobileFaceNetConfig(stem_width=8, stages=((2, 8, 1, 4), (2, 8, 1, 4)), last_width=16, embedding_size=8)
    return MobileFaceNetRecognizer(config).eval()


def toy_lightqnet(seed: int = 0) -> LightQNet:
    torch.manual_seed(seed)
    return LightQNet(LightQNetConfig(stem_width=4, blocks=[[0, 4, 2], [8, 4, 2], [8, 4, 1]], last_width=8)).eval()


def toy_faceqgen(seed: int = 0) -> FaceQgenModel:
    torch.manual_seed(seed)
    model = FaceQgenModel(FaceQgenConfig(widths=[4, 4, 8], discriminator_widths=[4, 4])).eval()
    torch.nn.init.normal_(model.generator.out.weight, std=0.1)
    return model


def toy_pipeline(**options) -> DifFIQAPipeline:
    scheduler = DDPMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2")
    pipeline = DifFIQAPipeline(toy_unet(), scheduler, toy_recognizer(), **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class Brightness(QualityMethod):
    """The mean of the pixels: a quality that tests can compute."""

    name, kind, revision = "brightness", "baseline", "0123456789ab"
    _percentiles = (-1.0, 1.0)

    def score(self, pixel_values):
        return pixel_values.mean(dim=(1, 2, 3))

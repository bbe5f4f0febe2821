"""Whole checkpoint files as the authors' scripts write them, with weights made by a rule, of small networks."""

import official
import torch

from difiqa_hf.conversion.difiqa_released import UNET_KEYS, make_scheduler
from difiqa_hf.diffusion import alphas_cumprod
from difiqa_hf.models.unet_released import ReleasedUNet2DModel
from rules import made_by_rule

BUFFERS = ("betas", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "posterior_variance", "p2_loss_weight")


def prefixed(prefix: str, state: dict) -> dict:
    return {f"{prefix}{key}": value for key, value in state.items()}


def arcface() -> dict:
    """Of insightface, also of CosFace."""
    return made_by_rule(official.iresnet_shapes())


def difiqa_r() -> dict:
    base = made_by_rule(official.iresnet_shapes())
    return prefixed("base.", base) | made_by_rule({"linear.weight": (1, 8), "linear.bias": (1,)})


def difiqa_unet() -> dict:
    """Two stages of width 8."""
    with torch.device("meta"):
        names = UNET_KEYS.backward(ReleasedUNet2DModel(dim=8, dim_mults=(1, 2)).state_dict())
    return made_by_rule({key: value.shape for key, value in names.items()})


def difiqa() -> dict:
    """As the authors' training writes it: raw and averaged UNet (half as large), each within a GaussianDiffusion."""
    raw = difiqa_unet()
    averaged = process({key: value * 0.5 for key, value in raw.items()}, "ema_model.")
    averaged |= {"initted": torch.tensor([True]), "step": torch.tensor([10])}
    content = {"step": 100, "model": process(raw), "opt": {"state": {}, "param_groups": []}, "ema": averaged}
    return content | {"scaler": None}


def process(state: dict, prefix: str = "") -> dict:
    """A GaussianDiffusion's state dict around a UNet's."""
    buffers = {name: torch.zeros(1000) for name in BUFFERS}
    buffers["alphas_cumprod"] = alphas_cumprod(make_scheduler()).float()
    return prefixed(prefix, buffers) | prefixed(f"{prefix}model.", state)

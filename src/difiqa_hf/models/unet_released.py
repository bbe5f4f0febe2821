"""The denoiser of the released DifFIQA code (a UNet of the lucidrains lineage), so that its published weights load.

Weight-standardised convolutions, linear attention on every resolution, full attention in the middle. Three of the four
stages halve the resolution: 112, 56, 28, 14, 14. `conversion/difiqa_released.py` knows the published names.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor, nn


class ReleasedUNet2DModel(ModelMixin, ConfigMixin):
    """D of Eq. 5 as released; the interface of `UNet2DModel`.

    Args:
        sample_size: height and width of the images.
        in_channels, out_channels: of the images.
        dim: width of the first stage, 128 in the published checkpoint; a multiple of `norm_num_groups`, and even.
        dim_mults: widths after each stage, in units of `dim`; all stages but the last halve the resolution.
        attention_heads, attention_head_dim: of all attention layers.
        norm_num_groups: of the group normalisation.
    """

    @register_to_config
    def __init__(
        self,
        sample_size: int = 112,
        in_channels: int = 3,
        out_channels: int = 3,
        dim: int = 128,
        dim_mults: tuple[int, ...] = (1, 2, 4, 8),
        attention_heads: int = 4,
        attention_head_dim: int = 32,
        norm_num_groups: int = 8,
    ):
        super().__init__()
        if dim % norm_num_groups or dim % 2 or dim < 4:
            raise ValueError(f"dim must be even, at least 4 and a multiple of {norm_num_groups} groups, found {dim}")
        time_dim, heads = 4 * dim, (attention_heads, attention_head_dim)
        widths = [dim, *(dim * mult for mult in dim_mults)]
        last = len(dim_mults) - 1
        common = (time_dim, norm_num_groups)

        self.conv_in = nn.Conv2d(in_channels, dim, 7, padding=3)
        self.time_embedding = nn.Sequential(
            Sinusoids(dim), nn.Linear(dim, time_dim), nn.GELU(), nn.Linear(time_dim, time_dim)
        )
        self.down_blocks = nn.ModuleList()
        for i, (width, out) in enumerate(pairwise(widths)):
            resample = nn.Conv2d(width, out, 3, padding=1) if i == last else nn.Conv2d(width, out, 4, 2, padding=1)
            self.down_blocks.append(Stage(width, width, heads, common, resample))

        self.mid_resnet1 = ResnetBlock(widths[-1], widths[-1], *common)
        self.mid_attention = PixelAttention(widths[-1], *heads)
        self.mid_resnet2 = ResnetBlock(widths[-1], widths[-1], *common)

        self.up_blocks = nn.ModuleList()
        for i, (width, out) in enumerate(zip(widths[:0:-1], widths[-2::-1], strict=True)):
            convolution = nn.Conv2d(width, out, 3, padding=1)
            resample = convolution if i == last else nn.Sequential(nn.Upsample(scale_factor=2), convolution)
            self.up_blocks.append(Stage(width + out, width, heads, common, resample))
        self.resnet_out = ResnetBlock(2 * dim, dim, *common)
        self.conv_out = nn.Conv2d(dim, out_channels, 1)

    def forward(
        self, sample: Tensor, timestep: Tensor | float | int, return_dict: bool = True
    ) -> UNet2DOutput | tuple[Tensor]:
        """Predict x0 (batch, 3, height, width) from x_t of the same shape at 0-based `timestep` (batch,) or scalar."""
        step = 2 ** (len(self.config.dim_mults) - 1)
        if sample.shape[-1] % step or sample.shape[-2] % step:
            raise ValueError(f"height and width must be multiples of {step}, found {tuple(sample.shape[-2:])}")
        timestep = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        positions, *layers = self.time_embedding
        time = nn.Sequential(*layers)(positions(timestep).to(self.dtype))

        x = first = self.conv_in(sample)
        skips = []
        for stage in self.down_blocks:
            skips.append(stage.resnet1(x, time))
            skips.append(stage.attention(stage.resnet2(skips[-1], time)))
            x = stage.resample(skips[-1])
        x = self.mid_resnet1(x, time)
        x = self.mid_resnet2(self.mid_attention(x), time)
        for stage in self.up_blocks:
            x = stage.resnet1(torch.cat((x, skips.pop()), 1), time)
            x = stage.resnet2(torch.cat((x, skips.pop()), 1), time)
            x = stage.resample(stage.attention(x))
        restored = self.conv_out(self.resnet_out(torch.cat((x, first), 1), time))
        return UNet2DOutput(sample=restored) if return_dict else (restored,)


class Sinusoids(nn.Module):
    """Timesteps (batch,) -> (batch, dim), float32: sines, then cosines, of dim / 2 frequencies from 1 to 1e-4."""

    def __init__(self, dim: int):
        super().__init__()
        self.half = dim // 2

    def forward(self, timestep: Tensor) -> Tensor:
        rate = math.log(10000) / (self.half - 1)
        frequencies = torch.exp(torch.arange(self.half, device=timestep.device) * -rate)
        angles = timestep.float()[:, None] * frequencies
        return torch.cat((angles.sin(), angles.cos()), 1)


class Stage(nn.Module):
    """One resolution: two residual blocks, linear attention, then a change of resolution and width."""

    def __init__(self, in_width: int, width: int, heads: tuple[int, int], common: tuple[int, int], resample: nn.Module):
        super().__init__()
        self.resnet1 = ResnetBlock(in_width, width, *common)
        self.resnet2 = ResnetBlock(in_width, width, *common)
        self.attention = LinearAttention(width, *heads)
        self.resample = resample


class ResnetBlock(nn.Module):
    """Two convolution blocks and a shortcut; the time embedding scales and shifts within the first."""

    def __init__(self, in_width: int, width: int, time_dim: int, groups: int):
        super().__init__()
        self.time_projection = nn.Linear(time_dim, 2 * width)
        self.conv1 = StandardisedConv2d(in_width, width, 3, padding=1)
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = StandardisedConv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width)
        self.shortcut = nn.Conv2d(in_width, width, 1) if in_width != width else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time_projection(F.silu(time))[:, :, None, None].chunk(2, 1)
        out = F.silu(self.norm1(self.conv1(x)) * (scale + 1) + shift)
        return F.silu(self.norm2(self.conv2(out))) + self.shortcut(x)


class StandardisedConv2d(nn.Conv2d):
    """Convolution whose kernels have mean 0 and variance 1 (Qiao et al., arXiv 1903.10520)."""

    def forward(self, x: Tensor) -> Tensor:
        epsilon = 1e-5 if x.dtype == torch.float32 else 1e-3
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * (variance + epsilon).rsqrt()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class ChannelNorm(nn.Module):
    """Normalises the channels of every pixel; a gain, no shift."""

    def __init__(self, width: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        epsilon = 1e-5 if x.dtype == torch.float32 else 1e-3
        variance, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
        return (x - mean) * (variance + epsilon).rsqrt() * self.gain


class LinearAttention(nn.Module):
    """Residual attention at a cost linear in the pixels: softmax of queries and of keys apart (arXiv 1812.01243)."""

    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(width)
        self.to_qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Conv2d(heads * head_dim, width, 1)
        self.norm_out = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = split_heads(self.to_qkv(self.norm(x)), self.heads)
        q = q.softmax(-2) * q.shape[-2] ** -0.5
        context = k.softmax(-1) @ (v / v.shape[-1]).transpose(-1, -2)  # (batch, heads, key channel, value channel)
        out = context.transpose(-1, -2) @ q
        return x + self.norm_out(self.to_out(out.reshape(len(x), -1, *x.shape[-2:])))


class PixelAttention(nn.Module):
    """Residual attention between all pixels, ten times the products of normalised queries and keys.

    Meant as cosines, but the released code gives every channel unit length over the pixels, not every pixel over the
    channels; the weights were trained like that.
    """

    def __init__(self, width: int, heads: int, head_dim: int):
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(width)
        self.to_qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.to_out = nn.Conv2d(heads * head_dim, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = split_heads(self.to_qkv(self.norm(x)), self.heads)
        weights = (10 * F.normalize(q, dim=-1).transpose(-1, -2) @ F.normalize(k, dim=-1)).softmax(-1)
        out = v @ weights.transpose(-1, -2)
        return x + self.to_out(out.reshape(len(x), -1, *x.shape[-2:]))


def split_heads(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(batch, 3 * heads * head_dim, height, width) -> queries, keys, values (batch, heads, head_dim, pixels)."""
    return tuple(part.unflatten(1, (heads, -1)).flatten(3) for part in qkv.chunk(3, 1))

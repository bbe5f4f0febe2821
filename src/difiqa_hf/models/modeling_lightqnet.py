"""LightQNet (Chen et al., IEEE SPL 2021): a small MobileNetV3 that regresses one confidence an image.

The layers are those of the three released graphs (KaenChan/lightqnet), TensorFlow's padding included.

This file imports nothing of difiqa_hf, because the Hub copies single files.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

# name -> (channels of the stem, blocks (expanded channels or 0, channels, stride), channels of the last convolution)
WIDTHS = {
    "dm100": (16, ((0, 16, 2), (72, 24, 2), (88, 24, 1), (96, 40, 2), (240, 40, 1), (240, 40, 1), (120, 48, 1),
                   (144, 48, 1), (288, 96, 2), (576, 96, 1), (576, 96, 1)), 576),
    "dm050": (8, ((0, 8, 2), (40, 16, 2), (56, 16, 1), (64, 24, 2), (144, 24, 1), (144, 24, 1), (72, 24, 1),
                  (72, 24, 1), (144, 48, 2), (288, 48, 1), (288, 48, 1)), 288),
    "dm025": (8, ((0, 8, 2), (40, 8, 2), (32, 8, 1), (32, 16, 2), (96, 16, 1), (96, 16, 1), (48, 16, 1),
                  (48, 16, 1), (96, 24, 2), (144, 24, 1), (144, 24, 1)), 144),
}  # fmt: skip


@strict
class LightQNetConfig(PreTrainedConfig):
    """Architecture and input contract of a LightQNet; the default is the widest released one, dm100.

    Args:
        stem_width: channels of the first convolution, stride 1.
        blocks: (expanded channels, channels, stride) of each; 0 for no expansion.
        last_width: channels of the last 1x1 convolution.
        batch_norm_eps: of all BatchNorms.
        image_size: height and width of the canonical `pixel_values`.
        network_size: what they are resized to, in OpenCV's 8-bit arithmetic, which the released demo used.
        color_order: "bgr" (the released demo) or "rgb" (the released training code); the authors contradict themselves.
        image_mean, image_std: on the scale 0..255.
        reference_quantiles: evenly spaced quantiles (0 to 100 %) of the score on a reference set, for percentiles.
    """

    model_type = "lightqnet"

    stem_width: int = WIDTHS["dm100"][0]
    blocks: list | tuple = WIDTHS["dm100"][1]
    last_width: int = WIDTHS["dm100"][2]
    batch_norm_eps: float = 2e-5
    image_size: int = 112
    network_size: int = 96
    color_order: Literal["rgb", "bgr"] = "bgr"
    image_mean: float = 128.0
    image_std: float = 128.0
    reference_quantiles: list[float] | None = None

    def __post_init__(self, **kwargs):
        self.blocks = [list(block) for block in self.blocks]
        super().__post_init__(**kwargs)

    def validate_blocks(self):
        """Every block is three numbers."""
        for block in self.blocks:
            if len(block) != 3 or block[0] < 0 or min(block[1:]) < 1:
                raise ValueError(f"a block is (expanded channels or 0, channels, stride), found {block}")


@dataclass
class LightQNetOutput(ModelOutput):
    """`quality` (batch,) in [0, 1], higher is better."""

    quality: Tensor | None = None


class LightQNetLayer(nn.Module):
    """Convolution with TensorFlow's SAME padding, BatchNorm, ReLU unless it narrows."""

    def __init__(self, config: LightQNetConfig, in_width, width, kernel_size=1, stride=1, groups=1, activation=True):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(in_width, width, kernel_size, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(width, config.batch_norm_eps)
        self.activation = nn.ReLU() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        (kernel_size, _), sides = self.conv.kernel_size, x.shape[-2:]
        if kernel_size > 1:
            # the last output reads up to (outputs - 1) * stride + kernel; what lies outside is split, more of it behind
            (top, bottom), (left, right) = (self.padding(side, kernel_size) for side in sides)
            x = F.pad(x, (left, right, top, bottom))
        return self.activation(self.norm(self.conv(x)))

    def padding(self, side: int, kernel_size: int) -> tuple[int, int]:
        """Zeros before and after one axis: (1, 1) at stride 1, (0, 1) at stride 2 on even sides."""
        outputs = -(-side // self.stride)
        total = max((outputs - 1) * self.stride + kernel_size - side, 0)
        return total // 2, total - total // 2


class LightQNetBlock(nn.Module):
    """Inverted residual: widen, filter each channel, narrow without activation."""

    def __init__(self, config: LightQNetConfig, in_width: int, expanded: int, width: int, stride: int):
        super().__init__()
        self.expand = LightQNetLayer(config, in_width, expanded) if expanded else nn.Identity()
        expanded = expanded or in_width
        self.depthwise = LightQNetLayer(config, expanded, expanded, 3, stride, groups=expanded)
        self.project = LightQNetLayer(config, expanded, width, activation=False)
        self.residual = stride == 1 and in_width == width

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class LightQNet(PreTrainedModel):
    """Quality (batch,) in [0, 1] of faces (batch, 3, 112, 112), RGB in [-1, 1]."""

    config_class = LightQNetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: LightQNetConfig):
        super().__init__(config)
        self.stem = LightQNetLayer(config, 3, config.stem_width, 3)
        blocks, width = [], config.stem_width
        for expanded, channels, stride in config.blocks:
            blocks.append(LightQNetBlock(config, width, expanded, channels, stride))
            width = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = LightQNetLayer(config, width, config.last_width)
        self.fc = nn.Linear(config.last_width, 1)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Values of a fresh network, and of keys that a checkpoint lacks."""
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> LightQNetOutput | tuple[Tensor]:
        """Score aligned faces: `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1]."""
        x = to_network_input(pixel_values, self.config).to(self.dtype)
        x = self.last(self.blocks(self.stem(x))).mean(dim=(2, 3))
        quality = self.fc(x).squeeze(-1).sigmoid()
        return LightQNetOutput(quality=quality) if return_dict else (quality,)


def to_network_input(pixel_values: Tensor, config: LightQNetConfig) -> Tensor:
    """Canonical RGB faces in [-1, 1] (batch, 3, size, size) as the network saw them: smaller, 8 bits, its own scale."""
    size = config.image_size
    if tuple(pixel_values.shape[1:]) != (3, size, size) or not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values must be (batch, 3, {size}, {size}), floating point in [-1, 1], "
            f"found {tuple(pixel_values.shape)}, {pixel_values.dtype}; FaceImageProcessor makes them from images"
        )
    x = pixel_values if config.color_order == "rgb" else pixel_values.flip(1)
    levels = ((x.float() + 1) * 127.5).round().int()
    if size != config.network_size:
        levels = resize_levels(levels, config.network_size)
    return (levels.float() - config.image_mean) / config.image_std


def resize_levels(levels: Tensor, size: int) -> Tensor:
    """8-bit levels (..., height, width), int32, to (..., size, size) exactly as OpenCV's INTER_LINEAR computes them.

    It weighs in 11-bit fixed point and truncates twice, up to a level below the exact value: in scores, up to .002.
    """
    (left, right), (w_left, w_right) = _taps(levels.shape[-1], size, levels.device)
    rows = levels[..., left] * w_left + levels[..., right] * w_right
    (top, bottom), (w_top, w_bottom) = _taps(levels.shape[-2], size, levels.device)
    above = ((rows[..., top, :] >> 4) * w_top[:, None]) >> 16
    below = ((rows[..., bottom, :] >> 4) * w_bottom[:, None]) >> 16
    return (above + below + 2) >> 2


def _taps(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For every output the two inputs around its centre, (2, size), and their weights in units of 1/2048."""
    position = (torch.arange(size, device=device, dtype=torch.float32) + 0.5) * (length / size) - 0.5
    first = position.floor()
    fraction = position - first
    weights = (torch.stack([1 - fraction, fraction]) * 2048).round().int()
    return torch.stack([first, first + 1]).clamp(0, length - 1).long(), weights


# Serves AutoModel without remote code; a copy of this file that came from the Hub must not take the package's place.
if __name__.startswith("difiqa_hf."):
    AutoConfig.register(LightQNetConfig.model_type, LightQNetConfig, exist_ok=True)
    AutoModel.register(LightQNetConfig, LightQNet, exist_ok=True)

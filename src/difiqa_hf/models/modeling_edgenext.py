"""EdgeNeXt (Maaz et al. 2022, arXiv 2206.10589) with an embedding head: the network of EdgeFace (arXiv 2307.01838).

Layers and names follow timm's `edgenext_x_small`, so that its checkpoints load without renaming.

This file imports nothing of difiqa_hf, because the Hub copies single files; that is why every recogniser repeats the
input fields of its configuration and the lines of `to_network_input`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput


@strict
class EdgeNeXtConfig(PreTrainedConfig):
    """Architecture and input contract of an EdgeNeXt; the defaults are EdgeFace-XS.

    Args:
        depths: blocks in each stage.
        widths: channels of each stage.
        attention_blocks: how many of them, at the end of the stage, are attention blocks.
        kernel_sizes: of the depthwise convolutions in each stage.
        num_heads: attention heads in each stage.
        num_scales: groups of channels that an attention block filters one after the other, in each stage.
        position_encoding: whether the attention blocks of a stage add the position.
        mlp_ratio: hidden width of the MLPs in units of their input.
        layer_scale: initial value of the factor on each branch.
        layer_norm_eps: of all layer norms.
        embedding_size: length of the embedding.
        image_size: height and width of the canonical `pixel_values`, before `crop`.
        crop: (top, left, height, width) that the network sees of them, None for everything.
        color_order: "rgb" or "bgr", what the network was trained with.
        image_mean, image_std: per channel in the network's order, on the scale 0..255.
    """

    model_type = "edgenext"

    depths: list | tuple = (3, 3, 9, 3)
    widths: list | tuple = (32, 64, 100, 192)
    attention_blocks: list | tuple = (0, 1, 1, 1)
    kernel_sizes: list | tuple = (3, 5, 7, 9)
    num_heads: list | tuple = (4, 4, 4, 4)
    num_scales: list | tuple = (2, 2, 3, 4)
    position_encoding: list | tuple = (False, True, False, False)
    mlp_ratio: int = 4
    layer_scale: float = 1e-6
    layer_norm_eps: float = 1e-6
    embedding_size: int = 512
    image_size: int = 112
    crop: list | tuple | None = None
    color_order: Literal["rgb", "bgr"] = "rgb"
    image_mean: list | tuple = (127.5, 127.5, 127.5)
    image_std: list | tuple = (127.5, 127.5, 127.5)

    def validate_stages(self):
        """Every stage has all its numbers, and heads that divide its channels."""
        names = ("depths", "attention_blocks", "kernel_sizes", "num_heads", "num_scales", "position_encoding")
        for name in names:
            if len(getattr(self, name)) != len(self.widths):
                raise ValueError(f"{name} has {len(getattr(self, name))} values for {len(self.widths)} widths")
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            if width % heads:
                raise ValueError(f"{heads} heads do not divide {width} channels")

    def validate_input(self):
        """The crop lies inside the image; mean and standard deviation have three channels."""
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise ValueError(f"image_mean and image_std have 3 values each, found {self.image_mean}, {self.image_std}")
        crop, size = self.crop, self.image_size
        if crop is not None and (
            len(crop) != 4 or min(crop) < 0 or 0 in crop[2:] or crop[0] + crop[2] > size or crop[1] + crop[3] > size
        ):
            raise ValueError(f"crop must be (top, left, height, width) within side {size}, found {crop}")


@dataclass
class EdgeNeXtOutput(ModelOutput):
    """embeddings (batch, embedding_size), not L2-normalised."""

    embeddings: Tensor | None = None


class EdgeNeXtLayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of (batch, channels, height, width)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class EdgeNeXtMlp(nn.Module):
    """Two linear layers on the last dimension."""

    def __init__(self, width: int, ratio: int):
        super().__init__()
        self.fc1 = nn.Linear(width, width * ratio)
        self.fc2 = nn.Linear(width * ratio, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class EdgeNeXtConvBlock(nn.Module):
    """Depthwise convolution and MLP (a ConvNeXt block)."""

    def __init__(self, config: EdgeNeXtConfig, stage: int):
        super().__init__()
        width, kernel_size = config.widths[stage], config.kernel_sizes[stage]
        self.conv_dw = nn.Conv2d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.mlp = EdgeNeXtMlp(width, config.mlp_ratio)
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_dw(x).permute(0, 2, 3, 1)
        out = self.gamma * self.mlp(self.norm(out))
        return x + out.permute(0, 3, 1, 2)


class EdgeNeXtPositionEncoding(nn.Module):
    """Sines and cosines of the row and of the column, projected to the width of the stage."""

    def __init__(self, width: int, num_features: int = 32, temperature: float = 10000.0):
        super().__init__()
        self.num_features, self.temperature = num_features, temperature
        self.token_projection = nn.Conv2d(2 * num_features, width, 1)

    def forward(self, height: int, width: int) -> Tensor:
        """(1, channels, height, width)."""
        weight = self.token_projection.weight
        rows = self.encode(height, weight.device)[:, None, :].expand(-1, width, -1)
        columns = self.encode(width, weight.device)[None].expand(height, -1, -1)
        features = torch.cat([rows, columns], dim=2).permute(2, 0, 1)[None]
        return self.token_projection(features.to(weight.dtype))

    def encode(self, length: int, device: torch.device) -> Tensor:
        """(length, num_features): sine and cosine alternate, frequencies fall; positions run to 2 pi."""
        position = torch.arange(1, length + 1, device=device, dtype=torch.float32) / (length + 1e-6) * 2 * math.pi
        exponent = torch.arange(0, self.num_features, 2, device=device, dtype=torch.float32) / self.num_features
        angle = position[:, None] / self.temperature**exponent
        return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)


class EdgeNeXtAttention(nn.Module):
    """Cross-covariance attention (El-Nouby et al. 2021): channels attend to channels, cost linear in the pixels."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.temperature = nn.Parameter(torch.empty(num_heads, 1, 1))
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        query, key, value = self.qkv(x).view(batch, tokens, 3, self.num_heads, -1).permute(2, 0, 3, 4, 1)
        # (batch, heads, channels of the head, tokens); the attention is channel x channel
        attention = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)
        out = (attention * self.temperature).softmax(dim=-1) @ value
        return self.proj(out.permute(0, 3, 1, 2).reshape(batch, tokens, width))


class EdgeNeXtAttentionBlock(nn.Module):
    """Channel groups filtered in cascade (as in Res2Net), attention over channels, MLP."""

    def __init__(self, config: EdgeNeXtConfig, stage: int):
        super().__init__()
        width, scales = config.widths[stage], config.num_scales[stage]
        group = math.ceil(width / scales)  # the last group, not filtered, takes what remains
        self.convs = nn.ModuleList(nn.Conv2d(group, group, 3, padding=1, groups=group) for _ in range(scales - 1))
        self.pos_embd = EdgeNeXtPositionEncoding(width) if config.position_encoding[stage] else None
        self.norm_xca = nn.LayerNorm(width, config.layer_norm_eps)
        self.gamma_xca = nn.Parameter(torch.empty(width))
        self.xca = EdgeNeXtAttention(width, config.num_heads[stage])
        self.norm = nn.LayerNorm(width, config.layer_norm_eps)
        self.mlp = EdgeNeXtMlp(width, config.mlp_ratio)
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        groups = list(x.chunk(len(self.convs) + 1, dim=1))
        for i, conv in enumerate(self.convs):
            groups[i] = conv(groups[i] + groups[i - 1] if i > 0 else groups[i])
        out = torch.cat(groups, dim=1)
        if self.pos_embd is not None:
            out = out + self.pos_embd(height, width)
        out = out.flatten(2).transpose(1, 2)  # (batch, pixels, channels)
        out = out + self.gamma_xca * self.xca(self.norm_xca(out))
        out = self.gamma * self.mlp(self.norm(out))
        return x + out.transpose(1, 2).reshape(batch, channels, height, width)


class EdgeNeXtStage(nn.Module):
    """Halve the resolution, except in the first stage; convolution blocks, then attention blocks."""

    def __init__(self, config: EdgeNeXtConfig, stage: int):
        super().__init__()
        width, depth = config.widths[stage], config.depths[stage]
        self.downsample = nn.Identity()
        if stage > 0:
            previous = config.widths[stage - 1]
            norm = EdgeNeXtLayerNorm2d(previous, config.layer_norm_eps)
            self.downsample = nn.Sequential(norm, nn.Conv2d(previous, width, 2, stride=2))
        num_convolutional = depth - config.attention_blocks[stage]
        self.blocks = nn.Sequential(
            *(EdgeNeXtConvBlock(config, stage) for _ in range(num_convolutional)),
            *(EdgeNeXtAttentionBlock(config, stage) for _ in range(depth - num_convolutional)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class EdgeNeXtHead(nn.Module):
    """Average over the pixels, normalise, project."""

    def __init__(self, config: EdgeNeXtConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.widths[-1], config.layer_norm_eps)
        self.fc = nn.Linear(config.widths[-1], config.embedding_size)

    def pool(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> what the linear layer sees, (batch, channels)."""
        return self.norm(x.mean(dim=(2, 3)))


class EdgeNeXtRecognizer(PreTrainedModel):
    """Aligned faces to embeddings."""

    config_class = EdgeNeXtConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: EdgeNeXtConfig):
        super().__init__(config)
        stem_norm = EdgeNeXtLayerNorm2d(config.widths[0], config.layer_norm_eps)
        self.stem = nn.Sequential(nn.Conv2d(3, config.widths[0], 4, stride=4), stem_norm)
        self.stages = nn.Sequential(*(EdgeNeXtStage(config, stage) for stage in range(len(config.widths))))
        self.head = EdgeNeXtHead(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Values of a fresh network, and of keys that a checkpoint lacks."""
        super()._init_weights(module)  # linear, convolution: normal, std .02; layer norm: 1 and 0
        if isinstance(module, EdgeNeXtAttention):
            init.ones_(module.temperature)
        for name in ("gamma", "gamma_xca"):
            if hasattr(module, name):
                init.constant_(getattr(module, name), self.config.layer_scale)

    def forward_features(self, pixel_values: Tensor) -> Tensor:
        """What the last linear layer sees, (batch, features), before dropout; pixel_values as for `forward`."""
        x = to_network_input(pixel_values, self.config).to(self.dtype)
        return self.head.pool(self.stages(self.stem(x)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Embeddings (batch, embedding_size), not L2-normalised, of what `forward_features` returns."""
        return self.head.fc(features)

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> EdgeNeXtOutput | tuple[Tensor]:
        """Embed aligned faces.

        Args:
            pixel_values: (batch, 3, 112, 112), RGB in [-1, 1], whatever the network was trained with.

        Returns:
            `embeddings` (batch, embedding_size), not L2-normalised.
        """
        embeddings = self.forward_head(self.forward_features(pixel_values))
        return EdgeNeXtOutput(embeddings=embeddings) if return_dict else (embeddings,)


def to_network_input(pixel_values: Tensor, config: PreTrainedConfig) -> Tensor:
    """Canonical RGB faces in [-1, 1] (batch, 3, size, size) in the colour order, scale and crop of the network."""
    size = config.image_size
    if tuple(pixel_values.shape[1:]) != (3, size, size) or not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values must be (batch, 3, {size}, {size}), floating point in [-1, 1], "
            f"found {tuple(pixel_values.shape)}, {pixel_values.dtype}; FaceImageProcessor makes them from images"
        )
    x = pixel_values if config.color_order == "rgb" else pixel_values.flip(1)
    mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (config.image_mean, config.image_std))
    x = x * (127.5 / std) + (127.5 - mean) / std  # exact for the usual 127.5, 127.5: x * 1 + 0
    if config.crop is not None:
        top, left, height, width = config.crop
        x = x[:, :, top : top + height, left : left + width]
    return x


# Serves AutoModel without remote code; a copy of this file that came from the Hub must not take the package's place.
if __name__.startswith("difiqa_hf."):
    AutoConfig.register(EdgeNeXtConfig.model_type, EdgeNeXtConfig, exist_ok=True)
    AutoModel.register(EdgeNeXtConfig, EdgeNeXtRecognizer, exist_ok=True)

"""iResNet (Duta et al. 2020, arXiv 2004.04989; insightface's variant): the recogniser of ArcFace, CosFace and DifFIQA.

Layers and names follow insightface's `iresnet.py`, so that a released `backbone.pth` loads without renaming.

This file imports nothing of difiqa_hf, because the Hub copies single files; that is why every recogniser repeats the
input fields of its configuration and the lines of `to_network_input`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

# depth -> blocks in each stage                  millions of parameters
LAYERS = {
    18:  (2, 2, 2, 2),                         # 24.03
    34:  (3, 4, 6, 3),                         # 34.14
    50:  (3, 4, 14, 3),                        # 43.59
    100: (3, 13, 30, 3),                       # 65.15
    200: (6, 26, 60, 6),                       # 118.83
}  # fmt: skip


@strict
class IResNetConfig(PreTrainedConfig):
    """Architecture and input contract of an iResNet; `IResNetConfig.from_depth(100)` is the usual R100.

    Args:
        layers: blocks in each stage.
        widths: channels of each stage; every stage halves the resolution.
        stem_width: channels of the first convolution.
        stem_stride: 1 as released; 2 for small networks.
        head: "fc", a linear layer on all positions, as released; "gdc", a 1x1 convolution to `head_width` channels and
            a global depthwise convolution before it, which saves most of the parameters of a small network.
        head_width: only for head="gdc".
        embedding_size: length of the embedding.
        dropout: probability before the linear layer.
        batch_norm_eps, batch_norm_momentum: 1e-5 and .1 in insightface, 2e-5 and .9 in MagFace.
        image_size: height and width of the canonical `pixel_values`, before `crop`.
        crop: (top, left, height, width) that the network sees of them, None for everything.
        color_order: "rgb" or "bgr", what the network was trained with (MagFace and AdaFace: "bgr").
        image_mean, image_std: per channel in the network's order, on the scale 0..255 (MagFace: 0 and 255).
    """

    model_type = "iresnet"

    layers: list | tuple = LAYERS[50]
    widths: list | tuple = (64, 128, 256, 512)
    stem_width: int = 64
    stem_stride: int = 1
    head: Literal["fc", "gdc"] = "fc"
    head_width: int = 512
    embedding_size: int = 512
    dropout: float = 0.0
    batch_norm_eps: float = 1e-5
    batch_norm_momentum: float = 0.1
    image_size: int = 112
    crop: list | tuple | None = None
    color_order: Literal["rgb", "bgr"] = "rgb"
    image_mean: list | tuple = (127.5, 127.5, 127.5)
    image_std: list | tuple = (127.5, 127.5, 127.5)

    @classmethod
    def from_depth(cls, depth: int, **kwargs) -> "IResNetConfig":
        """The configuration of iResNet-18, 34, 50, 100 or 200."""
        if depth not in LAYERS:
            raise ValueError(f"iResNet comes with depth {', '.join(map(str, LAYERS))}, found {depth}; or give `layers`")
        return cls(layers=LAYERS[depth], **kwargs)

    def validate_stages(self):
        """Every stage has blocks and a width."""
        if len(self.layers) != len(self.widths) or min(self.layers) < 1:
            raise ValueError(f"layers and widths have one value > 0 for each stage, found {self.layers}, {self.widths}")

    def validate_input(self):
        """The crop lies inside the image; mean and standard deviation have three channels."""
        if len(self.image_mean) != 3 or len(self.image_std) != 3 or min(self.image_std) <= 0:
            raise ValueError(f"image_mean and image_std have 3 values each, found {self.image_mean}, {self.image_std}")
        crop, size = self.crop, self.image_size
        if crop is not None and (
            len(crop) != 4 or min(crop) < 0 or 0 in crop[2:] or crop[0] + crop[2] > size or crop[1] + crop[3] > size
        ):
            raise ValueError(f"crop must be (top, left, height, width) within side {size}, found {crop}")

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return tuple(self.crop[2:]) if self.crop is not None else (self.image_size, self.image_size)


@dataclass
class IResNetOutput(ModelOutput):
    """embeddings (batch, embedding_size), not L2-normalised."""

    embeddings: Tensor | None = None


class IResNetBlock(nn.Module):
    """BatchNorm first, one PReLU in the middle, the stride in the second convolution."""

    def __init__(self, config: IResNetConfig, in_width: int, width: int, stride: int):
        super().__init__()
        self.bn1 = batch_norm(config, in_width)
        self.conv1 = nn.Conv2d(in_width, width, 3, padding=1, bias=False)
        self.bn2 = batch_norm(config, width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn3 = batch_norm(config, width)
        self.downsample = None
        if stride != 1 or in_width != width:
            shortcut = nn.Conv2d(in_width, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, batch_norm(config, width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1(self.bn1(x))
        out = self.bn3(self.conv2(self.prelu(self.bn2(out))))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNetRecognizer(PreTrainedModel):
    """Aligned faces to embeddings."""

    config_class = IResNetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: IResNetConfig):
        super().__init__(config)
        width = config.stem_width
        self.conv1 = nn.Conv2d(3, width, 3, config.stem_stride, padding=1, bias=False)
        self.bn1 = batch_norm(config, width)
        self.prelu = nn.PReLU(width)
        for stage, (blocks, out_width) in enumerate(zip(config.layers, config.widths, strict=True), start=1):
            layer = [IResNetBlock(config, width, out_width, stride=2)]
            layer += [IResNetBlock(config, out_width, out_width, stride=1) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*layer))
            width = out_width
        self.bn2 = batch_norm(config, width)

        reduction = config.stem_stride * 2 ** len(config.layers)
        last_shape = tuple(-(-side // reduction) for side in config.input_shape)  # padded strides round up
        features = width * math.prod(last_shape)
        if config.head == "gdc":
            features = config.head_width
            self.gdc = nn.Sequential(
                nn.Conv2d(width, features, 1, bias=False),
                batch_norm(config, features),
                nn.PReLU(features),
                nn.Conv2d(features, features, last_shape, groups=features, bias=False),
                batch_norm(config, features),
            )
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(features, config.embedding_size)
        self.features = nn.BatchNorm1d(config.embedding_size, config.batch_norm_eps, config.batch_norm_momentum)
        self.post_init()
        self.train()

    def train(self, mode: bool = True) -> "IResNetRecognizer":
        """As usual; also fixes the scale of the embedding at 1, as insightface does.

        Here and not in `__init__`, because `from_pretrained` replaces the parameters and then calls `eval()`.
        """
        super().train(mode)
        self.features.weight.requires_grad_(False)
        return self

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Values of a fresh network, and of keys that a checkpoint lacks; PReLU is unknown to transformers' default."""
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.PReLU):
            init.constant_(module.weight, 0.25)
        else:
            super()._init_weights(module)

    def forward_features(self, pixel_values: Tensor) -> Tensor:
        """What the last linear layer sees, (batch, features), before dropout; pixel_values as for `forward`."""
        x = to_network_input(pixel_values, self.config).to(self.dtype)
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in range(1, len(self.config.layers) + 1):
            x = getattr(self, f"layer{stage}")(x)
        x = self.bn2(x)
        if self.config.head == "gdc":
            x = self.gdc(x)
        return x.flatten(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """Embeddings (batch, embedding_size), not L2-normalised, of what `forward_features` returns."""
        return self.features(self.fc(self.dropout(features)))

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> IResNetOutput | tuple[Tensor]:
        """Embed aligned faces.

        Args:
            pixel_values: (batch, 3, 112, 112), RGB in [-1, 1], whatever the network was trained with.

        Returns:
            `embeddings` (batch, embedding_size), not L2-normalised.
        """
        embeddings = self.forward_head(self.forward_features(pixel_values))
        return IResNetOutput(embeddings=embeddings) if return_dict else (embeddings,)


def batch_norm(config: IResNetConfig, width: int) -> nn.BatchNorm2d:
    """BatchNorm with the constants of the configuration."""
    return nn.BatchNorm2d(width, config.batch_norm_eps, config.batch_norm_momentum)


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
    AutoConfig.register(IResNetConfig.model_type, IResNetConfig, exist_ok=True)
    AutoModel.register(IResNetConfig, IResNetRecognizer, exist_ok=True)

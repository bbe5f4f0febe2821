"""IR-50 and IR-101 in the style of face.evoLVe: the recognisers AdaFace and CurricularFace, the quality of SDD-FIQA.

A cousin of iResNet: the shortcut of the first stage is a subsampling without weights, the middle BatchNorm of a unit is
there in AdaFace only, and the embedding's BatchNorm has no scale or shift. Names follow the published state dicts.

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

# depth -> units in each stage
LAYERS = {50: (3, 4, 14, 3), 101: (3, 13, 30, 3)}


@strict
class IRConfig(PreTrainedConfig):
    """Architecture and input contract of an IR network; `IRConfig.from_depth(101)` is AdaFace's and CurricularFace's.

    Args:
        layers: units in each stage.
        widths: channels of each stage; every stage halves the resolution.
        stem_width: channels of the first convolution.
        middle_batch_norm: BatchNorm between the first convolution of a unit and its PReLU (AdaFace: yes).
        embedding_size: length of the embedding.
        dropout: probability before the linear layer.
        batch_norm_eps: of every BatchNorm.
        image_size: height and width of the canonical `pixel_values`, before `crop`.
        crop: (top, left, height, width) that the network sees of them, None for everything.
        color_order: "rgb" or "bgr", what the network was trained with (AdaFace: "bgr").
        image_mean, image_std: per channel in the network's order, on the scale 0..255.
    """

    model_type = "ir"

    layers: list | tuple = LAYERS[50]
    widths: list | tuple = (64, 128, 256, 512)
    stem_width: int = 64
    middle_batch_norm: bool = False
    embedding_size: int = 512
    dropout: float = 0.4
    batch_norm_eps: float = 1e-5
    image_size: int = 112
    crop: list | tuple | None = None
    color_order: Literal["rgb", "bgr"] = "rgb"
    image_mean: list | tuple = (127.5, 127.5, 127.5)
    image_std: list | tuple = (127.5, 127.5, 127.5)

    @classmethod
    def from_depth(cls, depth: int, **kwargs) -> "IRConfig":
        """The configuration of IR-50 or IR-101."""
        if depth not in LAYERS:
            raise ValueError(f"IR comes with depth {', '.join(map(str, LAYERS))}, found {depth}; or give `layers`")
        return cls(layers=LAYERS[depth], **kwargs)

    def validate_stages(self):
        """Every stage has units and a width."""
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

    @property
    def features(self) -> int:
        """Length of the flattened last map."""
        reduction = 2 ** len(self.layers)
        return self.widths[-1] * math.prod(-(-side // reduction) for side in self.input_shape)


@strict
class IRQualityConfig(IRConfig):
    """As `IRConfig`, of an `IRQualityModel`; `embedding_size` is without meaning."""

    model_type = "ir_quality"

    dropout: float = 0.5


@dataclass
class IROutput(ModelOutput):
    """embeddings (batch, embedding_size), not L2-normalised; or quality (batch,), higher is better."""

    embeddings: Tensor | None = None
    quality: Tensor | None = None


class IRUnit(nn.Module):
    """BatchNorm first, the stride in the second convolution and in the shortcut."""

    def __init__(self, config: IRConfig, in_width: int, width: int, stride: int):
        super().__init__()
        norm = config.batch_norm_eps
        middle = [nn.BatchNorm2d(width, norm)] if config.middle_batch_norm else []
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_width, norm),
            nn.Conv2d(in_width, width, 3, padding=1, bias=False),
            *middle,
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(width, norm),
        )
        self.shortcut_layer = nn.MaxPool2d(1, stride)
        if in_width != width:
            convolution = nn.Conv2d(in_width, width, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, nn.BatchNorm2d(width, norm))

    def forward(self, x: Tensor) -> Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


class IRModel(PreTrainedModel):
    """What the two networks share: stem and body."""

    config_class = IRConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: IRConfig):
        super().__init__(config)
        width = config.stem_width
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width, config.batch_norm_eps),
            nn.PReLU(width),
        )
        self.body = nn.Sequential()
        for units, out_width in zip(config.layers, config.widths, strict=True):
            for i in range(units):
                self.body.append(IRUnit(config, width, out_width, stride=2 if i == 0 else 1))
                width = out_width

    def feature_map(self, pixel_values: Tensor) -> Tensor:
        """Last map (batch, width, height, width) of canonical `pixel_values`."""
        return self.body(self.input_layer(to_network_input(pixel_values, self.config).to(self.dtype)))

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


class IRRecognizer(IRModel):
    """Aligned faces to embeddings: AdaFace, CurricularFace."""

    def __init__(self, config: IRConfig):
        super().__init__(config)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(config.widths[-1], config.batch_norm_eps),
            nn.Dropout(config.dropout),
            nn.Flatten(),
            nn.Linear(config.features, config.embedding_size),
            nn.BatchNorm1d(config.embedding_size, config.batch_norm_eps, affine=False),
        )
        self.post_init()

    def forward_features(self, pixel_values: Tensor) -> Tensor:
        """What the last linear layer sees, (batch, features), before dropout; pixel_values as for `forward`."""
        norm, _, flatten, *_ = self.output_layer
        return flatten(norm(self.feature_map(pixel_values)))

    def forward_head(self, features: Tensor) -> Tensor:
        """Embeddings (batch, embedding_size), not L2-normalised, of what `forward_features` returns."""
        _, dropout, _, linear, norm = self.output_layer
        return norm(linear(dropout(features)))

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> IROutput | tuple[Tensor]:
        """`embeddings` (batch, embedding_size), not L2-normalised, of faces (batch, 3, 112, 112), RGB in [-1, 1]."""
        embeddings = self.forward_head(self.forward_features(pixel_values))
        return IROutput(embeddings=embeddings) if return_dict else (embeddings,)


class IRQualityModel(IRModel):
    """Aligned faces to qualities, about 0 to 100 as published: SDD-FIQA."""

    config_class = IRQualityConfig

    def __init__(self, config: IRQualityConfig):
        super().__init__(config)
        size = config.features
        self.quality = nn.Sequential(nn.Flatten(), nn.PReLU(size), nn.Dropout(config.dropout), nn.Linear(size, 1))
        self.post_init()

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> IROutput | tuple[Tensor]:
        """`quality` (batch,), higher is better, of faces (batch, 3, 112, 112), RGB in [-1, 1]."""
        quality = self.quality(self.feature_map(pixel_values)).squeeze(-1)
        return IROutput(quality=quality) if return_dict else (quality,)


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
    for config_class, model_class in ((IRConfig, IRRecognizer), (IRQualityConfig, IRQualityModel)):
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)

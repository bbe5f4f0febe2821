"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573): inverted residuals and a head that knows where a feature lies.

One configurable network covers the variants in circulation (PReLU or ReLU6, any widths, global depthwise convolution or
flattening head, with BatchNorm or with BatchNorm folded into the convolutions), and students trained from scratch.

This file imports nothing of difiqa_hf, because the Hub copies single files; that is why every recogniser repeats the
input fields of its configuration and the lines of `to_network_input`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput


@strict
class MobileFaceNetConfig(PreTrainedConfig):
    """Architecture and input contract of a MobileFaceNet.

    Args:
        stem_width: channels of the first convolution (stride 2) and of the depthwise one after it.
        stem_groups: groups of the second stem convolution, None for one group per channel.
        stem_pointwise: whether a 1x1 convolution completes the second stem convolution.
        stem_activation: activation after these two, None for `activation`.
        stages: (expansion, channels, repeats, stride) of each stage, stride in its first block. A block has a residual
            connection where its input and output have the same shape.
        last_width: channels of the 1x1 convolution after the last stage.
        head: "gdc" weighs positions by a global depthwise convolution; "flatten" reduces to `head_width` channels, with
            activation, and flattens. Both end in a linear layer and a BatchNorm.
        head_width: channels that are flattened, only for head="flatten".
        embedding_size: length of the embedding.
        activation: "prelu", "relu" or "relu6".
        batch_norm: False for released networks whose BatchNorm is folded into the convolutions (the last one stays).
        image_size: height and width of the canonical `pixel_values`, before `crop`.
        crop: (top, left, height, width) that the network sees of them, None for everything.
        color_order: "rgb" or "bgr", what the network was trained with.
        image_mean, image_std: per channel in the network's order, on the scale 0..255.
    """

    model_type = "mobilefacenet"

    stem_width: int = 64
    stem_groups: int | None = None
    stem_pointwise: bool = False
    stem_activation: Literal["prelu", "relu", "relu6"] | None = None
    stages: list | tuple = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
    last_width: int = 512
    head: Literal["gdc", "flatten"] = "gdc"
    head_width: int = 64
    embedding_size: int = 128
    activation: Literal["prelu", "relu", "relu6"] = "prelu"
    batch_norm: bool = True
    batch_norm_eps: float = 1e-5
    image_size: int = 112
    crop: list | tuple | None = None
    color_order: Literal["rgb", "bgr"] = "rgb"
    image_mean: list | tuple = (127.5, 127.5, 127.5)
    image_std: list | tuple = (127.5, 127.5, 127.5)

    def __post_init__(self, **kwargs):
        self.stages = [list(stage) for stage in self.stages]
        super().__post_init__(**kwargs)

    def validate_stages(self):
        """Every stage is four positive integers."""
        for stage in self.stages:
            if len(stage) != 4 or not all(isinstance(value, int) and value > 0 for value in stage):
                raise ValueError(f"a stage is (expansion, channels, repeats, stride), all positive; found {stage}")

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
class MobileFaceNetOutput(ModelOutput):
    """embeddings (batch, embedding_size), not L2-normalised."""

    embeddings: Tensor | None = None


class MobileFaceNetLayer(nn.Module):
    """Convolution, BatchNorm unless it is folded, activation unless None; a kernel of 3 is padded."""

    def __init__(self, config, in_width, out_width, kernel_size=1, stride=1, groups=1, activation=None):
        super().__init__()
        padding = 1 if kernel_size == 3 else 0
        bias = not config.batch_norm
        self.conv = nn.Conv2d(in_width, out_width, kernel_size, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out_width, config.batch_norm_eps) if config.batch_norm else nn.Identity()
        self.activation = {
            "prelu": lambda: nn.PReLU(out_width),
            "relu": nn.ReLU,
            "relu6": nn.ReLU6,
            None: nn.Identity,
        }[activation]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class MobileFaceNetBlock(nn.Module):
    """Inverted residual: widen, filter each channel, narrow without activation."""

    def __init__(self, config, in_width, out_width, expansion, stride):
        super().__init__()
        width = in_width * expansion
        self.expand = MobileFaceNetLayer(config, in_width, width, activation=config.activation)
        self.depthwise = MobileFaceNetLayer(config, width, width, 3, stride, width, config.activation)
        self.project = MobileFaceNetLayer(config, width, out_width)
        self.residual = stride == 1 and in_width == out_width

    def forward(self, x: Tensor) -> Tensor:
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class MobileFaceNetRecognizer(PreTrainedModel):
    """Aligned faces to embeddings."""

    config_class = MobileFaceNetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: MobileFaceNetConfig):
        super().__init__(config)
        activation, width = config.activation, config.stem_width
        stem_activation = config.stem_activation or activation
        self.stem = nn.Sequential(
            MobileFaceNetLayer(config, 3, width, 3, stride=2, activation=activation),
            MobileFaceNetLayer(config, width, width, 3, 1, config.stem_groups or width, stem_activation),
        )
        if config.stem_pointwise:
            self.stem.append(MobileFaceNetLayer(config, width, width, activation=stem_activation))

        blocks, reduction = [], 2
        for expansion, channels, repeats, stride in config.stages:
            for i in range(repeats):
                blocks.append(MobileFaceNetBlock(config, width, channels, expansion, stride if i == 0 else 1))
                width = channels
            reduction *= stride
        self.blocks = nn.Sequential(*blocks)
        self.last = MobileFaceNetLayer(config, width, config.last_width, activation=activation)

        height, width = (-(-side // reduction) for side in config.input_shape)  # padded strides round up
        last = config.last_width
        if config.head == "gdc":
            self.reduce = MobileFaceNetLayer(config, last, last, (height, width), groups=last)
            features = last
        else:
            self.reduce = MobileFaceNetLayer(config, last, config.head_width, activation=activation)
            features = config.head_width * height * width
        self.fc = nn.Linear(features, config.embedding_size)
        self.norm = nn.BatchNorm1d(config.embedding_size, config.batch_norm_eps)
        self.post_init()

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
        return self.reduce(self.last(self.blocks(self.stem(x)))).flatten(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """Embeddings (batch, embedding_size), not L2-normalised, of what `forward_features` returns."""
        return self.norm(self.fc(features))

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> MobileFaceNetOutput | tuple[Tensor]:
        """Embed aligned faces.

        Args:
            pixel_values: (batch, 3, 112, 112), RGB in [-1, 1], whatever the network was trained with.

        Returns:
            `embeddings` (batch, embedding_size), not L2-normalised.
        """
        embeddings = self.forward_head(self.forward_features(pixel_values))
        return MobileFaceNetOutput(embeddings=embeddings) if return_dict else (embeddings,)


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
    AutoConfig.register(MobileFaceNetConfig.model_type, MobileFaceNetConfig, exist_ok=True)
    AutoModel.register(MobileFaceNetConfig, MobileFaceNetRecognizer, exist_ok=True)

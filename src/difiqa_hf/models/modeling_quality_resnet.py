"""A residual network that regresses quality: the shape of FaceQnet (ResNet-50) and of PCNet's small network.

FaceQnet's backbone is keras-vggface's ResNet-50 (rcmalli/keras-vggface), in Caffe's style: the stride of a stage lies
in its first 1x1 convolution, BatchNorm eps is 1e-3, the first convolution pads as TensorFlow does, the pooling not at
all. The width of FaceQnet's middle layer is from memory; a converted file brings its own. PCNet's own network is not
published; the small one here is what KaenChan/lightqnet-train compares with ("Resface18").

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

PRESETS = {
    "faceqnet": dict(
        block="bottleneck", layers=[3, 4, 6, 3], widths=[256, 512, 1024, 2048], stem_kernel=7, stem_padding=[2, 3],
        max_pool=True, head_width=32, output_mapping="identity", network_size=224, color_order="bgr",
        image_mean=0.0, image_std=1.0,
    ),
    "pcnet": dict(),
}  # fmt: skip


@strict
class QualityResNetConfig(PreTrainedConfig):
    """Architecture and input contract; the defaults are PCNet's small network, `from_preset("faceqnet")` FaceQnet's.

    Args:
        block: "basic" (two 3x3 convolutions) or "bottleneck" (1x1, 3x3, 1x1, four times as wide at its end).
        layers: blocks in each stage.
        widths: channels at the end of each stage; every stage but the first halves the resolution.
        stem_width, stem_kernel, stem_padding: of the first convolution, stride 2; padding before and after.
        max_pool: whether a 3x3 pooling of stride 2, not padded, follows.
        head_width: hidden width of the head, None for one linear layer.
        dropout: before the head.
        output_mapping: "sigmoid" (0 to 1) or "identity".
        batch_norm_eps: of all BatchNorms.
        image_size: height and width of the canonical `pixel_values`.
        network_size: what they are resized to, bilinear.
        color_order: "rgb" or "bgr"; image_mean, image_std: on the scale 0..255.
        reference_quantiles: evenly spaced quantiles (0 to 100 %) of the score on a reference set, for percentiles.
    """

    model_type = "quality_resnet"

    block: Literal["basic", "bottleneck"] = "basic"
    layers: list | tuple = (1, 2, 2, 1)
    widths: list | tuple = (64, 128, 256, 512)
    stem_width: int = 64
    stem_kernel: int = 3
    stem_padding: list | tuple = (1, 1)
    max_pool: bool = False
    head_width: int | None = None
    dropout: float = 0.0
    output_mapping: Literal["sigmoid", "identity"] = "sigmoid"
    batch_norm_eps: float = 1e-3
    image_size: int = 112
    network_size: int = 96
    color_order: Literal["rgb", "bgr"] = "rgb"
    image_mean: float = 127.5
    image_std: float = 127.5
    reference_quantiles: list[float] | None = None

    @classmethod
    def from_preset(cls, name: str, **kwargs) -> "QualityResNetConfig":
        """The configuration of "faceqnet" or "pcnet"."""
        if name not in PRESETS:
            raise ValueError(f"presets are {', '.join(PRESETS)}, found {name!r}")
        return cls(**PRESETS[name] | kwargs)

    def validate_stages(self):
        """Every stage has blocks and a width."""
        if len(self.layers) != len(self.widths) or min(self.layers) < 1:
            raise ValueError(f"layers and widths have one value > 0 for each stage, found {self.layers}, {self.widths}")


@dataclass
class QualityResNetOutput(ModelOutput):
    """`quality` (batch,), higher is better; `logits` (batch,) before the output mapping."""

    quality: Tensor | None = None
    logits: Tensor | None = None


class QualityResNetBlock(nn.Module):
    """Convolutions and a shortcut; the last ReLU comes after their sum."""

    def __init__(self, config: QualityResNetConfig, in_width: int, width: int, stride: int):
        super().__init__()
        bottleneck = config.block == "bottleneck"
        inner = width // 4 if bottleneck else width
        kernels, widths = ((1, 3, 1), (inner, inner, width)) if bottleneck else ((3, 3), (inner, width))
        layers, previous = [], in_width
        for i, (kernel, out_width) in enumerate(zip(kernels, widths, strict=True)):
            step = stride if i == 0 else 1
            layers += [nn.ReLU()] * (i > 0)
            layers += [nn.Conv2d(previous, out_width, kernel, step, kernel // 2, bias=False)]
            layers += [nn.BatchNorm2d(out_width, config.batch_norm_eps)]
            previous = out_width
        self.layers = nn.Sequential(*layers)
        self.shortcut = nn.Identity()
        if stride != 1 or in_width != width:
            shortcut = nn.Conv2d(in_width, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(width, config.batch_norm_eps))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.shortcut(x))


class QualityResNet(PreTrainedModel):
    """Quality (batch,) of faces (batch, 3, 112, 112), RGB in [-1, 1]."""

    config_class = QualityResNetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: QualityResNetConfig):
        super().__init__(config)
        width = config.stem_width
        self.conv = nn.Conv2d(3, width, config.stem_kernel, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(width, config.batch_norm_eps)
        blocks = []
        for stage, (count, out_width) in enumerate(zip(config.layers, config.widths, strict=True)):
            for i in range(count):
                blocks.append(QualityResNetBlock(config, width, out_width, 2 if stage > 0 and i == 0 else 1))
                width = out_width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        hidden = config.head_width
        self.head = (
            nn.Linear(width, 1)
            if hidden is None
            else nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        )
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

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> QualityResNetOutput | tuple[Tensor, Tensor]:
        """Score aligned faces: `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1]."""
        before, after = self.config.stem_padding
        x = to_network_input(pixel_values, self.config).to(self.dtype)
        x = F.relu(self.norm(self.conv(F.pad(x, (before, after, before, after)))))
        if self.config.max_pool:
            x = F.max_pool2d(x, 3, stride=2)
        x = self.blocks(x).mean(dim=(2, 3))
        logits = self.head(self.dropout(x)).squeeze(-1)
        quality = logits.sigmoid() if self.config.output_mapping == "sigmoid" else logits
        output = QualityResNetOutput(quality=quality, logits=logits)
        return output if return_dict else output.to_tuple()


def to_network_input(pixel_values: Tensor, config: QualityResNetConfig) -> Tensor:
    """Canonical RGB faces in [-1, 1] (batch, 3, size, size) in the size, colour order and scale of the network."""
    size = config.image_size
    if tuple(pixel_values.shape[1:]) != (3, size, size) or not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values must be (batch, 3, {size}, {size}), floating point in [-1, 1], "
            f"found {tuple(pixel_values.shape)}, {pixel_values.dtype}; FaceImageProcessor makes them from images"
        )
    x = pixel_values if config.color_order == "rgb" else pixel_values.flip(1)
    if size != config.network_size:
        x = F.interpolate(x, size=config.network_size, mode="bilinear", align_corners=False)
    return ((x + 1) * 127.5 - config.image_mean) / config.image_std


# Serves AutoModel without remote code; a copy of this file that came from the Hub must not take the package's place.
if __name__.startswith("difiqa_hf."):
    AutoConfig.register(QualityResNetConfig.model_type, QualityResNetConfig, exist_ok=True)
    AutoModel.register(QualityResNetConfig, QualityResNet, exist_ok=True)

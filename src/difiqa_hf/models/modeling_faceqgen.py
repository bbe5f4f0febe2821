"""FaceQgen (Hernandez-Ortega et al., FG 2021): restore a face to an ideal one; quality is how little had to change.

A re-implementation from the paper's abstract, not weight-compatible with anything: the published repository holds no
such network. Known are the task (from any image of a person to a frontal one of high quality) and the three scores;
the architecture here is a plain encoder-decoder with skips and a discriminator of patches, as in pix2pix.

This file imports nothing of difiqa_hf, because the Hub copies single files.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput


@strict
class FaceQgenConfig(PreTrainedConfig):
    """Configuration of `FaceQgenModel`.

    Args:
        widths: channels of the encoder's stages, each of which halves the resolution; the decoder mirrors them.
        discriminator_widths: channels of the discriminator's stages.
        image_size: height and width of `pixel_values`, a multiple of 2 ** len(widths).
        reference_quantiles: evenly spaced quantiles (0 to 100 %) of the score on a reference set, for percentiles.
    """

    model_type = "faceqgen"

    widths: list | tuple = (64, 128, 256, 512)
    discriminator_widths: list | tuple = (64, 128, 256)
    image_size: int = 112
    reference_quantiles: list[float] | None = None

    def validate_size(self):
        """The encoder can halve the image as often as it has stages."""
        if self.image_size % 2 ** len(self.widths):
            raise ValueError(f"image_size {self.image_size} is no multiple of {2 ** len(self.widths)}")


@dataclass
class FaceQgenOutput(ModelOutput):
    """`restored` (batch, 3, size, size) in [-1, 1]; `realness` (batch,), the discriminator's logit of the input."""

    restored: Tensor | None = None
    realness: Tensor | None = None


class FaceQgenGenerator(nn.Module):
    """Encoder of strided convolutions, decoder of nearest-neighbour upsampling, skips between equal resolutions."""

    def __init__(self, config: FaceQgenConfig):
        super().__init__()
        encoder, width = [], 3
        for out_width in config.widths:
            encoder.append(stage(width, out_width, stride=2))
            width = out_width
        self.encoder = nn.ModuleList(encoder)
        decoder = []
        for skip in (*reversed(config.widths[:-1]), 3):  # what stands on the other side of each halving
            out_width = max(skip, 32)
            decoder.append(stage(width + skip, out_width))
            width = out_width
        self.decoder = nn.ModuleList(decoder)
        self.out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for layer in self.encoder:
            skips.append(x)
            x = layer(x)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], dim=1))
        return self.out(x).tanh()


class FaceQgenModel(PreTrainedModel):
    """Restored faces of faces (batch, 3, 112, 112), RGB in [-1, 1], and how real the discriminator thinks them."""

    config_class = FaceQgenConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: FaceQgenConfig):
        super().__init__(config)
        self.generator = FaceQgenGenerator(config)
        layers, width = [], 3
        for out_width in config.discriminator_widths:
            layers.append(stage(width, out_width, stride=2))
            width = out_width
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(width, 1, 3, padding=1))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Normal weights with deviation .02, as GANs of this kind begin; of keys that a checkpoint lacks, too."""
        if isinstance(module, nn.Conv2d):
            init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def discriminate(self, pixel_values: Tensor) -> Tensor:
        """Mean logit (batch,) of the patches; higher looks more like an ideal face."""
        return self.discriminator(pixel_values.to(self.dtype)).mean(dim=(1, 2, 3))

    def restore(self, pixel_values: Tensor) -> Tensor:
        """Restorations in [-1, 1] of `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1]."""
        size = self.config.image_size
        if tuple(pixel_values.shape[1:]) != (3, size, size) or not pixel_values.is_floating_point():
            raise ValueError(
                f"pixel_values must be (batch, 3, {size}, {size}), floating point in [-1, 1], "
                f"found {tuple(pixel_values.shape)}, {pixel_values.dtype}; FaceImageProcessor makes them from images"
            )
        return self.generator(pixel_values.to(self.dtype))

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> FaceQgenOutput | tuple[Tensor, Tensor]:
        """`restore` and `discriminate` a batch."""
        output = FaceQgenOutput(restored=self.restore(pixel_values), realness=self.discriminate(pixel_values))
        return output if return_dict else output.to_tuple()


def stage(in_width: int, width: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, group norm (nothing that depends on the neighbours in a batch), leaky ReLU."""
    conv = nn.Conv2d(in_width, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.GroupNorm(min(8, width), width), nn.LeakyReLU(0.2))


# Serves AutoModel without remote code; a copy of this file that came from the Hub must not take the package's place.
if __name__.startswith("difiqa_hf."):
    AutoConfig.register(FaceQgenConfig.model_type, FaceQgenConfig, exist_ok=True)
    AutoModel.register(FaceQgenConfig, FaceQgenModel, exist_ok=True)

"""A `UNet2DModel` on space-to-depth patches that predicts a correction of its input: D of Eq. 5, cheaper."""

import math

import torch
import torch.nn.functional as F
from diffusers import ModelMixin, UNet2DModel  # noqa: F401  pipelines look for their base class in this module
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import Tensor

DEGRADATION_STD = 0.09  # of d(x) - x, BSRGAN's, over the pixels of faces


class PatchUNet2DModel(UNet2DModel):
    """`UNet2DModel` between a pixel unshuffle and a pixel shuffle, with the input added back.

    The clean image differs from a training input by noise of standard deviation sqrt(1 - alphas_cumprod[t]) and by
    the blended degradation, about `degradation_std * degradation_weight(t)`. The network predicts that difference in
    units of its expected size c(t), so a face that needs no repair passes through unharmed however small t is, which
    a network that must redraw the whole image learns late. The output is still x0 (`prediction_type="sample"`).

    Args:
        sample_size: height and width inside the network, that is of the image divided by `patch_size`.
        in_channels: 3 * patch_size**2, as `out_channels`.
        patch_size: side of the square of pixels that becomes channels; 1 for none.
        degradation_timesteps: T of Eq. 6.
        degradation_std: standard deviation of d(x) - x over the pixels of [-1, 1] images.
        num_train_timesteps: length of the cosine schedule that c(t) assumes.
        **kwargs: further arguments of `UNet2DModel`.
    """

    keeps_input_precision = True  # may run in bfloat16 on a float32 sample: only the correction is rounded

    @register_to_config
    def __init__(
        self,
        sample_size: int = 56,
        in_channels: int = 12,
        out_channels: int = 12,
        down_block_types: tuple[str, ...] = ("DownBlock2D",) * 4,
        up_block_types: tuple[str, ...] = ("UpBlock2D",) * 4,
        block_out_channels: tuple[int, ...] = (48, 72, 96, 128),
        layers_per_block: int = 1,
        norm_num_groups: int = 8,
        attention_head_dim: int = 32,
        patch_size: int = 2,
        degradation_timesteps: int = 100,
        degradation_std: float = DEGRADATION_STD,
        num_train_timesteps: int = 1000,
        **kwargs,
    ):
        if in_channels != 3 * patch_size**2 or out_channels != in_channels:
            raise ValueError(
                f"in_channels and out_channels must be 3 * patch_size**2 = {3 * patch_size**2}, "
                f"found {in_channels} and {out_channels}"
            )
        own = {
            "patch_size": patch_size,
            "degradation_timesteps": degradation_timesteps,
            "degradation_std": degradation_std,
            "num_train_timesteps": num_train_timesteps,
        }
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            norm_num_groups=norm_num_groups,
            attention_head_dim=attention_head_dim,
            **kwargs,
        )
        self.register_to_config(**own)  # again: the parent has registered its own arguments over them
        torch.nn.init.zeros_(self.conv_out.weight)  # the untrained network restores nothing: x0 = x_t
        torch.nn.init.zeros_(self.conv_out.bias)

    @staticmethod
    def _get_init_keys(input_class) -> set[str]:
        """The parent's arguments are accepted too: without this, loading a saved model warns about each of them."""
        return UNet2DModel._get_init_keys(input_class) | UNet2DModel._get_init_keys(UNet2DModel)

    def correction_scale(self, timestep: Tensor) -> Tensor:
        """c(t): expected size of x0 - x_t, for 0-based timesteps (batch,); closed form of the cosine schedule."""
        t = timestep.double()
        angle = ((t + 1) / self.config.num_train_timesteps + 0.008) / 1.008 * math.pi / 2
        noise_variance = 1 - (angle.cos() / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
        weight = torch.sin((t / self.config.degradation_timesteps).clamp(max=1) * math.pi / 2)
        return (noise_variance + (weight * self.config.degradation_std) ** 2).sqrt()

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        class_labels: Tensor | None = None,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple:
        """Predict x0 (batch, 3, height, width) from x_t of the same shape at 0-based `timestep` (batch,) or scalar."""
        # sample.shape[0], not len(sample): len() would fix the batch of an exported graph
        timestep = torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0])
        patches = F.pixel_unshuffle(sample, self.config.patch_size).to(self.dtype)
        correction = super().forward(patches, timestep, class_labels, return_dict=False)[0]
        correction = F.pixel_shuffle(correction, self.config.patch_size)
        scale = self.correction_scale(timestep).float().view(-1, 1, 1, 1)
        restored = sample.float() + scale * correction.float()
        return UNet2DOutput(sample=restored) if return_dict else (restored,)

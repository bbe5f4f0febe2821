"""JPEG without a file: quantised block-wise DCT, chroma at half the density."""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# ISO/IEC 10918-1, Annex K: quantisation at quality 50
_LUMA = [
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]  # fmt: skip
_CHROMA = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_CHROMA = [[*row, *[99] * 4] for row in _CHROMA] + [[99] * 8] * 4


def jpeg(image: Tensor, quality: int | Sequence[int]) -> Tensor:
    """What JPEG at `quality` (1 to 100, one or one an image; 4:2:0) leaves of `image` (batch, 3, H, W) in [0, 1].

    The levels of the result are not rounded.
    """
    qualities = [quality] * len(image) if isinstance(quality, int) else quality
    height, width = image.shape[-2:]
    pad = (0, -width % 16, 0, -height % 16)
    x = F.pad(image, pad, mode="replicate") if any(pad) else image
    to_luma = x.new_tensor([[0.299, 0.587, 0.114]]) * 255
    to_chroma = (x.new_tensor([[0, 0, 255], [255, 0, 0]]) - to_luma) / x.new_tensor([[1.772], [1.402]])
    back = x.new_tensor([[0, 1.402], [-0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1.772, 0]])
    luma = _quantise(mix(to_luma, x).sub_(128), _tables(_LUMA, qualities)).add_(128)
    halved = x[..., ::2, :] + x[..., 1::2, :]
    halved = halved[..., ::2] + halved[..., 1::2]  # of four pixels; much faster than avg_pool2d
    chroma = _quantise(mix(to_chroma / 4, halved), _tables(_CHROMA, qualities))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = mix(back / 255, chroma).add_(luma.div_(255)).clamp_(0, 1)
    return decoded[..., :height, :width]


def mix(matrix: Tensor, planes: Tensor) -> Tensor:
    """Linear combinations of planes (batch, n, height, width)."""
    return (matrix @ planes.flatten(2)).unflatten(2, planes.shape[2:])


def _tables(base: list[list[int]], qualities: Sequence[int]) -> Tensor:
    """Quantisation tables (batch, 1, 64)."""
    scale = torch.tensor([5000 // q if q < 50 else 200 - 2 * q for q in qualities]).view(-1, 1, 1)
    return ((torch.tensor(base).flatten() * scale + 50) // 100).clamp(1, 255).float()


@lru_cache
def _dct() -> Tensor:
    """The orthonormal DCT-II of flattened 8 x 8 blocks, (64, 64)."""
    k = torch.arange(8, dtype=torch.float64)
    line = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float()


def _quantise(plane: Tensor, table: Tensor) -> Tensor:
    """Round the block-wise DCT-II coefficients of `plane` (batch, C, H, W) to multiples of `table` (batch, 1, 64)."""
    dct, table = _dct().to(plane.device), table.to(plane.device)
    b, c, h, w = plane.shape
    blocks = plane.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    steps = (blocks.reshape(b, -1, 64) @ (dct.T / table)).round_()
    return (steps @ (dct * table.mT)).view(blocks.shape).transpose(3, 4).reshape(b, c, h, w)

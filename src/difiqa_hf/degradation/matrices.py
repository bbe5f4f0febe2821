"""Blurs and resizes of one axis as matrices."""

import math
from functools import lru_cache

import torch
from torch import Tensor

RADIUS = 12  # of the largest blur kernel, 25 pixels
MIN_VARIANCE = 1e-3  # of a Gaussian that leaves an image as it is


@lru_cache(maxsize=64)
def blur_matrix(variance: float, radius: int, size: int) -> Tensor:
    """The matrix (size, size) of a truncated Gaussian along one axis, mirrored at the borders."""
    taps = torch.arange(-radius, radius + 1)
    weight = torch.softmax(taps.square() / (-2 * max(variance, MIN_VARIANCE)), 0)
    source = _mirrored(torch.arange(size)[:, None] + taps, size)
    return torch.zeros(size, size).scatter_add_(1, source, weight.expand(source.shape))


@lru_cache(maxsize=256)
def resize_matrix(mode: str, before: int, after: int, sigma: float = 0.0) -> Tensor | None:
    """The matrix (after, before) that resizes one axis, None for the identity.

    Args:
        mode: "linear", "cubic" (a = -.75) and "area" as OpenCV has them, without antialiasing; "smooth-cubic" (a = -.5)
            and "smooth-linear" with it, as MATLAB and Pillow; "between" finds what was left out when every second
            pixel was taken; "strided" blurs by a Gaussian of `sigma` (25 taps), shifted to the middle of the block of
            pixels of which one is kept.
    """
    if before == after and mode != "strided":
        return None
    scale = before / after
    corner = 0.0 if mode == "between" else 0.5
    centre = (torch.arange(after, dtype=torch.float64)[:, None] + corner) * scale - corner
    reach = RADIUS + 2 if mode == "strided" else 2 * max(1, math.ceil(scale)) + 1
    source = centre.floor() + torch.arange(-reach, reach + 1)
    distance = source - centre
    if mode == "strided":  # a kernel on whole pixels, moved by half a one: the mean of two neighbours
        moved = torch.stack((distance - 0.5, distance + 0.5))
        weight = torch.exp(-moved.square() / (2 * sigma**2)).where(moved.abs() <= RADIUS, 0).sum(0)
    elif mode == "area":  # overlap with the interval that an output pixel covers; enlarging too
        weight = ((distance + 0.5).clamp(max=scale / 2) - (distance - 0.5).clamp(min=-scale / 2)).clamp(min=0)
    elif mode == "cubic":
        weight = _cubic(distance, -0.75)
    elif mode == "linear":
        weight = (1 - distance.abs()).clamp(min=0)
    else:
        distance = distance / max(1.0, scale)
        weight = (1 - distance.abs()).clamp(min=0) if mode == "smooth-linear" else _cubic(distance, -0.5)
        if mode.startswith("smooth"):
            weight = weight.where((source >= 0) & (source < before), 0)
    source = _mirrored(source, before) if mode == "strided" else source
    weight = (weight / weight.sum(1, keepdim=True)).float()
    return torch.zeros(after, before).scatter_add_(1, source.clamp(0, before - 1).long(), weight)


def _mirrored(index: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _cubic(distance: Tensor, a: float) -> Tensor:
    d = distance.abs()
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, (((d - 5) * d + 8) * d - 4) * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))

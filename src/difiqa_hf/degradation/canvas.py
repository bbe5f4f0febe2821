"""Plans -> pixels: images wait as products of matrices until something needs their pixels."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.degradation.jpeg import jpeg
from difiqa_hf.degradation.matrices import MIN_VARIANCE, RADIUS, blur_matrix, resize_matrix
from difiqa_hf.degradation.noise import add_noise
from difiqa_hf.degradation.plan import CANVAS, Plan, Step

OPENCV_TRUNCATES = 0.12 / 255  # what images lose on the average when it enlarges 8-bit ones: a visible mean shift


@dataclass(frozen=True)
class Canvas:
    """An image of `size` x `size` pixels in [0, 1]: rows @ pixels @ columns.T, not yet multiplied.

    Attributes:
        pixels: (1, 3, height, width).
        rows, columns: (size, height), (size, width); None for the identity.
        smooth: a mere enlargement, blurred perhaps: half the density tells everything.
    """

    pixels: Tensor
    size: int
    rows: Tensor | None = None
    columns: Tensor | None = None
    smooth: bool = False

    @property
    def key(self) -> tuple:
        """What must be the same for images to be computed together."""
        return self.size, self.smooth, self.rows is None, self.columns is None, self.pixels.shape[-2:]

    def through(self, matrix: Tensor | None, smooth: bool = False) -> "Canvas":
        """Both axes multiplied by `matrix` (new size, size); None for the identity."""
        if matrix is None:
            return self
        rows = matrix if self.rows is None else matrix @ self.rows
        square = self.columns is None or self.columns is self.rows
        columns = rows if square else matrix @ self.columns
        return Canvas(self.pixels, len(matrix), rows, columns, smooth)


def _enlarged(image: Tensor) -> Canvas:
    """An image (1, 3, height, width) on the canvas of the released code, enlarged in whole levels by OpenCV."""
    rows, columns = (resize_matrix("linear", n, CANVAS) for n in image.shape[-2:])
    return Canvas(image - OPENCV_TRUNCATES, CANVAS, rows, columns, smooth=True)


def read_pixels(canvases: Sequence[Canvas], every: int = 1) -> Tensor:
    """Every k-th pixel of canvases of the same key, (batch, 3, size / every, size / every)."""
    pixels = torch.cat([canvas.pixels for canvas in canvases]) if len(canvases) > 1 else canvases[0].pixels
    if canvases[0].rows is not None:
        pixels = _stacked([canvas.rows for canvas in canvases], every, pixels.device) @ pixels
    if canvases[0].columns is not None:
        pixels = (pixels @ _stacked([canvas.columns for canvas in canvases], every, pixels.device).mT).clamp_(0, 1)
    return pixels


def _stacked(matrices: Sequence[Tensor], every: int, device: torch.device) -> Tensor:
    """Every k-th row, for each image and all its channels; a single matrix as it is, which is faster."""
    if len(matrices) == 1:
        return matrices[0][::every].to(device)
    return torch.stack([matrix[::every] for matrix in matrices])[:, None].to(device)


def _resize(canvases: Sequence[Canvas], steps: Sequence[Step]) -> list[Canvas]:
    return [
        canvas.through(resize_matrix(step.mode, canvas.size, step.size, step.sigma))
        for canvas, step in zip(canvases, steps, strict=True)
    ]


def _blur(canvases: Sequence[Canvas], steps: Sequence[Step]) -> list[Canvas]:
    return [
        canvas.through(blur_matrix(step.variances[0], step.radius, canvas.size), canvas.smooth)
        for canvas, step in zip(canvases, steps, strict=True)
    ]


def _stretched_blur(canvases: Sequence[Canvas], steps: Sequence[Step]) -> list[Canvas]:
    """Anisotropic, hence no matrix: multiply spectra, at half the density where that is enough."""
    size, smooth = canvases[0].size, canvases[0].smooth
    every = 2 if smooth else 1
    density = size // every
    length = _fast_length(density + 2 * RADIUS)
    pixels = F.pad(read_pixels(canvases, every), (RADIUS, length - density - RADIUS) * 2, mode="reflect")
    kernels = torch.stack([gaussian_kernel(step, every) for step in steps]).to(pixels.device)
    spectrum = torch.fft.rfft2(pixels).mul_(torch.fft.rfft2(kernels, s=(length, length))[:, None])
    inside = slice(2 * RADIUS, 2 * RADIUS + density)
    blurred = torch.fft.irfft2(spectrum, s=(length, length))[..., inside, inside]
    between = resize_matrix("between", density, size) if smooth else None
    return [Canvas(image, size, between, between, smooth) for image in blurred.split(1)]


def _noise(canvases: Sequence[Canvas], steps: Sequence[Step]) -> list[Canvas]:
    noisy = [add_noise(image, step) for image, step in zip(read_pixels(canvases).split(1), steps, strict=True)]
    return [Canvas(image, canvases[0].size) for image in noisy]


def _jpeg(canvases: Sequence[Canvas], steps: Sequence[Step]) -> list[Canvas]:
    decoded = jpeg(read_pixels(canvases), [step.quality for step in steps])
    return [Canvas(image, canvases[0].size) for image in decoded.split(1)]


_OPERATIONS = {"resize": _resize, "blur": _blur, "stretched-blur": _stretched_blur, "noise": _noise, "jpeg": _jpeg}


def apply_plans(images: Sequence[Tensor], plans: Sequence[Plan]) -> list[Tensor]:
    """Run one round on images (1, 3, height, width) in [0, 1]; the results are (1, 3, 128, 128).

    Images whose next steps are of the same kind, at the same size, are computed together.
    """
    state = [_enlarged(image) for image in images]
    for position in range(max(map(len, plans))):
        groups = defaultdict(list)
        for index, plan in enumerate(plans):
            if position < len(plan):
                groups[plan[position].kind, state[index].key].append(index)
        for (kind, _), members in groups.items():
            results = _OPERATIONS[kind]([state[i] for i in members], [plans[i][position] for i in members])
            for index, result in zip(members, results, strict=True):
                state[index] = result
    return [canvas.pixels for canvas in state]


def gaussian_kernel(step: Step, spacing: int = 1) -> Tensor:
    """(25, 25) samples at distance `spacing` of a truncated Gaussian; the sum is 1."""
    grid = torch.arange(-RADIUS, RADIUS + 1) * spacing
    cos, sin = math.cos(step.angle), math.sin(step.angle)
    a, b = (max(variance, MIN_VARIANCE) for variance in step.variances)
    u, v = grid[None] * cos + grid[:, None] * sin, grid[:, None] * cos - grid[None] * sin
    exponent = u.square() / (-2 * a) - v.square() / (2 * b)
    outside = grid.abs() > step.radius
    exponent[outside] = exponent[:, outside] = -math.inf
    return torch.softmax(exponent.flatten(), 0).view(exponent.shape)


@lru_cache
def _fast_length(least: int) -> int:
    """The smallest length from `least` on without prime factors above 5."""
    rest = least
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return least if rest == 1 else _fast_length(least + 1)

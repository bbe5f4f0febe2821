"""The whole of d(x): rounds of plans, then back to the size of the image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from difiqa_hf.degradation.canvas import Canvas, apply_plans, read_pixels
from difiqa_hf.degradation.matrices import resize_matrix
from difiqa_hf.degradation.plan import CANVAS, FACTOR, draw_plans


def degrade(pixel_values: Tensor, seeds: Sequence[int], rounds: int | None = None) -> Tensor:
    """x' = d(x) of Eq. 6, every image from its own seed.

    On a CPU the images are computed one by one, so that the bits do not depend on the batch; elsewhere together.

    Args:
        pixel_values: (batch, 3, height, width), in [-1, 1].
        seeds: one integer per image; the result for an image depends on its seed alone.
        rounds: how often the chain is applied; None draws it (1, with p = .2 a second time, with p = .01 a third).

    Returns:
        Degraded images, same shape, dtype and range, rounded to 8 bits as stored images are.

    Raises:
        ValueError: if the number of seeds is not the batch size.
    """
    if len(seeds) != len(pixel_values):
        raise ValueError(f"{len(seeds)} seeds for {len(pixel_values)} images; give one seed per image")
    size = 1 if pixel_values.device.type == "cpu" else max(1, len(seeds))
    starts = range(0, len(seeds), size)
    parts = [degrade_together(pixel_values[i : i + size], seeds[i : i + size], rounds) for i in starts]
    return torch.cat(parts) if parts else pixel_values.clone()


def degrade_together(pixel_values: Tensor, seeds: Sequence[int], rounds: int | None = None) -> Tensor:
    """`degrade` in one batch: the same images up to the rounding of sums, which may move a JPEG coefficient by one."""
    plans = [draw_plans(int(seed), rounds) for seed in seeds]
    images = list((pixel_values.float() / 2 + 0.5).split(1))
    for turn in range(max(map(len, plans))):
        active = [index for index, own in enumerate(plans) if turn < len(own)]
        results = apply_plans([images[index] for index in active], [plans[index][turn] for index in active])
        for index, result in zip(active, results, strict=True):
            images[index] = _levels(result)
    rows, columns = (resize_matrix("smooth-linear", CANVAS // FACTOR, n) for n in pixel_values.shape[-2:])
    for side, matrix in (("columns", columns), ("rows", rows)):  # with levels in between, as Pillow works
        images = [_levels(read_pixels([Canvas(image, 0, **{side: matrix})])) for image in images]
    return (torch.cat(images) * 2 - 1).to(pixel_values.dtype)


def _levels(pixels: Tensor) -> Tensor:
    """Rounded to 8 bits, halves upwards as Pillow rounds them: a resize produces many."""
    return pixels.mul(255).add_(0.5 + 1e-4).floor_().clamp_(0, 255).div_(255)

"""Where in the image a score comes from."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from difiqa_hf.methods import QualityMethod
from difiqa_hf.metrics import ThresholdCard
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline


@dataclass(frozen=True)
class Shortfall:
    """1 - quality of DifFIQA, split by cause without a remainder.

    With n, r the cosines of the noisy and the restored image (Eq. 7) and n', r' those of its mirror image,
    1 - (n + r + n' + r') / 4 = (1 - n) / 2 + (1 - r) / 2 + (n - n' + r - r') / 4.

    Attributes:
        noise: the embedding gives way to little noise: blur, low resolution, darkness.
        restoration: the denoiser changes who it is: degradation, occlusion.
        mirror: the mirrored face is another one to the recogniser: pose, light or cover on one side. May be negative.
    """

    noise: float
    restoration: float
    mirror: float

    @classmethod
    def of(cls, terms: dict[str, float]) -> "Shortfall":
        """From the terms by the names of `DifFIQAPipelineOutput.term_names`; noisy, restored and their mirrors."""
        n, r, mirrored_n, mirrored_r = (terms[name] for name in _TERMS)
        return cls((1 - n) / 2, (1 - r) / 2, (n - mirrored_n + r - mirrored_r) / 4)

    def most_unusual(self, card: ThresholdCard | None) -> str | None:
        """The part that is most unusual among the card's reference images; None if the card knows no parts."""
        places = {} if card is None else {name: card.part_percentile(name, x) for name, x in asdict(self).items()}
        return max(places, key=places.get) if places and None not in places.values() else None


_TERMS = ("noisy", "restored", "noisy_flipped", "restored_flipped")


@dataclass(frozen=True, eq=False)
class Restoration:
    """What DifFIQA's denoiser made of an image.

    Attributes:
        quality: Eq. 7; `standard_error` over the repeats.
        terms: name -> mean cosine.
        restored: (3, height, width) in [-1, 1], the mean over the repeats.
        residual: (height, width) mean absolute change of a pixel, in [0, 1], over channels and repeats.
    """

    quality: float
    standard_error: float
    terms: dict[str, float]
    restored: Tensor
    residual: np.ndarray


def restoration(
    pipeline: DifFIQAPipeline, pixel_values: Tensor, num_repeats: int = 4, seed: int = 0, batch_size: int = 32
) -> Restoration:
    """Run Eq. 7 on one image (3, height, width) in the variant of the paper and keep what it restores.

    Raises:
        ValueError: for a pipeline of the released variant, whose terms are others, and options out of range.
    """
    if pipeline.config.variant != "paper":
        raise ValueError(f"the terms are explained for variant 'paper', this pipeline has {pipeline.config.variant!r}")
    kept = []

    def keep(step: dict) -> None:
        kept.extend(
            image for image, (_, _, mirrored) in zip(step["restored"], step["rows"], strict=True) if not mirrored
        )

    options = {"num_repeats": num_repeats, "seed": seed, "flip": True, "forward": True, "batch_size": batch_size}
    out = pipeline(pixel_values[None], **options, callback=keep)
    restored = torch.stack(kept).cpu()
    change = (restored - pixel_values.cpu()).abs().mean(dim=(0, 1)) / 2
    terms = dict(zip(out.term_names, out.terms[0].tolist(), strict=True))
    return Restoration(out.quality.item(), out.standard_error.item(), terms, restored.mean(0), change.numpy())


def reference_parts(
    pipeline: DifFIQAPipeline, batches: Iterable[Tensor], num_repeats: int = 4, points: int = 101
) -> dict[str, np.ndarray]:
    """Quantiles (points,) of every part of `Shortfall` on reference images, for a `ThresholdCard`.

    Args:
        batches: of pixel values (batch, 3, 112, 112).
        num_repeats: as `restoration` will use.
    """
    found = []
    for pixel_values in batches:
        out = pipeline(pixel_values, num_repeats=num_repeats, flip=True, forward=True)
        found += [Shortfall.of(dict(zip(out.term_names, terms, strict=True))) for terms in out.terms.tolist()]
    grid = np.linspace(0, 1, points)
    return {name: np.quantile([getattr(parts, name) for parts in found], grid) for name in asdict(found[0])}


def occlusion_map(
    method: QualityMethod,
    pixel_values: Tensor,
    patch: int = 16,
    stride: int = 8,
    batch_size: int = 32,
    progress: Callable[[Sequence[Tensor]], Iterable[Tensor]] = iter,
) -> np.ndarray:
    """How much the quality falls when a pixel is covered: mean over grey squares that cover it (height, width).

    Args:
        method: any quality method; one network call a square, 169 by default.
        pixel_values: (3, height, width), RGB in [-1, 1].
        patch, stride: side of the squares and their distance, in pixels.
        batch_size: squares at once.
        progress: wraps the batches, as `tqdm` does.

    Raises:
        ValueError: for squares that do not fit into the image, or leave pixels between them uncovered.
    """
    height, width = pixel_values.shape[1:]
    if not (1 <= stride <= patch <= min(height, width) and batch_size >= 1):
        raise ValueError(
            f"needs 1 <= stride <= patch <= {min(height, width)}, the image's side, and batch_size of at least 1; "
            f"found stride {stride}, patch {patch}, batch_size {batch_size}"
        )
    corners = [(top, left) for top in _places(height, patch, stride) for left in _places(width, patch, stride)]
    covered = pixel_values.repeat(len(corners), 1, 1, 1)
    for image, (top, left) in zip(covered, corners, strict=True):
        image[:, top : top + patch, left : left + patch] = 0
    whole = method(pixel_values[None]).item()
    drops = whole - torch.cat([method(part) for part in progress(covered.split(batch_size))]).double()
    total, count = torch.zeros(2, height, width, dtype=torch.double)
    for drop, (top, left) in zip(drops, corners, strict=True):
        total[top : top + patch, left : left + patch] += drop
        count[top : top + patch, left : left + patch] += 1
    return (total / count).numpy()


def _places(length: int, patch: int, stride: int) -> list[int]:
    """Where squares begin; the last one ends at the border."""
    return sorted({*range(0, length - patch, stride), length - patch})

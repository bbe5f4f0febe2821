"""Bands around an error-versus-discard curve, for plots."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.edc import curve
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.metrics.resampling import check_resampling, percentiles, resamples


@dataclass(frozen=True, eq=False)
class Band:
    """Where the curves of resamples lie, point by point: a band for each point, not for the whole curve.

    Attributes:
        discard: (points,) discard fractions.
        low, high: (points,) FNMR; NaN where no resample has one.
        confidence: for example .95.
    """

    discard: np.ndarray
    low: np.ndarray
    high: np.ndarray
    confidence: float


def bootstrap_band(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality: ArrayLike,
    *,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool = True,
    images: ArrayLike | None = None,
    persons: ArrayLike | None = None,
    num_resamples: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    discard: ArrayLike | None = None,
    **options: Any,
) -> Band:
    """Percentile band of the FNMR at every point of `discard` (0, .01, …, .94 unless given).

    Args:
        discard: (points,) fractions in [0, 1).
        Others: as in `bootstrap_pauc`.
    """
    check_resampling(num_resamples, confidence)
    fmr_exact, options = checked_options(protocol, fmr, options)
    comparisons = Comparisons.checked(similarity, genuine, quality, higher_is_better, images)
    discard = np.arange(95) / 100 if discard is None else np.asarray(discard, dtype=float)
    if not ((discard >= 0) & (discard < 1)).all():
        raise ValueError(f"discard must be in [0, 1), found {discard.min()} to {discard.max()}")
    fnmr = np.full((num_resamples, len(discard)), np.nan)
    for i, positions in enumerate(resamples(comparisons.genuine, persons, num_resamples, seed)):
        drawn = comparisons.take(positions)
        if drawn.genuine.any() and not drawn.genuine.all():
            result = curve(drawn, protocol, fmr_exact, options)
            fnmr[i] = result.fnmr[np.searchsorted(result.discard, discard, side="right") - 1]
    return Band(discard, *percentiles(fnmr, confidence), confidence)

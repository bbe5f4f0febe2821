"""How far a pAUC would move with other comparisons of the same kind: a percentile bootstrap."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.edc import CURVES, checked_options
from difiqa_hf.metrics.result import UndefinedAreaError


@dataclass(frozen=True, eq=False)
class BootstrapInterval:
    """A percentile interval of a pAUC.

    Attributes:
        low: lower end; NaN if no resample has a pAUC.
        high: upper end.
        confidence: for example .95.
        samples: (num_resamples,) the pAUC of every resample; NaN where it is undefined, for example without an error.
    """

    low: float
    high: float
    confidence: float
    samples: np.ndarray

    @property
    def n_undefined(self) -> int:
        """Resamples without a pAUC; the interval is that of the others."""
        return int(np.count_nonzero(np.isnan(self.samples)))


def bootstrap_pauc(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality: ArrayLike,
    *,
    limit: float = 0.3,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool = True,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> BootstrapInterval:
    """Percentile interval of `error_discard(...).pauc(limit)` over comparisons drawn with replacement.

    Genuine and impostor comparisons are drawn apart, so that every resample has as many of each as the benchmark.
    Two limits: comparisons that share images or persons count as independent, which makes the interval too narrow; and
    with k of a few, the threshold hangs on a few impostor scores, of which a resample often misses or repeats one.

    Args:
        similarity, genuine, quality, fmr, protocol, higher_is_better, **options: as in `error_discard`.
        limit: as in `ErrorDiscardResult.pauc`.
        num_resamples: at least 1; a few hundred for a table.
        confidence: in (0, 1).
        seed: the same seed gives the same interval.
    """
    if num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"num_resamples must be at least 1 and confidence in (0, 1), found {num_resamples} and {confidence}"
        )
    fmr_exact, options = checked_options(protocol, fmr, options)
    comparisons = Comparisons.checked(similarity, genuine, quality, higher_is_better)
    rng = np.random.default_rng(seed)
    samples = np.full(num_resamples, np.nan)
    for i in range(num_resamples):
        curve = CURVES[protocol](_resample(comparisons, rng), fmr_exact, options)
        try:
            samples[i] = curve.areas(limit)["normalised"]
        except UndefinedAreaError:
            continue
    defined = samples[~np.isnan(samples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    return BootstrapInterval(float(low), float(high), confidence, samples)


def _resample(comparisons: Comparisons, rng: np.random.Generator) -> Comparisons:
    """Draw with replacement; repeating in place keeps the order by quality, so nothing is sorted again."""
    times = np.zeros(len(comparisons.genuine), dtype=np.int64)
    for kind in (comparisons.genuine, ~comparisons.genuine):
        n = np.count_nonzero(kind)
        times[kind] = np.bincount(rng.integers(n, size=n), minlength=n)
    drawn = np.repeat(np.arange(len(times)), times)
    return Comparisons(comparisons.similarity[drawn], comparisons.genuine[drawn], comparisons.quality[drawn])

"""How far a pAUC, or the difference of two, would move with other comparisons or persons of the same kind."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.edc import curve
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.metrics.resampling import check_resampling, percentiles, resamples
from difiqa_hf.metrics.result import FIGURES, UndefinedAreaError


@dataclass(frozen=True, eq=False)
class BootstrapInterval:
    """A percentile interval of a pAUC.

    Attributes:
        low: lower end; NaN if no resample has a pAUC.
        high: upper end.
        confidence: for example .95.
        resampled: "comparison" or "identity".
        samples: (num_resamples,) the pAUC of every resample; NaN where it is undefined, for example without an error.
    """

    low: float
    high: float
    confidence: float
    resampled: str
    samples: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, samples: np.ndarray, confidence: float, resampled: str) -> "BootstrapInterval":
        """Of the pAUC of every resample; the mean of several on the same resamples is another such figure."""
        return cls(*_interval(samples, confidence), confidence, resampled, samples)

    @property
    def n_undefined(self) -> int:
        """Resamples without a pAUC; the interval is that of the others."""
        return int(np.count_nonzero(np.isnan(self.samples)))


@dataclass(frozen=True, eq=False)
class PairedInterval(BootstrapInterval):
    """A percentile interval of pAUC(A) - pAUC(B) on the same resamples; negative means that A is better.

    Attributes:
        difference: pAUC(A) - pAUC(B) of the comparisons themselves.
        p_value: share of the resamples on the less frequent side of zero, doubled, zeros on both sides and one resample
            added to either; small where one method is better. It inherits the limits of the resampling.
    """

    difference: float
    p_value: float

    @classmethod
    def between(
        cls, samples_a: np.ndarray, samples_b: np.ndarray, difference: float, confidence: float, resampled: str
    ) -> "PairedInterval":
        """Of the pAUC of A and of B on the same resamples, and the difference of those that were found."""
        samples = samples_a - samples_b
        rarer = min(np.count_nonzero(samples <= 0), np.count_nonzero(samples >= 0))
        p_value = min(1.0, float(2 * (rarer + 1) / (np.count_nonzero(~np.isnan(samples)) + 1)))
        return cls(*_interval(samples, confidence), confidence, resampled, samples, difference, p_value)


def bootstrap_pauc(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality: ArrayLike,
    *,
    limit: float = 0.3,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool = True,
    images: ArrayLike | None = None,
    persons: ArrayLike | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> BootstrapInterval:
    """Percentile interval of `error_discard(...).pauc(limit)`.

    Without `persons`, comparisons are drawn with replacement, genuine and impostor ones apart, so that every resample
    has as many of each as the benchmark; comparisons that share images or persons then count as independent, which
    makes the interval too narrow. With `persons`, persons are drawn with replacement and bring their comparisons: a
    genuine comparison counts as often as its person was drawn, an impostor comparison as often as the product for its
    two persons; what two copies of one person would have between them is left out, for it is no impostor comparison.
    Both kinds then vary in number, and k with them.

    With k of a few, the threshold hangs on a few impostor scores, of which a resample often misses or repeats one.

    Args:
        similarity, genuine, quality, fmr, protocol, higher_is_better, images, **options: as in `error_discard`.
        limit: as in `ErrorDiscardResult.pauc`.
        persons: (N, 2) names or numbers of the persons on the two sides.
        num_resamples: at least 1; a few hundred for a table.
        confidence: in (0, 1).
        seed: the same seed gives the same resamples, whatever the quality.
    """
    measure = _Measure.checked(protocol, fmr, limit, options, num_resamples, confidence)
    comparisons = Comparisons.checked(similarity, genuine, quality, higher_is_better, images)
    drawn = resamples(comparisons.genuine, persons, num_resamples, seed)
    samples = np.array([measure(comparisons, positions) for positions in drawn])
    return BootstrapInterval.of(samples, confidence, _resampled(persons))


def compare_pauc(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality_a: ArrayLike,
    quality_b: ArrayLike,
    *,
    limit: float = 0.3,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool | tuple[bool, bool] = True,
    images: ArrayLike | None = None,
    persons: ArrayLike | None = None,
    num_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> PairedInterval:
    """Is quality A better than B on these comparisons? The difference of their pAUC on the same resamples.

    Much of what moves a pAUC moves that of both, so the difference is surer than two intervals side by side.

    Args:
        quality_a, quality_b: as `quality` in `error_discard`.
        higher_is_better: of both, or (of A, of B).
        Others: as in `bootstrap_pauc`.

    Raises:
        UndefinedAreaError: if one of the two has no pAUC.
    """
    measure = _Measure.checked(protocol, fmr, limit, options, num_resamples, confidence)
    directions = higher_is_better if isinstance(higher_is_better, tuple) else (higher_is_better,) * 2
    a, b = (
        Comparisons.checked(similarity, genuine, quality, direction, images)
        for quality, direction in zip((quality_a, quality_b), directions, strict=True)
    )
    difference = measure.area(a) - measure.area(b)
    drawn = resamples(a.genuine, persons, num_resamples, seed)
    samples = np.array([(measure(a, positions), measure(b, positions)) for positions in drawn])
    return PairedInterval.between(*samples.T, difference, confidence, _resampled(persons))


@dataclass(frozen=True)
class _Measure:
    """The pAUC of checked comparisons by checked options."""

    protocol: str
    fmr: Fraction
    limit: float
    options: dict[str, Any]

    @classmethod
    def checked(cls, protocol, fmr, limit, options, num_resamples, confidence) -> "_Measure":
        check_resampling(num_resamples, confidence)
        if not 0 < limit <= 1:
            raise ValueError(f"limit must be in (0, 1], found {limit}")
        fmr_exact, options = checked_options(protocol, fmr, options)
        return cls(protocol, fmr_exact, limit, options)

    def area(self, comparisons: Comparisons) -> float:
        result = curve(comparisons, self.protocol, self.fmr, self.options, self.limit)
        return result.areas(self.limit)[FIGURES[self.options["normalisation"], self.options["subtract_best"]]]

    def __call__(self, comparisons: Comparisons, positions: np.ndarray) -> float:
        """Of a resample; NaN where it has no pAUC."""
        drawn = comparisons.take(positions)
        if drawn.genuine.all() or not drawn.genuine.any():
            return math.nan
        try:
            return self.area(drawn)
        except UndefinedAreaError:
            return math.nan


def _interval(samples: np.ndarray, confidence: float) -> list[float]:
    return percentiles(samples[:, None], confidence)[:, 0].tolist()


def _resampled(persons: ArrayLike | None) -> str:
    return "comparison" if persons is None else "identity"

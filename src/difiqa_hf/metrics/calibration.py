"""What a quality score means on reference comparisons: a percentile, the error left above it, and thresholds to use."""

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.edc import error_discard
from difiqa_hf.metrics.result import ErrorDiscardResult
from difiqa_hf.metrics.thresholds import exact


@dataclass(frozen=True, eq=False)
class Calibration:
    """Quality scores against reference comparisons, one recogniser and one comparison threshold.

    It holds for images like the reference images, for that recogniser, and for scores of the same method and revision.

    Attributes:
        quality: (M,) ascending, of the reference images, each as often as it was given.
        steps: (n,) ascending, the distinct qualities of the genuine comparisons (of their worse sides).
        curve: of protocol "edc": its step i is what is left when all below `steps[i]` are discarded.
    """

    quality: np.ndarray
    steps: np.ndarray
    curve: ErrorDiscardResult

    @classmethod
    def from_comparisons(
        cls,
        similarity: ArrayLike,
        genuine: ArrayLike,
        quality: ArrayLike,
        *,
        fmr: float = 1e-3,
        fmr_rule: str = "lt",
        images: ArrayLike | None = None,
    ) -> "Calibration":
        """Calibrate on scored comparisons, higher quality = better.

        Args:
            similarity, genuine, quality, fmr, fmr_rule, images: as in `error_discard`. With `images` every image that
                is compared counts once for the percentiles; (N, 2) qualities count as often as they are given.
        """
        comparisons = Comparisons.checked(similarity, genuine, quality, images=images)
        curve = error_discard(similarity, genuine, quality, fmr=fmr, fmr_rule=fmr_rule, images=images, protocol="edc")
        sides = np.asarray(quality).ravel()
        if comparisons.images is not None:
            sides = comparisons.image_quality[np.unique(comparisons.images)]
        return cls(np.sort(sides), np.unique(comparisons.quality[comparisons.genuine]), curve)

    def percentile(self, score: ArrayLike) -> np.ndarray:
        """0 to 100: the share of reference images below, and of those with the same score half."""
        low, high = (np.searchsorted(self.quality, score, side=side) for side in ("left", "right"))
        return 50 * (low + high) / len(self.quality)

    def discarded(self, score: ArrayLike) -> np.ndarray:
        """Share of the reference images with a lower quality than `score`, in [0, 1]."""
        return np.searchsorted(self.quality, score) / len(self.quality)

    def expected_fnmr(self, score: ArrayLike) -> np.ndarray:
        """FNMR of the comparisons whose sides both reach `score`; NaN where no genuine comparison does.

        The comparison threshold is that of all reference impostors: discarding does not move it.
        """
        return np.append(self.curve.fnmr, np.nan)[np.searchsorted(self.steps, score)]

    def threshold_for_discard(self, rate: float) -> float:
        """The score below which at most `rate` of the reference images lie: discard what is lower, keep the rest.

        Args:
            rate: in [0, 1).
        """
        if not 0 <= rate < 1:
            raise ValueError(f"the discard rate must be in [0, 1), found {rate}")
        return float(self.quality[floor(exact(rate) * len(self.quality))])

    def threshold_for_fnmr(self, highest: float, min_genuine: int = 100) -> float:
        """The lowest score at which the expected FNMR is at most `highest`; at higher ones it may be above again.

        Args:
            highest: FNMR, in [0, 1].
            min_genuine: genuine comparisons that must be left; the FNMR of a few says nothing.

        Raises:
            ValueError: if no score does it, with the lowest FNMR that one does.
        """
        enough = self.curve.remaining_genuine >= min_genuine
        if not enough.any():
            raise ValueError(f"found {self.curve.n_genuine} genuine comparisons, fewer than min_genuine {min_genuine}")
        fnmr = self.curve.fnmr[enough]
        if not (fnmr <= highest).any():
            best = int(np.argmin(fnmr))
            raise ValueError(
                f"no quality threshold brings FNMR to {highest:g} with {min_genuine} genuine comparisons left; the "
                f"lowest is {fnmr[best]:g} at {self.steps[enough][best]:g}: improve the recogniser or allow a higher "
                "FNMR"
            )
        return float(self.steps[enough][fnmr <= highest][0])

"""An error-versus-discard curve with its protocol and counts, and the areas under it."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from difiqa_hf.metrics.thresholds import match_sign

# (normalisation, subtract_best) -> figure
FIGURES = {
    ("none", False): "area",
    ("none", True): "minus_best",
    ("fnmr0", False): "over_fnmr0",
    ("fnmr0", True): "excess",
    ("fnmr0_range", False): "normalised",
    ("fnmr0_range", True): "relative",
}


class UndefinedAreaError(ValueError):
    """There is no area: FNMR(0) is 0, or a step within the limit has no comparisons left."""


@dataclass(frozen=True, eq=False)
class ErrorDiscardResult:
    """FNMR against the fraction of comparisons discarded, and everything needed to know what that means.

    All arrays are (steps,), in ascending order of `discard`; the curve is constant from one step to the next.

    Attributes:
        protocol: "paper" or "edc".
        fmr: the target false match rate.
        options: the protocol's options, defaults included.
        n_genuine: genuine comparisons before anything is discarded.
        n_impostor: impostor comparisons before anything is discarded.
        discard: fraction discarded of the unit, all comparisons ("paper") or the genuine ones ("edc"), from 0 on.
        fnmr: false non-match rate of what remains; NaN where it is undefined.
        threshold: a comparison matches where its similarity is above it (see `match`); NaN where no impostor is left to
            set it.
        k: how many impostor scores may match; fewer do where the threshold ties with some.
        remaining_genuine: genuine comparisons left.
        remaining_impostor: impostor comparisons left; unit "mated_pair" discards none.
    """

    protocol: str
    fmr: float
    options: dict[str, Any]
    n_genuine: int
    n_impostor: int
    discard: np.ndarray
    fnmr: np.ndarray
    threshold: np.ndarray
    k: np.ndarray
    remaining_genuine: np.ndarray
    remaining_impostor: np.ndarray

    @property
    def fnmr0(self) -> float:
        """FNMR(0): nothing discarded."""
        return float(self.fnmr[0])

    @property
    def match(self) -> str:
        """ ">" or ">=": how a matching similarity compares with the threshold."""
        return match_sign(self.options["fmr_rule"])

    def fnmr_at(self, discard: float) -> float:
        """FNMR of the last step at or before `discard`, in [0, 1)."""
        if not 0 <= discard < 1:
            raise ValueError(f"discard must be in [0, 1), found {discard}")
        return float(self.fnmr[np.searchsorted(self.discard, discard, side="right") - 1])

    def pauc(self, limit: float, figure: str | None = None) -> float:
        """Partial area under the curve for 0 <= discard < `limit`; lower is better.

        Args:
            limit: in (0, 1]; .2 and .3 are common.
            figure: None for what the options `normalisation` and `subtract_best` say, else one of

                ============== ============== ============= =====================================================
                figure         normalisation  subtract_best what it is, A the area, B "best", e FNMR(0)
                ============== ============== ============= =====================================================
                "area"         "none"         no            A; on a grid step * the sum of FNMR
                "over_fnmr0"   "fnmr0"        no            A / e; a useless quality gives about the limit
                "normalised"   "fnmr0_range"  no            A / (e * limit); useless: about 1. The paper's figure:
                                                            on its grid the mean FNMR over FNMR(0)
                "minus_best"   "none"         yes           A - B
                "excess"       "fnmr0"        yes           (A - B) / e
                "relative"     "fnmr0_range"  yes           (A - B) / (e * limit - B): perfect 0, useless about 1
                "best"                                      B: the area of a perfect quality, max(0, e - discard)
                ============== ============== ============= =====================================================

        Raises:
            UndefinedAreaError: if FNMR(0) is 0 or a step within the limit has no genuine or no impostor comparisons.
            ValueError: for another limit or figure.
        """
        figure = figure or FIGURES[self.options["normalisation"], self.options["subtract_best"]]
        areas = self.areas(limit)
        if figure not in areas:
            raise ValueError(f"unknown figure {figure!r}; known: {', '.join(areas)}")
        used = self.discard < limit
        if self.k[0] > 0 and (self.k[used] == 0).any():
            first = self.discard[used & (self.k == 0)][0]
            warnings.warn(
                f"from discard {first:g} on too few impostors are left for FMR {self.fmr:g} (k = 0): the threshold is "
                "the largest impostor score; take a lower limit, a higher fmr or more impostors",
                stacklevel=2,
            )
        if math.isnan(areas[figure]):
            raise UndefinedAreaError(
                f"{figure} at limit {limit:g} is undefined: a perfect quality has the same area as a useless one; "
                "take a higher limit or a finer grid"
            )
        return areas[figure]

    def areas(self, limit: float) -> dict[str, float]:
        if not 0 < limit <= 1:
            raise ValueError(f"limit must be in (0, 1], found {limit}")
        used = self.discard < limit
        discard, fnmr = self.discard[used], self.fnmr[used]
        if np.isnan(fnmr).any():
            raise UndefinedAreaError(
                f"pAUC({limit:g}) is undefined: at discard {discard[np.isnan(fnmr)][0]:g} none is left of "
                f"{self.n_genuine} genuine or of {self.n_impostor} impostor comparisons; take a lower limit"
            )
        if self.fnmr0 == 0:
            raise UndefinedAreaError(
                f"pAUC({limit:g}) is undefined: FNMR(0) is 0 of {self.n_genuine} genuine comparisons at FMR "
                f"{self.fmr:g}, so there is no error to remove; take a lower fmr or harder comparisons"
            )
        if self.options["grid_step"] == "exact":
            return staircase_areas(discard, fnmr, limit)
        return grid_areas(discard, fnmr, float(self.options["grid_step"]))


def grid_areas(discard: np.ndarray, fnmr: np.ndarray, step: float) -> dict[str, float]:
    """Areas on a grid, step 5 of the paper: sums over the grid points (points,) below the limit, times `step`."""
    best = step * float(np.maximum(0, fnmr[0] - discard).sum())
    return _figures(step * float(fnmr.sum()), best, float(fnmr[0]), step * len(fnmr))


def staircase_areas(discard: np.ndarray, fnmr: np.ndarray, limit: float) -> dict[str, float]:
    """Areas under the steps (steps,) that begin below `limit`; best: under max(0, FNMR(0) - discard)."""
    fnmr0 = float(fnmr[0])
    best = fnmr0**2 / 2 - max(0.0, fnmr0 - limit) ** 2 / 2
    return _figures(float(fnmr @ np.diff(discard, append=limit)), best, fnmr0, limit)


def _figures(area: float, best: float, fnmr0: float, width: float) -> dict[str, float]:
    useless = fnmr0 * width  # on one grid point a perfect quality is no better
    return {
        "area": area,
        "best": best,
        "minus_best": area - best,
        "over_fnmr0": area / fnmr0,
        "excess": (area - best) / fnmr0,
        "normalised": area / useless,
        "relative": (area - best) / (useless - best) if useless > best else math.nan,
    }

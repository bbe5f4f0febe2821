"""An error-versus-discard curve with its protocol and counts, and the areas under it."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np


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
        discard: fraction discarded, of all comparisons ("paper") or of the genuine ones ("edc"), starting with 0.
        fnmr: false non-match rate of what remains; NaN where it is undefined.
        threshold: v; a comparison matches where its similarity > v; NaN where no impostor is left to set it.
        k: how many impostor scores may lie above the threshold.
        remaining_genuine: genuine comparisons left.
        remaining_impostor: impostor comparisons left; "edc" discards none.
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

    def fnmr_at(self, discard: float) -> float:
        """FNMR of the last step at or before `discard`, in [0, 1)."""
        if not 0 <= discard < 1:
            raise ValueError(f"discard must be in [0, 1), found {discard}")
        return float(self.fnmr[np.searchsorted(self.discard, discard, side="right") - 1])

    def pauc(self, limit: float, figure: str = "normalised") -> float:
        """Partial area under the curve for 0 <= discard < `limit`; lower is better.

        Args:
            limit: in (0, 1]; .2 and .3 are common.
            figure: "normalised" (mean FNMR over FNMR(0): a useless quality gives about 1) or "area"; protocol "edc"
                also has "best" (the area of a perfect quality), "minus_best", "over_fnmr0" (area / FNMR(0)) and
                "relative" (0 for a perfect, about 1 for a useless quality).

        Raises:
            UndefinedAreaError: if FNMR(0) is 0 or a step within the limit has no genuine or no impostor comparisons.
            ValueError: for another limit or figure.
        """
        areas = self.areas(limit)
        if figure not in areas:
            raise ValueError(f"unknown figure {figure!r} for protocol {self.protocol!r}; known: {', '.join(areas)}")
        used = self.discard < limit
        if self.k[0] > 0 and (self.k[used] == 0).any():
            first = self.discard[used & (self.k == 0)][0]
            warnings.warn(
                f"from discard {first:g} on too few impostors are left for FMR {self.fmr:g} (k = 0): the threshold is "
                "the largest impostor score; take a lower limit, a higher fmr or more impostors",
                stacklevel=2,
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
        if self.protocol == "paper":
            return grid_areas(fnmr, float(self.options["grid_step"]))
        return staircase_areas(discard, fnmr, limit)


def grid_areas(fnmr: np.ndarray, step: float) -> dict[str, float]:
    """Areas of protocol "paper", step 5: the mean over the grid points (steps,) below the limit, over FNMR(0)."""
    return {"area": step * float(fnmr.sum()), "normalised": float(fnmr.mean() / fnmr[0])}


def staircase_areas(discard: np.ndarray, fnmr: np.ndarray, limit: float) -> dict[str, float]:
    """Areas of protocol "edc" under the steps (steps,) below `limit`; best: under max(0, FNMR(0) - discard)."""
    fnmr0 = float(fnmr[0])
    area = float(fnmr @ np.diff(discard, append=limit))
    best = fnmr0**2 / 2 - max(0.0, fnmr0 - limit) ** 2 / 2
    return {
        "area": area,
        "best": best,
        "minus_best": area - best,
        "over_fnmr0": area / fnmr0,
        "normalised": area / (fnmr0 * limit),
        "relative": (area - best) / (fnmr0 * limit - best),
    }

"""The comparison threshold at a target false match rate, in exact arithmetic, from the highest impostor scores."""

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor

import numpy as np


class TooFewScoresError(LookupError):
    """The highest impostor scores that were given do not reach down to the threshold."""


def exact(value: float | str | Fraction) -> Fraction:
    """The decimal that was typed: .001 * 3000 is 3, where the product of the nearest doubles need not be."""
    return Fraction(str(value))


def find_threshold(
    top: np.ndarray, n_impostor: int, fmr: Fraction, fmr_rule: str, genuine: np.ndarray
) -> tuple[float, int]:
    """Threshold and k, how many impostor scores may match; see `RULES`. Without impostors: NaN and 0.

    Args:
        top: the highest of the impostor scores, descending; all ties of the last one are among them.
        n_impostor: how many impostor scores there are.
        fmr: target, in (0, 1).
        fmr_rule: one of `RULES`.
        genuine: scores of the genuine comparisons, which are candidates of the rules of pyeer.

    Raises:
        TooFewScoresError: if more of the impostor scores are needed.
    """
    return RULES[fmr_rule][0](top, n_impostor, fmr, genuine) if n_impostor else (float("nan"), 0)


def misses(genuine: np.ndarray, threshold: float, fmr_rule: str) -> np.ndarray:
    """(N,) bool: which genuine scores do not match; the rule says whether a score equal to the threshold does."""
    return genuine < threshold if match_sign(fmr_rule) == ">=" else genuine <= threshold


def match_sign(fmr_rule: str) -> str:
    """ ">" or ">=": a comparison matches where similarity (sign) threshold."""
    return RULES[fmr_rule][1]


def _lt(top: np.ndarray, n: int, fmr: Fraction, genuine: np.ndarray) -> tuple[float, int]:
    """The largest FMR strictly below the target (MagFace): the (k+1)-th largest score, k = ceil(fmr n) - 1."""
    k = ceil(fmr * n) - 1
    return _ranked(top, k), k


def _le(top: np.ndarray, n: int, fmr: Fraction, genuine: np.ndarray) -> tuple[float, int]:
    """The largest FMR not above the target: k = floor(fmr n); differs from "lt" where fmr n is a whole number."""
    k = floor(fmr * n)
    return _ranked(top, k), k


def _far_threshold(top: np.ndarray, n: int, fmr: Fraction, genuine: np.ndarray) -> tuple[float, int]:
    """bob: the lowest impostor score that leaves the FMR not above the target; above all of them if none does."""
    k = floor(fmr * n)
    above = top[top > _ranked(top, k)]
    return (float(above[-1]) if len(above) else float(np.nextafter(top[0], np.inf))), k


def _quantile(top: np.ndarray, n: int, fmr: Fraction, genuine: np.ndarray) -> tuple[float, int]:
    """numpy.quantile(impostors, 1 - fmr), linear between the two scores around it, with its rounding."""
    place = (n - 1) * (1 - float(fmr))
    below = floor(place)
    low, share = _ranked(top, n - 1 - below), place - below
    if share == 0:
        return low, n - below
    high = _ranked(top, n - 2 - below)
    step = high - low
    return (low + step * share if share < 0.5 else high - step * (1 - share)), n - 1 - below


def _nearest(top: np.ndarray, n: int, fmr: Fraction, genuine: np.ndarray) -> tuple[float, int]:
    """pyeer: the lowest observed score, genuine or not, whose FMR is nearest to the target; of two, the larger FMR.

    Two FMR may lie equally far from the target. Which is nearer is then rounding, so it is asked in pyeer's doubles.
    """
    score = _ranked(top, floor(fmr * n))
    above, upto = int(np.count_nonzero(top > score)), int(np.count_nonzero(top >= score))
    observed = genuine[genuine > score]
    lower_is_nearer = abs(above / n - float(fmr)) < abs(upto / n - float(fmr))
    if lower_is_nearer and (above or len(observed)):
        return float(min(observed.min(initial=np.inf), top[above - 1] if above else np.inf)), above
    if upto == n:
        return float(min(genuine.min(initial=np.inf), score)), n
    lower = _ranked(top, upto)
    return float(min(genuine[genuine > lower].min(initial=np.inf), score)), upto


def _ranked(top: np.ndarray, rank: int) -> float:
    """The score that `rank` others precede."""
    if rank >= len(top):
        raise TooFewScoresError(f"needs {rank + 1} of the highest impostor scores, found {len(top)}")
    return float(top[rank])


# name -> (rule, a comparison matches where similarity is … the threshold)
RULES: dict[str, tuple[Callable, str]] = {
    "lt":            (_lt, ">"),
    "le":            (_le, ">"),
    "nearest":       (_nearest, ">"),    # CR-FIQA: pyeer's threshold, compared strictly
    "pyeer":         (_nearest, ">="),
    "quantile":      (_quantile, ">="),
    "far_threshold": (_far_threshold, ">="),
}  # fmt: skip

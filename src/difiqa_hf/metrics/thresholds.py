"""The comparison threshold at a target false match rate, in exact arithmetic."""

from fractions import Fraction
from math import ceil, floor

import numpy as np


def exact(value: float | str | Fraction) -> Fraction:
    """The decimal that was typed: .001 * 3000 is 3, where the product of the nearest doubles need not be."""
    return Fraction(str(value))


def impostor_rank(fmr: Fraction, n_impostor: int, fmr_rule: str) -> int:
    """k: how many impostor scores may lie above the threshold, for 0 < fmr < 1.

    "lt" is the largest FMR strictly below the target, "le" the largest not above it; they differ where fmr * n_impostor
    is an integer.
    """
    allowed = fmr * n_impostor
    return ceil(allowed) - 1 if fmr_rule == "lt" else floor(allowed)


def find_threshold(impostor: np.ndarray, fmr: Fraction, fmr_rule: str) -> tuple[float, int]:
    """v, the (k+1)-th largest impostor score of (N,), and k; a pair matches where its score > v. N = 0: NaN and 0."""
    if len(impostor) == 0:
        return float("nan"), 0
    k = impostor_rank(fmr, len(impostor), fmr_rule)
    position = len(impostor) - 1 - k
    return float(np.partition(impostor, position)[position]), k

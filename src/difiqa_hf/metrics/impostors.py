"""Thresholds at every point of a curve, from the few impostor scores that can decide them."""

from fractions import Fraction

import numpy as np

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.discarding import Schedule
from difiqa_hf.metrics.thresholds import TooFewScoresError, find_threshold

ALL_SCORES = 2**16  # impostor scores that are cheaper to sort than to choose from


def impostor_thresholds(
    comparisons: Comparisons,
    schedule: Schedule | None,
    n_impostor: list[int],
    fmr: Fraction,
    fmr_rule: str,
    genuine: list[np.ndarray],
) -> list[tuple[float, int]]:
    """Threshold and k at every grid point, of the impostors left there; None: of all.

    Few impostor scores matter: those about the target rate. A bound is guessed that lets four times as many pass, and
    lowered where that was not enough, as where discarding removes high impostor scores first.
    """
    share = 4 * float(fmr)
    while True:
        positions = high_impostors(comparisons, share)
        positions = positions[np.argsort(-comparisons.similarity[positions])]
        top = comparisons.similarity[positions]
        lives = np.ones(len(top), dtype=np.int32) if schedule is None else schedule.lives(positions)
        try:
            return [
                find_threshold(top[lives > i], n, fmr, fmr_rule, scores)
                for i, (n, scores) in enumerate(zip(n_impostor, genuine, strict=True))
            ]
        except TooFewScoresError:
            share *= 4


def high_impostors(comparisons: Comparisons, share: float) -> np.ndarray:
    """Positions of about the `share` highest impostor scores, with all ties of the lowest; all of them if few."""
    every = max(1, len(comparisons.genuine) // ALL_SCORES)
    if every == 1 or share >= 0.5:
        return np.flatnonzero(~comparisons.genuine)
    sample = comparisons.similarity[::every][~comparisons.genuine[::every]]
    bound = np.quantile(sample, 1 - share) if len(sample) else -np.inf
    return np.flatnonzero((comparisons.similarity >= bound) & ~comparisons.genuine)

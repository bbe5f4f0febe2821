"""The two kinds of curve: on a grid of discard fractions, or with a step at every distinct quality.

Both return the columns of `ErrorDiscardResult`: discard, fnmr, threshold, k, remaining_genuine, remaining_impostor.
"""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.discarding import Schedule, schedule_images, schedule_pairs
from difiqa_hf.metrics.impostors import impostor_thresholds
from difiqa_hf.metrics.thresholds import exact, misses


def grid_curve(comparisons: Comparisons, fmr: Fraction, options: dict[str, Any], limit: float) -> tuple:
    """At every d of the grid below `limit`: remove the lowest, set the threshold, count the errors."""
    step, rule = exact(options["grid_step"]), options["fmr_rule"]
    grid = [i * step for i in range(ceil(exact(limit) / step))]
    positions = np.flatnonzero(comparisons.genuine)
    n_genuine, n_impostor = len(positions), len(comparisons.genuine) - len(positions)
    schedule, lives = _schedule(comparisons, positions, grid, options)
    # In the order in which they leave, what is left of the genuine scores is always a tail.
    order = np.argsort(lives, kind="stable")
    gone = np.searchsorted(lives[order], np.arange(len(grid)), side="right")
    genuine = comparisons.similarity[positions[order]]
    kept = [genuine[start:] for start in gone]
    impostors_left = n_impostor - (schedule.removed - gone)  # "mated_pair" removes genuine ones only: all are left
    if options["threshold_update"] == "fixed":
        thresholds = impostor_thresholds(comparisons, None, [n_impostor], fmr, rule, kept[:1]) * len(grid)
    else:
        thresholds = impostor_thresholds(comparisons, schedule, impostors_left.tolist(), fmr, rule, kept)
    fnmr = [_fnmr(scores, threshold, rule) for scores, (threshold, _) in zip(kept, thresholds, strict=True)]
    threshold, k = (np.array(column) for column in zip(*thresholds, strict=True))
    discard = np.array([float(d) for d in grid])
    return discard, np.array(fnmr), threshold, k, n_genuine - gone, impostors_left


def _schedule(
    comparisons: Comparisons, positions: np.ndarray, grid: list[Fraction], options: dict[str, Any]
) -> tuple[Schedule, np.ndarray]:
    """When comparisons leave, and for how many points the genuine ones at `positions` live."""
    if options["unit"] == "mated_pair":
        schedule = schedule_pairs(comparisons.quality[positions], grid, options["ties"])
        return schedule, schedule.lives(np.arange(len(positions)))
    if options["unit"] == "image":
        schedule = schedule_images(comparisons, grid)
    else:
        schedule = schedule_pairs(comparisons.quality, grid, options["ties"])
    return schedule, schedule.lives(positions)


def _fnmr(genuine: np.ndarray, threshold: float, fmr_rule: str) -> float:
    """Share of genuine scores that do not match; NaN without genuine scores or threshold."""
    if len(genuine) == 0 or np.isnan(threshold):
        return np.nan
    return np.count_nonzero(misses(genuine, threshold, fmr_rule)) / len(genuine)


def exact_curve(comparisons: Comparisons, fmr: Fraction, options: dict[str, Any], limit: float) -> tuple:
    """One threshold from all impostors, and a step wherever genuine comparisons leave. Columns of the result."""
    genuine, rule = comparisons.similarity[comparisons.genuine], options["fmr_rule"]
    n_genuine, n_impostor = len(genuine), len(comparisons.genuine) - len(genuine)
    ((threshold, k),) = impostor_thresholds(comparisons, None, [n_impostor], fmr, rule, [genuine])
    quality = comparisons.quality[comparisons.genuine]
    order = np.argsort(quality)
    quality, errors = quality[order], np.cumsum(misses(genuine[order], threshold, rule))
    last = np.flatnonzero(np.append(quality[1:] != quality[:-1], True))  # equal qualities leave together
    genuine_gone = last + 1
    impostors_gone, gone, n_units = _others_gone(comparisons, quality[last], genuine_gone, options["unit"])
    errors_left = np.append(errors[-1], errors[-1] - errors[last])
    remaining = np.append(n_genuine, n_genuine - genuine_gone)
    with np.errstate(invalid="ignore"):
        fnmr = errors_left / remaining
    steps = len(remaining) - int(gone[-1] == n_units)  # where impostors outlive the genuine ones, FNMR ends as NaN
    ones = np.ones(steps, dtype=np.int64)
    discard, left = np.append(0, gone / n_units), n_impostor - np.append(0, impostors_gone)
    return discard[:steps], fnmr[:steps], threshold * ones, k * ones, remaining[:steps], left[:steps]


def _others_gone(
    comparisons: Comparisons, leaving: np.ndarray, genuine_gone: np.ndarray, unit: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """When all up to the qualities `leaving` have left: impostors gone, units gone, of how many units."""
    if unit == "mated_pair":
        return np.zeros_like(genuine_gone), genuine_gone, int(genuine_gone[-1])
    impostor = np.sort(comparisons.quality[~comparisons.genuine])
    impostors_gone = np.searchsorted(impostor, leaving, side="right")
    if unit == "pair":
        return impostors_gone, genuine_gone + impostors_gone, len(comparisons.genuine)
    used = np.sort(comparisons.image_quality[np.unique(comparisons.images)])
    return impostors_gone, np.searchsorted(used, leaving, side="right"), len(used)

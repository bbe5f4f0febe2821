"""Error versus discard: the false non-match rate of what is left when the comparisons of lowest quality are discarded.

Two protocols. "paper" is DifFIQA's, recovered from its Figure 4 and Table 2: all comparisons on a grid of discard
fractions, the threshold recomputed at every one. "edc" is the form of ISO/IEC 29794-1 and Schlett et al. (arXiv
2303.13294): genuine comparisons only, one threshold, every distinct quality a step. Their figures differ by a quarter
on the same data: never compare across them.
"""

import warnings
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.result import ErrorDiscardResult
from difiqa_hf.metrics.thresholds import exact, find_threshold

# protocol -> option -> what it may be, the default first; a single value is recorded but cannot be changed
OPTIONS: dict[str, dict[str, tuple]] = {
    "paper": {
        "fmr_rule": ("lt", "le"),
        "threshold_update": ("recompute", "fixed"),
        "ties": ("stable", "skip"),
        "unit": ("pair",),
    },
    "edc": {
        "fmr_rule": ("lt", "le"),
        "threshold_update": ("fixed",),
        "ties": ("together",),
        "unit": ("mated_pair",),
        "grid_step": ("exact",),
    },
}


def error_discard(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality: ArrayLike,
    *,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool = True,
    **options: Any,
) -> ErrorDiscardResult:
    """The error-versus-discard curve of a quality measure.

    Args:
        similarity: (N,) scores of the comparisons, higher = more alike.
        genuine: (N,), true where both images show the same person.
        quality: (N,) pair qualities, or (N, 2) qualities of the two sides, of which the lower counts.
        fmr: target false match rate, in (0, 1).
        protocol: "paper" or "edc".
        higher_is_better: false turns the sign of `quality`, for scores that are uncertainties.
        **options: `fmr_rule` "lt" (largest FMR strictly below the target) or "le" (not above it). Of "paper" only:
            `threshold_update` "recompute" or "fixed" (found once, before discarding); `ties` "stable" (input order
            decides) or "skip" (equal qualities leave together, once all fit); `grid_step`, .05 unless given.

    Raises:
        ValueError: for inputs that have no curve (see `Comparisons.checked`) or an unknown protocol or option.

    Warns:
        UserWarning: where impostors are too few for the target and the threshold is the largest impostor score.
    """
    fmr_exact, options = checked_options(protocol, fmr, options)
    comparisons = Comparisons.checked(similarity, genuine, quality, higher_is_better)
    result = CURVES[protocol](comparisons, fmr_exact, options | {"higher_is_better": higher_is_better})
    if result.k[0] == 0:
        warnings.warn(
            f"{result.n_impostor} impostor comparisons are too few for FMR {result.fmr:g} (k = 0): the threshold is "
            f"the largest impostor score; use more than {floor(1 / fmr_exact)} impostors or a higher fmr",
            stacklevel=2,
        )
    return result


def checked_options(protocol: str, fmr: float, options: dict[str, Any]) -> tuple[Fraction, dict[str, Any]]:
    """The exact false match rate, and the options with their defaults filled in."""
    if protocol not in OPTIONS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(OPTIONS)}")
    fmr_exact = exact(fmr)
    if not 0 < fmr_exact < 1:
        raise ValueError(f"fmr must be in (0, 1), found {fmr}")
    resolved = {name: choices[0] for name, choices in OPTIONS[protocol].items()}
    if protocol == "paper":
        resolved["grid_step"] = 0.05
    for name, value in options.items():
        if name not in resolved:
            raise ValueError(f"protocol {protocol!r} has no option {name!r}; known: {', '.join(resolved)}")
        choices = OPTIONS[protocol].get(name)
        if choices and value not in choices:
            raise ValueError(f"{name} of protocol {protocol!r} must be one of {', '.join(choices)}, found {value!r}")
    resolved |= options
    if protocol == "paper" and not 0 < exact(resolved["grid_step"]) <= 1:
        raise ValueError(f"grid_step must be in (0, 1], found {resolved['grid_step']}")
    return fmr_exact, resolved


def paper_curve(comparisons: Comparisons, fmr: Fraction, options: dict[str, Any]) -> ErrorDiscardResult:
    """Protocol "paper": at every d of the grid, remove the floor(d * N) lowest, set the threshold, count the errors."""
    # Splitting once keeps the order, so what is left of either kind is always a tail.
    impostor, genuine = comparisons.similarity[~comparisons.genuine], comparisons.similarity[comparisons.genuine]
    genuine_before = np.concatenate([[0], np.cumsum(comparisons.genuine)])
    fixed = find_threshold(impostor, fmr, options["fmr_rule"])
    step = exact(options["grid_step"])
    grid = [i * step for i in range(ceil(1 / step))]

    rows = []
    for d in grid:
        removed = _removed(comparisons.quality, d, options["ties"])
        kept_genuine = genuine[genuine_before[removed] :]
        kept_impostor = impostor[removed - genuine_before[removed] :]
        recompute = options["threshold_update"] == "recompute"
        threshold, k = find_threshold(kept_impostor, fmr, options["fmr_rule"]) if recompute else fixed
        rows.append((_fnmr(kept_genuine, threshold), threshold, k, len(kept_genuine), len(kept_impostor)))
    columns = map(np.array, zip(*rows, strict=True))
    return ErrorDiscardResult(
        "paper", float(fmr), options, len(genuine), len(impostor), np.array([float(d) for d in grid]), *columns
    )


def edc_curve(comparisons: Comparisons, fmr: Fraction, options: dict[str, Any]) -> ErrorDiscardResult:
    """Protocol "edc": genuine pairs only, one threshold from all impostors, a step at every distinct quality."""
    impostor, genuine = comparisons.similarity[~comparisons.genuine], comparisons.similarity[comparisons.genuine]
    quality = comparisons.quality[comparisons.genuine]
    threshold, k = find_threshold(impostor, fmr, options["fmr_rule"])
    removed = np.flatnonzero(np.append(True, quality[1:] != quality[:-1]))  # equal qualities leave together
    remaining = len(genuine) - removed
    errors = np.cumsum((genuine <= threshold)[::-1])[remaining - 1]
    every = np.ones(len(removed), dtype=np.int64)
    return ErrorDiscardResult(
        "edc", float(fmr), options, len(genuine), len(impostor), removed / len(genuine),
        errors / remaining, threshold * every, k * every, remaining, len(impostor) * every,
    )  # fmt: skip


CURVES = {"paper": paper_curve, "edc": edc_curve}


def _removed(quality: np.ndarray, discard: Fraction, ties: str) -> int:
    """How many sorted pairs leave at `discard` < 1; `ties` "skip": equal qualities stay until all of them fit."""
    removed = floor(discard * len(quality))
    return removed if ties == "stable" else int(np.searchsorted(quality, quality[removed]))


def _fnmr(genuine: np.ndarray, threshold: float) -> float:
    """Share of genuine scores that do not match; NaN without genuine scores or threshold."""
    if len(genuine) == 0 or np.isnan(threshold):
        return np.nan
    return np.count_nonzero(genuine <= threshold) / len(genuine)

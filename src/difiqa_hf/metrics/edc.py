"""Error versus discard: the false non-match rate of what is left when the comparisons of lowest quality are discarded.

Two protocols. "paper" is DifFIQA's, recovered from its Figure 4 and Table 2: all comparisons on a grid of discard
fractions, the threshold recomputed at every one. "edc" is the form of ISO/IEC 29794-1 and Schlett et al. (arXiv
2303.13294): genuine comparisons only, one threshold, every distinct quality a step. Their figures differ by a quarter
on the same data: never compare across them.
"""

import warnings
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from difiqa_hf.metrics.comparisons import Comparisons
from difiqa_hf.metrics.curves import exact_curve, grid_curve
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.metrics.result import ErrorDiscardResult


def error_discard(
    similarity: ArrayLike,
    genuine: ArrayLike,
    quality: ArrayLike,
    *,
    fmr: float = 1e-3,
    protocol: str = "paper",
    higher_is_better: bool = True,
    images: ArrayLike | None = None,
    **options: Any,
) -> ErrorDiscardResult:
    """The error-versus-discard curve of a quality measure.

    Args:
        similarity: (N,) scores of the comparisons, higher = more alike.
        genuine: (N,), true where both sides show the same person.
        quality: (N,) pair qualities, or (N, 2) qualities of the two sides, of which the lower counts; with `images`
            (M,) image qualities.
        fmr: target false match rate, in (0, 1).
        protocol: "paper" or "edc": the defaults of all options.
        higher_is_better: false turns the sign of `quality`, for scores that are uncertainties.
        images: (N, 2) indices of the images compared; unit "image" needs them.
        **options: `threshold_update` "recompute" (at every grid point, on the impostors left) or "fixed" (once, before
            discarding); `fmr_rule` "lt" (largest FMR strictly below the target), "le" (not above it), "nearest"
            (CR-FIQA), "pyeer", "quantile" (of numpy) or "far_threshold" (of bob); `unit` "pair" (all comparisons are
            discarded), "mated_pair" (genuine ones) or "image" (images, and the comparisons that need them);
            `grid_step` of the discard fraction, or "exact": a step at every distinct quality; `ties` on a grid
            "stable" (input order decides) or "skip" (equal qualities leave together, once all fit), with exact steps
            always "together"; `normalisation` and `subtract_best`: see `ErrorDiscardResult.pauc`.

    Raises:
        ValueError: for inputs that have no curve (see `Comparisons.checked`) or options that do not exist or exclude
            each other.

    Warns:
        UserWarning: where impostors are too few for the target and the threshold is about the largest impostor score.
    """
    fmr_exact, options = checked_options(protocol, fmr, options)
    comparisons = Comparisons.checked(similarity, genuine, quality, higher_is_better, images)
    result = curve(comparisons, protocol, fmr_exact, options | {"higher_is_better": higher_is_better})
    if result.k[0] == 0 or fmr_exact * result.n_impostor < 1:
        warnings.warn(
            f"{result.n_impostor} impostor comparisons are too few for FMR {result.fmr:g} (k = {result.k[0]}): the "
            "threshold hangs on the largest impostor score; use more than "
            f"{floor(1 / fmr_exact)} impostors or a higher fmr",
            stacklevel=2,
        )
    return result


def curve(
    comparisons: Comparisons, protocol: str, fmr: Fraction, options: dict[str, Any], limit: float = 1
) -> ErrorDiscardResult:
    """The curve of checked comparisons by `checked_options`, for discard fractions below `limit` at least."""
    if options["unit"] == "image" and comparisons.images is None:
        raise ValueError("unit 'image' needs to know which images are compared: give images=(N, 2) indices")
    columns = exact_curve if options["grid_step"] == "exact" else grid_curve
    n_genuine = int(np.count_nonzero(comparisons.genuine))
    n_impostor = len(comparisons.genuine) - n_genuine
    return ErrorDiscardResult(
        protocol, float(fmr), options, n_genuine, n_impostor, *columns(comparisons, fmr, options, limit)
    )

"""The figures of one method and one recogniser on one benchmark, as JSON holds them; kept, for bootstraps are slow."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf import __version__
from difiqa_hf.metrics import ErrorDiscardResult, UndefinedAreaError, bootstrap_pauc, error_discard

LIMITS = (0.2, 0.3)
CURVE_GRID = [i / 20 for i in range(20)]
RESAMPLED_COMPARISONS = 10**8  # of all resamples of an interval together: about a minute
FEWEST_RESAMPLES = 20


def figures(
    similarity: np.ndarray,
    genuine: np.ndarray,
    quality: np.ndarray,
    seed: int,
    num_resamples: int,
    images: np.ndarray | None = None,
    persons: np.ndarray | None = None,
    **options: Any,
) -> dict[str, Any]:
    """FNMR(0), areas at every limit, intervals of the last one, the curve and its counts; None where undefined.

    Args:
        similarity, genuine, quality, images, **options: as in `error_discard`.
        seed, num_resamples: of the bootstrap; large benchmarks get fewer resamples.
        persons: (N, 2); with them there is an interval by identity too.
    """
    result = error_discard(similarity, genuine, quality, images=images, **options)
    affordable = max(FEWEST_RESAMPLES, RESAMPLED_COMPARISONS // len(similarity))
    common = options | {"limit": LIMITS[-1], "num_resamples": min(num_resamples, affordable), "seed": seed}

    def interval(persons: np.ndarray | None) -> dict[str, Any]:
        found = bootstrap_pauc(similarity, genuine, quality, images=images, persons=persons, **common)
        return {
            "limit": LIMITS[-1],
            "confidence": found.confidence,
            "low": _number(found.low),
            "high": _number(found.high),
            "resampled": found.resampled,
            "num_resamples": common["num_resamples"],
            "n_undefined": found.n_undefined,
        }

    areas, undefined = _areas(result)
    return {
        "fnmr0": result.fnmr0,
        "pauc": {limit: values and values["normalised"] for limit, values in areas.items()},
        "interval": interval(None),
        "interval_by_identity": None if persons is None else interval(persons),
        "areas": areas,
        "undefined": undefined,
        "n_genuine": result.n_genuine,
        "n_impostor": result.n_impostor,
        "curve": _curve(result),
    }


def kept_figures(cache_dir: str | Path | None, key: list[str | bytes], compute: Callable[[], dict]) -> dict[str, Any]:
    """`compute()`, or what it gave for the same `key` and version before."""
    if cache_dir is None:
        return compute()
    parts = [part.encode() if isinstance(part, str) else part for part in (*key, __version__)]
    digest = hashlib.sha256(b"\n".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    path = Path(cache_dir) / "figures" / f"{digest}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    values = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(values, allow_nan=False), encoding="utf-8")
    partial.replace(path)
    return values


def _areas(result: ErrorDiscardResult) -> tuple[dict[str, dict | None], str | None]:
    """Limit -> areas, None where undefined, and why."""
    areas, undefined = {}, None
    for limit in LIMITS:
        try:
            areas[str(limit)] = {name: _number(value) for name, value in result.areas(limit).items()}
        except UndefinedAreaError as error:
            areas[str(limit)], undefined = None, str(error)
    return areas, undefined


def _curve(result: ErrorDiscardResult) -> dict[str, list]:
    """The staircase at discard 0, .05, …, .95, which are all steps of protocol "paper"."""
    steps = np.searchsorted(result.discard, CURVE_GRID, side="right") - 1
    names = ("fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")
    return {"discard": CURVE_GRID} | {
        name: [_number(value) for value in getattr(result, name)[steps].tolist()] for name in names
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value  # JSON knows no NaN

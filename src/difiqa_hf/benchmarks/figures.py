"""The figures of one method and one recogniser on one benchmark, as JSON holds them; kept, for bootstraps are slow."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf import metrics
from difiqa_hf.benchmarks.available import Available
from difiqa_hf.metrics import (
    BootstrapInterval,
    ErrorDiscardResult,
    UndefinedAreaError,
    bootstrap_band,
    bootstrap_pauc,
    error_discard,
)
from difiqa_hf.metrics.calibration import Calibration

LIMITS = (0.2, 0.3)
DISCARDED = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)  # rows of a threshold table
CURVE_GRID = [i / 20 for i in range(20)]
RESAMPLED_COMPARISONS = 10**8  # of all resamples of an interval together: about a minute
FEWEST_RESAMPLES = 20
BAND_RESAMPLES = 200  # a picture needs fewer than a figure


@dataclass(frozen=True, eq=False)
class Judge:
    """The comparisons of a benchmark, waiting for similarities and qualities.

    Attributes:
        available: the benchmark.
        options: of `error_discard`, fmr and protocol among them.
        seed, num_resamples: of the bootstrap; large benchmarks get fewer resamples.
        cache_dir: keeps figures between calls; None keeps none.
    """

    available: Available
    options: dict[str, Any]
    seed: int
    num_resamples: int
    cache_dir: str | Path | None = None

    def figures(self, similarity: np.ndarray, quality: np.ndarray) -> dict[str, Any]:
        """FNMR(0), areas at every limit, intervals of the last one, the curve and its counts; None where undefined.

        "samples" are the last area's on every resample, by person where persons are known: those of another method,
        recogniser or benchmark of the same people are of the same resamples.

        Args:
            similarity: (N,) of the comparisons.
            quality: (sides,), higher = better.
        """
        return self._kept("figures", [similarity, quality], lambda: self._figures(similarity, quality))

    def thresholds(self, similarity: np.ndarray, quality: np.ndarray) -> list[dict[str, Any]]:
        """What discarding costs and gains: share of the images, their highest score, FNMR of what is kept (or None).

        By protocol "edc" whatever the options say: a comparison threshold that stays where it is.
        """
        kept = self.available.benchmark
        if kept.sides != kept.images:
            return []
        fmr = self.options["fmr"]
        found = Calibration.from_comparisons(similarity, kept.genuine, quality, fmr=fmr, images=kept.pairs)
        scores = [found.threshold_for_discard(rate) for rate in DISCARDED]
        errors = json_numbers(np.asarray(found.expected_fnmr(scores)))
        rows = zip(DISCARDED, scores, errors, strict=True)
        return [{"discard": rate, "quality": score, "fnmr": fnmr} for rate, score, fnmr in rows]

    def _figures(self, similarity: np.ndarray, quality: np.ndarray) -> dict[str, Any]:
        data = similarity, self.available.benchmark.genuine, quality
        result = error_discard(*data, images=self.available.benchmark.pairs, **self.options)
        areas, undefined = _areas(result)
        by_comparison = bootstrap_pauc(*data, **self._bootstrap())
        persons = self._persons()
        by_identity = None if persons is None else bootstrap_pauc(*data, **self._bootstrap(persons=persons))
        samples = (by_identity or by_comparison).samples
        band = self._bootstrap(persons=persons) | {"discard": CURVE_GRID}
        band["num_resamples"] = min(BAND_RESAMPLES, band["num_resamples"])
        band = bootstrap_band(*data, **{name: value for name, value in band.items() if name != "limit"})
        return {
            "fnmr0": result.fnmr0,
            "pauc": {limit: values and values["normalised"] for limit, values in areas.items()},
            "interval": interval_entry(by_comparison),
            "interval_by_identity": by_identity and interval_entry(by_identity),
            "samples": json_numbers(samples),
            "areas": areas,
            "undefined": undefined,
            "n_genuine": result.n_genuine,
            "n_impostor": result.n_impostor,
            "curve": _curve(result) | {end: json_numbers(getattr(band, end)) for end in ("low", "high")},
        }

    def _persons(self) -> np.ndarray | None:
        kept = self.available.benchmark
        return kept.persons and np.unique(kept.persons, return_inverse=True)[1][kept.pairs]

    def _bootstrap(self, persons: np.ndarray | None = None) -> dict[str, Any]:
        pairs = self.available.benchmark.pairs
        affordable = max(FEWEST_RESAMPLES, RESAMPLED_COMPARISONS // len(pairs))
        resamples = {"num_resamples": min(self.num_resamples, affordable), "seed": self.seed, "persons": persons}
        return self.options | resamples | {"limit": LIMITS[-1], "images": pairs}

    def _kept(self, kind: str, arrays: list[np.ndarray], compute: Callable[[], Any]) -> Any:
        """`compute()`, or what it gave before for the same comparisons, arrays, options and code of the metrics."""
        if self.cache_dir is None:
            return compute()
        kept = self.available.benchmark
        settings = repr((kind, self.options, self.seed, self.num_resamples, kept.persons, metrics_digest()))
        parts = [settings.encode(), *(array.tobytes() for array in (kept.pairs, kept.genuine, *arrays))]
        digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        path = Path(self.cache_dir) / "figures" / f"{digest}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        values = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(values, allow_nan=False), encoding="utf-8")
        partial.replace(path)
        return values


@cache
def metrics_digest() -> str:
    """12 hex digits (SHA-256) of the source of `difiqa_hf.metrics` and of this file."""
    paths = [*sorted(Path(metrics.__file__).parent.glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def interval_entry(found: BootstrapInterval) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "limit": LIMITS[-1],
        "confidence": found.confidence,
        "low": json_number(found.low),
        "high": json_number(found.high),
        "resampled": found.resampled,
        "num_resamples": len(found.samples),
        "n_undefined": found.n_undefined,
    }


def _areas(result: ErrorDiscardResult) -> tuple[dict[str, dict | None], str | None]:
    """Limit -> areas, None where undefined, and why."""
    areas, undefined = {}, None
    for limit in LIMITS:
        try:
            areas[str(limit)] = {name: json_number(value) for name, value in result.areas(limit).items()}
        except UndefinedAreaError as error:
            areas[str(limit)], undefined = None, str(error)
    return areas, undefined


def _curve(result: ErrorDiscardResult) -> dict[str, list]:
    """The staircase at discard 0, .05, …, .95, which are all steps of protocol "paper"."""
    steps = np.searchsorted(result.discard, CURVE_GRID, side="right") - 1
    names = ("fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")
    return {"discard": CURVE_GRID} | {name: json_numbers(getattr(result, name)[steps]) for name in names}


def json_numbers(values: np.ndarray) -> list[float | None]:
    return [json_number(value) for value in values.tolist()]


def json_number(value: float) -> float | None:
    return None if np.isnan(value) else value  # JSON knows no NaN

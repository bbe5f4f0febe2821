"""Curves and bands out of result files, to be drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf.metrics import Band, ErrorDiscardResult
from difiqa_hf.plots import plot_edc, save

COLUMNS = ("discard", "fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")


def draw_results(results: Sequence[Mapping[str, Any]], folder: str | Path, kind: str = "svg") -> list[Path]:
    """One figure per benchmark, target rate and recogniser, with the curves of all results (`evaluate_benchmark`).

    They are `folder/edc-<benchmark>-<recogniser>.<kind>`, with `-fmr-<rate>` in the name where a benchmark has several.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    curves: dict[tuple[str, float, str], dict[str, tuple[ErrorDiscardResult, Band | None]]] = {}
    for result in results:
        for row in result["results"]:
            place = result["benchmark"]["name"], result["protocol"]["fmr"], row["recognizer"]
            curves.setdefault(place, {})[row.get("label") or row["method"]] = read_curve(row, result["protocol"])
    paths = []
    for (name, fmr, recognizer), by_method in curves.items():
        several = len({rate for other, rate, _ in curves if other == name}) > 1
        stem = f"edc-{name}{f'-fmr-{fmr:g}' if several else ''}-{recognizer.replace('/', '-')}"
        lines = {method: line for method, (line, _) in by_method.items()}
        bands = {method: band for method, (_, band) in by_method.items() if band is not None}
        paths.append(Path(folder) / f"{stem}.{kind}")
        save(plot_edc(lines, bands), paths[-1])
    return paths


def read_curve(row: Mapping[str, Any], protocol: Mapping[str, Any]) -> tuple[ErrorDiscardResult, Band | None]:
    """The curve of a row of results and its band, both at the points of the file; early files have no bands."""
    discard, fnmr, threshold, k, genuine, impostor = (_array(row["curve"][name]) for name in COLUMNS)
    line = ErrorDiscardResult(
        protocol["name"], protocol["fmr"], protocol["options"], row["n_genuine"], row["n_impostor"],
        discard, fnmr, threshold, k, genuine, impostor,
    )  # fmt: skip
    if "low" not in row["curve"]:
        return line, None
    low, high = (_array(row["curve"][end]) for end in ("low", "high"))
    return line, Band(discard, low, high, row["interval"]["confidence"])


def _array(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])

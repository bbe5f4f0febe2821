"""Curves and bands out of result files, to be drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf.metrics import Band, ErrorDiscardResult
from difiqa_hf.plots import plot_edc, save

COLUMNS = ("discard", "fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")


def draw_results(result: Mapping[str, Any], folder: str | Path, kind: str = "svg") -> list[Path]:
    """One figure per recogniser of a result of `evaluate_benchmark`: `folder/edc-<benchmark>-<recogniser>.<kind>`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    curves: dict[str, dict[str, tuple[ErrorDiscardResult, Band]]] = {}
    for row in result["results"]:
        curves.setdefault(row["recognizer"], {})[row.get("label") or row["method"]] = read_curve(
            row, result["protocol"]
        )
    paths = []
    for recognizer, by_method in curves.items():
        lines = {name: line for name, (line, _) in by_method.items()}
        bands = {name: band for name, (_, band) in by_method.items()}
        paths.append(Path(folder) / f"edc-{result['benchmark']['name']}-{recognizer.replace('/', '-')}.{kind}")
        save(plot_edc(lines, bands), paths[-1])
    return paths


def read_curve(row: Mapping[str, Any], protocol: Mapping[str, Any]) -> tuple[ErrorDiscardResult, Band]:
    """The curve of a row of results and its band, both at the points of the file."""
    discard, fnmr, threshold, k, genuine, impostor = (_array(row["curve"][name]) for name in COLUMNS)
    line = ErrorDiscardResult(
        protocol["name"], protocol["fmr"], protocol["options"], row["n_genuine"], row["n_impostor"],
        discard, fnmr, threshold, k, genuine, impostor,
    )  # fmt: skip
    low, high = (_array(row["curve"][end]) for end in ("low", "high"))
    return line, Band(discard, low, high, row["interval"]["confidence"])


def _array(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])

"""Scored comparisons from a CSV file, and their figures."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf.metrics import ErrorDiscardResult, UndefinedAreaError, bootstrap_pauc, compare_pauc, error_discard

NEEDED = ("similarity", "genuine")
PERSONS = ("person_1", "person_2")


@dataclass(frozen=True, eq=False)
class ScoredComparisons:
    """Columns of a file, as `error_discard` takes them.

    Attributes:
        similarity, genuine: (N,).
        quality: (N,), or (N, 2) per side.
        persons: (N, 2) names, if the file has them.
    """

    similarity: np.ndarray
    genuine: np.ndarray
    quality: np.ndarray
    persons: np.ndarray | None


def has_comparisons(path: str | Path) -> bool:
    """Whether a file is CSV with the columns of comparisons."""
    with Path(path).open(newline="", encoding="utf-8-sig", errors="replace") as file:
        try:
            header = [name.strip() for name in next(csv.reader(file), [])]
        except csv.Error:  # a line too long for CSV
            header = []
    return set(NEEDED) <= set(header)


def read_comparisons(path: str | Path, name: str = "quality") -> ScoredComparisons:
    """Read a CSV file with a header; the quality is in column `name`, or in `name`_1 and `name`_2.

    Raises:
        ValueError: if a column is missing or a cell is not a number, with the line; for a file that is no CSV.
    """
    try:
        return _read(Path(path), name)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from None


def _read(path: Path, name: str) -> ScoredComparisons:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        quality = (name,) if name in header else (f"{name}_1", f"{name}_2")
        missing = [column for column in (*NEEDED, *quality) if column not in header]
        if missing:
            raise ValueError(f"{path} lacks the column {', '.join(missing)}; found {', '.join(header) or 'nothing'}")
        persons = PERSONS if set(PERSONS) <= set(header) else ()
        numbers, names = [], []
        numeric, named = ([header.index(column) for column in wanted] for wanted in ((*NEEDED, *quality), persons))
        for row in rows:
            if not row:
                continue
            try:
                numbers.append([float(row[i]) for i in numeric])
                names.append([row[i] for i in named])
            except (ValueError, IndexError) as error:
                raise ValueError(f"line {rows.line_num} of {path}: {error}") from error
    if not numbers:
        raise ValueError(f"{path} holds no comparisons")
    columns = np.array(numbers)
    scores = columns[:, 2] if len(quality) == 1 else columns[:, 2:]
    return ScoredComparisons(columns[:, 0], columns[:, 1], scores, np.array(names) if persons else None)


def summary(
    comparisons: ScoredComparisons, limits: list[float], num_resamples: int, seed: int, **options: Any
) -> tuple[ErrorDiscardResult, dict[str, Any]]:
    """The curve, and what JSON can hold of it: pAUC at the limits, intervals of the last one, the steps.

    Args:
        comparisons: of `read_comparisons`.
        limits: of pAUC.
        num_resamples: of the intervals; 0 for none.
        seed: of the intervals.
        options: of `error_discard`.
    """
    data = comparisons.similarity, comparisons.genuine, comparisons.quality
    result, pauc, undefined = error_discard(*data, **options), {}, None
    for limit in limits:
        try:
            pauc[f"{limit:g}"] = result.pauc(limit)
        except UndefinedAreaError as error:
            pauc[f"{limit:g}"], undefined = None, str(error)
    intervals = []
    for persons in [None] if comparisons.persons is None else [None, comparisons.persons]:
        if num_resamples and not undefined:
            found = bootstrap_pauc(
                *data, limit=limits[-1], persons=persons, num_resamples=num_resamples, seed=seed, **options
            )
            low, high = _numbers(np.array([found.low, found.high]))
            intervals.append({"resampled": found.resampled, "low": low, "high": high, "n_undefined": found.n_undefined})
    columns = ("discard", "fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")
    return result, {
        "protocol": result.protocol,
        "fmr": result.fmr,
        "options": result.options,
        "n_genuine": result.n_genuine,
        "n_impostor": result.n_impostor,
        "fnmr0": result.fnmr0,
        "pauc": pauc,
        "undefined": undefined,
        "intervals": intervals,
        "curve": {name: _numbers(getattr(result, name)) for name in columns},
    }


def difference(a: ScoredComparisons, b: ScoredComparisons, limit: float, **options: Any) -> dict[str, Any] | None:
    """pAUC(limit) by the quality of `a` minus that of `b`, by identity if the persons are known; None: undefined.

    Args:
        a, b: the same comparisons with two qualities.
        limit: of pAUC.
        options: of `compare_pauc`.
    """
    try:
        found = compare_pauc(a.similarity, a.genuine, a.quality, b.quality, limit=limit, persons=a.persons, **options)
    except UndefinedAreaError:
        return None
    low, high = _numbers(np.array([found.low, found.high]))
    return {"difference": found.difference, "low": low, "high": high, "p_value": found.p_value} | {
        "resampled": found.resampled, "n_undefined": found.n_undefined
    }  # fmt: skip


def _numbers(values: np.ndarray) -> list:
    return [None if value != value else value for value in values.tolist()]  # JSON knows no NaN

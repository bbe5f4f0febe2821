"""Figures of several recognisers or benchmarks together, and differences of two methods, on the same resamples.

A resample draws persons, and all methods and recognisers have the same draw; so have benchmarks of the same number of
persons. What a mean moves by is therefore seen from the means of the resamples.
"""

from collections.abc import Sequence
from statistics import mean
from typing import Any

import numpy as np

from difiqa_hf.benchmarks.figures import LIMITS, interval_entry, json_numbers
from difiqa_hf.metrics import BootstrapInterval, PairedInterval

LIMIT, CONFIDENCE = str(LIMITS[-1]), 0.95
Row = dict[str, Any]  # with "pauc", and "samples" of the last limit


def average(rows: Sequence[Row]) -> Row:
    """The mean of one method's rows; its areas are None where one of theirs is."""
    areas = {limit: [row["pauc"][limit] for row in rows] for limit in rows[0]["pauc"]}
    fewest = min(len(row["samples"]) for row in rows)
    samples = np.mean([_samples(row)[:fewest] for row in rows], axis=0)
    found = BootstrapInterval.of(samples, CONFIDENCE, _resampled(rows[0]))
    return {
        "method": rows[0]["method"],
        "pauc": {limit: None if None in values else mean(values) for limit, values in areas.items()},
        "interval": interval_entry(found),
        "samples": json_numbers(samples),
    }


def difference(row: Row, baseline: Row) -> dict[str, Any] | None:
    """pAUC of a row minus that of another on the same resamples, or None where one of the two has none."""
    own, other = row["pauc"][LIMIT], baseline["pauc"][LIMIT]
    if own is None or other is None:
        return None
    found = PairedInterval.between(_samples(row), _samples(baseline), own - other, CONFIDENCE, _resampled(row))
    return {"difference": found.difference, "p_value": found.p_value} | interval_entry(found)


def compare(rows: Sequence[Row], baseline: int | None) -> None:
    """Give every row but the baseline its difference to it, as `against_baseline`."""
    for i, row in enumerate(rows):
        if baseline is not None and i != baseline:
            row["against_baseline"] = difference(row, rows[baseline])


def without_samples(rows: Sequence[Row]) -> list[Row]:
    return [{key: value for key, value in row.items() if key != "samples"} for row in rows]


def _samples(row: Row) -> np.ndarray:
    return np.array(row["samples"], dtype=np.float64)  # None becomes NaN


def _resampled(row: Row) -> str:
    return (row.get("interval_by_identity") or row["interval"])["resampled"]

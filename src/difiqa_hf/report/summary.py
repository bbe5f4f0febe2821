"""Rows -> what the page shows; of a million rows only counts, scores and the ends of the ranking are kept."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

SHOWN = 12  # pictures at either end of the ranking
LISTED = 300  # lines of the ranking, and of the files without a score


@dataclass(frozen=True, order=True)
class Entry:
    """One face of the ranking, or a file without a score; ordered by quality, then by place in the file."""

    quality: float
    place: int
    path: Path = field(compare=False)
    face: int = field(compare=False, default=0)
    percentile: float | None = field(compare=False, default=None)
    status: str = field(compare=False, default="ok")
    band: str = field(compare=False, default="")


@dataclass(frozen=True, eq=False)
class Summary:
    """What there is to show.

    Attributes:
        files: status -> number of files, by their largest face.
        bands: band -> number of faces, if the rows have bands.
        qualities: (faces,) in the order of the rows.
        percentiles: the same, or None if the rows have none.
        worst, best: the ends of the ranking, worst first and best first, at most `LISTED` each.
        failed: the first `LISTED` files without a score.
        scorers: "method revision" of all rows.
    """

    files: Counter
    bands: Counter
    qualities: np.ndarray
    percentiles: np.ndarray | None
    worst: list[Entry]
    best: list[Entry]
    failed: list[Entry]
    scorers: list[str]


def summarise(rows: Iterable[Mapping[str, Any]]) -> Summary:
    """Go through the rows of `read_rows` once."""
    files, bands, scorers = Counter(), Counter(), Counter()
    qualities, percentiles, failed = [], [], []
    worst: list[tuple] = []  # heaps of at most LISTED entries, the one to go on top
    best: list[tuple] = []
    for place, row in enumerate(rows):
        entry = _entry(row, place)
        files[entry.status] += not entry.face
        if entry.band:
            bands[entry.band] += 1
        scorers[f"{row.get('method') or ''} {row.get('revision') or ''}".strip()] += 1
        if row["quality"] is None:
            if len(failed) < LISTED:
                failed.append(entry)
            continue
        qualities.append(entry.quality)
        percentiles.append(np.nan if entry.percentile is None else entry.percentile)
        _keep(worst, (-entry.quality, -place, entry))
        _keep(best, (entry.quality, -place, entry))
    shares = np.array(percentiles)
    return Summary(
        files,
        bands,
        np.array(qualities),
        shares if len(shares) and not np.isnan(shares).any() else None,
        [entry for *_, entry in sorted(worst, reverse=True)],
        [entry for *_, entry in sorted(best, reverse=True)],
        failed,
        sorted(scorers),
    )


def _entry(row: Mapping[str, Any], place: int) -> Entry:
    quality = float("nan") if row["quality"] is None else row["quality"]
    numbers = int(row["face"] or 0), row["percentile"]
    return Entry(quality, place, Path(row["path"]), *numbers, row["status"], row.get("band") or "")


def _keep(heap: list[tuple], item: tuple) -> None:
    (heapq.heappush if len(heap) < LISTED else heapq.heappushpop)(heap, item)

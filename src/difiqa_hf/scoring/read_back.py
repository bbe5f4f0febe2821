"""Result files of `difiqa score`, read again: CSV, JSON lines or Parquet."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NEEDED = ("path", "status", "quality")


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Rows in their order, by the columns of the file; numbers as such, None where there is no value.

    Raises:
        ValueError: if a needed column is missing, or a cell is not a number, with the row.
    """
    path = Path(path)
    rows = {".parquet": _parquet, ".jsonl": _lines, ".ndjson": _lines}.get(path.suffix, _csv)(path)
    for number, row in enumerate(rows, 1):
        missing = [name for name in NEEDED if name not in row]
        if missing:
            raise ValueError(f"{path} lacks the column {', '.join(missing)}; found {', '.join(map(str, row))}")
        try:
            yield row | {name: _number(row.get(name)) for name in ("quality", "percentile", "face")}
        except ValueError as error:
            raise ValueError(f"row {number} of {path}: {error}") from None


def _number(value: Any) -> float | None:
    return None if value in (None, "") else float(value)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from csv.DictReader(file)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()

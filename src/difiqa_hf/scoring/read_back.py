"""Result files of `difiqa score`, read again: CSV, JSON lines or Parquet."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NEEDED = ("path", "status", "quality")
_MARKS = {b"PAR1": "Parquet", b"\x1f\x8b": "gzip", b"PK": "zip", b"\x89PNG": "PNG", b"\xff\xd8": "JPEG"}


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """Rows in their order, by the columns of the file; numbers as such, None where there is no value.

    The format is told from the beginning of the file, whatever its name.

    Raises:
        ValueError: if a needed column is missing, or a row has no path, or a cell that is no finite number, with the
            row; or for a file in another format.
    """
    path, number = Path(path), 0
    rows = iter(_reader(path)(path))
    while True:
        number += 1
        try:
            row = next(rows, None)
            if row is None:
                return
            checked = _checked(row)
        except (ValueError, csv.Error) as error:  # of JSON, of UTF-8, of ours
            raise ValueError(f"row {number} of {path}: {error}") from None
        yield checked


def _reader(path: Path):
    with path.open("rb") as file:
        start = file.read(512)
    found = next((kind for mark, kind in _MARKS.items() if start.startswith(mark)), None)
    if found == "Parquet":
        return _parquet
    if found or b"\0" in start:
        raise ValueError(f"{path} is no result of difiqa score (CSV, JSON lines or Parquet) but {found or 'binary'}")
    return _lines if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in b"{[" else _csv


def _checked(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f"a row must be a JSON object, found a {type(row).__name__}")
    if missing := [name for name in NEEDED if name not in row]:
        raise ValueError(f"lacks the column {', '.join(missing)}; found {', '.join(map(repr, row))[:200] or 'nothing'}")
    if not isinstance(row["path"], str) or not row["path"]:
        raise ValueError(f"the path must be a text, found {row['path']!r}")
    return row | {name: _number(name, row.get(name)) for name in ("quality", "percentile", "face")}


def _number(name: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {name} must be a finite number, or nothing, found {value!r}")
    return number


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        yield from csv.DictReader(file)


def _lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except ArrowException as error:
        raise ValueError(f"no whole Parquet file: {error}") from None

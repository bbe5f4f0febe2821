"""Result files that survive being killed: CSV, JSON lines, Parquet.

`scores.csv.partial` grows by the rows of one chunk at a time. `scores.csv.progress` says, one JSON line a chunk, which
sources it was made of (a digest of names, sizes and times) and where it ends. Whatever stands behind the last complete
chunk is cut off when the same command is given again. `scores.csv` takes its name only when complete.
"""

import contextlib
import glob
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from difiqa_hf.scoring.rows import COLUMNS, Row, csv_line
from difiqa_hf.scoring.sources import Source

FORMATS = ("csv", "jsonl", "parquet")
SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
OTHERS = (".bz2", ".gz", ".htm", ".html", ".json", ".ods", ".tsv", ".xls", ".xlsx", ".xz", ".zip", ".zst")
LOG = re.compile(r"(\.\d+-of-\d+)?\.progress")  # what follows the name of the result
ROW_GROUP = 50_000  # rows of a Parquet file that are in memory at once


class Progress:
    """What was written, by status of the file (of its first face); one row per face.

    Attributes:
        files: status -> number of files.
        rows: number of rows.
        chunks: number of chunks.
        resumed: how many of them an interrupted run had left.
    """

    def __init__(self):
        self.files, self.rows, self.chunks, self.resumed = Counter(), 0, 0, 0

    def add(self, rows: list[Row]) -> None:
        self.files.update(row.status for row in rows if not row.face)  # exactly one row of a file has face 0 or none
        self.rows += len(rows)
        self.chunks += 1

    def restore(self, entry: dict[str, Any]) -> None:
        self.files, self.rows = Counter(entry["files"]), entry["rows"]
        self.chunks = self.resumed = self.chunks + 1


class Stream:
    """Rows to a stream that is already open, such as stdout: nothing to resume."""

    def __init__(self, file: TextIO, columns: tuple[str, ...], kind: str):
        self.file, self.kind, self.progress = file, kind, Progress()
        file.write(header(columns, kind))

    def remaining(self, chunks: Iterable[list[Source]]) -> Iterable[list[Source]]:
        """All of them."""
        return chunks

    def write(self, chunk: list[Source], rows: list[Row]) -> None:
        """The rows of a chunk."""
        self.file.write(_lines(rows, self.kind))
        self.progress.add(rows)


class ResumableFile(Stream):
    """The file behind a result that is not complete yet; see the module.

    Raises:
        ValueError: if there is an unfinished file of a run with other settings, which must not be lost by accident.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], kind: str, settings: dict[str, Any], restart: bool):
        self.kind, self.progress = kind, Progress()
        self.partial, self.log_path = (path.with_name(f"{path.name}.{name}") for name in ("partial", "progress"))
        settings = json.loads(json.dumps({"columns": columns, "format": kind} | settings))  # as the log gives them back
        self.file = self.partial.open("a+b")
        _lock(self.file, self.partial)
        self.log = self.log_path.open("a+b")
        self._done = [] if restart else self._entries(settings)
        if not self._done:
            self.file.truncate(0)
            self.log.truncate(0)
            self._append(header(columns, kind))
            self._note({"settings": settings})
            self._done = self._entries(settings)

    def _entries(self, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """The log: settings, then complete chunks, each with the place in the log where it ends."""
        self.log.seek(0)
        entries, place, size = [], 0, self.partial.stat().st_size
        for line in self.log:
            place += len(line)
            try:
                entry = json.loads(line)
            except ValueError:  # killed while writing it
                break
            if not line.endswith(b"\n") or entry["end"] > size:
                break
            entries.append(entry | {"log": place})
        if entries and (before := entries[0]["settings"]) != settings:
            if len(entries) == 1:  # nothing was scored yet
                return []
            changed = sorted(name for name in before | settings if before.get(name) != settings.get(name))
            raise ValueError(
                f"{self.partial} belongs to a run with other settings ({', '.join(changed)}); give the same command to "
                "finish it, or --restart to begin anew"
            )
        return entries

    def remaining(self, chunks: Iterable[list[Source]]) -> Iterator[list[Source]]:
        """The chunks that are not in the file yet; from the first on whose sources changed, all are written anew."""
        chunks, kept = iter(chunks), self._done[0]
        chunk = next(chunks, None)
        for entry in self._done[1:]:
            if chunk is None or _digest(chunk) != entry["chunk"]:
                break
            self.progress.restore(entry)
            kept, chunk = entry, next(chunks, None)
        self.file.truncate(kept["end"])
        self.log.truncate(kept["log"])
        if chunk is not None:
            yield chunk
        yield from chunks

    def write(self, chunk: list[Source], rows: list[Row]) -> None:
        """The rows of a chunk, and only then the note that it is complete."""
        self._append(_lines(rows, self.kind))
        self.progress.add(rows)
        self._note({"chunk": _digest(chunk), "rows": self.progress.rows, "files": self.progress.files})

    def _append(self, text: str) -> None:
        # file names are bytes; surrogateescape writes them back as they were
        self.file.write(text.encode("utf-8", "surrogateescape"))
        self.file.flush()

    def _note(self, entry: dict[str, Any]) -> None:
        end = self.file.seek(0, os.SEEK_END)
        self.log.write(json.dumps(entry | {"end": end}).encode() + b"\n")
        self.log.flush()

    def close(self) -> None:
        self.file.close()
        self.log.close()


@contextmanager
def open_output(
    name: str,
    columns: tuple[str, ...] = COLUMNS,
    kind: str | None = None,
    settings: dict | None = None,
    restart: bool = False,
) -> Iterator[Stream]:
    """What rows are written to; a file is complete, or it is unfinished beside its name and can be resumed.

    Args:
        name: of the file; "-" for stdout.
        columns: of the header.
        kind: one of `FORMATS`; None for what the name ends in, CSV if that is nothing of `SUFFIXES`.
        settings: what the rows depend on besides the sources; an unfinished file of others is refused.
        restart: throw an unfinished file away.

    Raises:
        ValueError: for a folder, a name that says another format, or Parquet on stdout.
    """
    kind = kind_of(name, kind)
    if name == "-":
        if kind == "parquet":
            raise ValueError("Parquet cannot be written to stdout; name a file by -o")
        with contextlib.suppress(AttributeError):  # not what a test or notebook puts there
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
        yield Stream(sys.stdout, columns, kind)
        return
    path = Path(name)
    refuse_other_runs(path, 1, restart)
    output = ResumableFile(path, columns, kind, settings or {}, restart)
    try:
        yield output
    finally:
        output.close()
    finish(output.partial, path, columns, kind)
    output.log_path.unlink()


def refuse_other_runs(path: Path, count: int, restart: bool) -> None:
    """Delete (`restart`) what a killed run of another number of processes than `count` has left.

    Raises:
        ValueError: without `restart`: the rows must not be lost by accident.
    """
    own = {f"{path.name}.progress"} if count == 1 else {f"{path.name}.{i}-of-{count}.progress" for i in range(count)}
    for log in path.parent.glob(f"{glob.escape(path.name)}*.progress"):
        if log.name in own or not LOG.fullmatch(log.name.removeprefix(path.name)):
            continue
        if not restart:
            raise ValueError(
                f"{log} was left by a run of another number of processes than {count}; launch as many again to finish "
                "it, or --restart to begin anew"
            )
        log.with_suffix(".partial").unlink(missing_ok=True)
        log.unlink(missing_ok=True)  # another process may be quicker


def kind_of(name: str, kind: str | None = None) -> str:
    """`kind`, or what the name ends in, CSV if that is nothing of `SUFFIXES`.

    Raises:
        ValueError: for a folder, or a name that says another format than is written.
    """
    if name != "-" and Path(name).is_dir():
        raise ValueError(f"the output {name} is a folder; name a file in it")
    suffix = Path(name).suffix.lower()
    if suffix in OTHERS:
        raise ValueError(f"{name} would be no {suffix} file: results are .csv, .jsonl or .parquet files")
    named = SUFFIXES.get(suffix)
    if kind and named not in (None, kind):
        raise ValueError(f"{name} would be no {suffix} file but {kind}; name the file or --format otherwise")
    return kind or named or "csv"


def finish(partial: Path, path: Path, columns: tuple[str, ...], kind: str) -> None:
    """The file takes its name."""
    if kind == "parquet":
        _write_parquet(partial, path, columns)
        partial.unlink()
    else:
        partial.replace(path)


def _digest(chunk: list[Source]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for source in chunk:
        digest.update(f"{source.path}\0{source.stamp}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def header(columns: tuple[str, ...], kind: str) -> str:
    return csv_line(list(columns)) if kind == "csv" else ""


def _lines(rows: list[Row], kind: str) -> str:
    if kind == "csv":
        return "".join(csv_line(row.cells()) for row in rows)
    return "".join(json.dumps(row.record(), ensure_ascii=False) + "\n" for row in rows)


def _lock(file, path: Path) -> None:
    """Two processes must not write one file; the lock goes with the process, however that ends."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another process is writing {path}; wait for it or name another output") from None


def _write_parquet(lines: Path, path: Path, columns: tuple[str, ...]) -> None:
    """JSON lines -> Parquet, through a file beside it."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    numbers = {"face": pa.int32(), "quality": pa.float64(), "percentile": pa.float64()}
    schema = pa.schema([(name, numbers.get(name, pa.string())) for name in columns])
    writing = path.with_name(f"{path.name}.writing")
    with lines.open(encoding="utf-8") as file, ParquetWriter(writing, schema) as writer:
        rows = map(json.loads, file)
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, schema))
    writing.replace(path)

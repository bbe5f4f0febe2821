"""One result file of several processes: each writes its share of the chunks, the first puts them in order.

Process p of n takes the chunks p, p + n, … and keeps them in `scores.csv.p-of-n.partial`, which survives being killed
as the file of a single process does. The complete file is the same, byte for byte, as that of one process.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from difiqa_hf.scoring.output import Progress, ResumableFile, finish, header, kind_of, refuse_other_runs


@contextmanager
def open_share(
    name: str, columns: tuple[str, ...], kind: str | None, settings: dict[str, Any], restart: bool, state
) -> Iterator[ResumableFile]:
    """What this process's rows are written to; afterwards its `progress` counts the rows of all.

    Args:
        name, columns, kind, settings, restart: as for `open_output`.
        state: accelerate's `PartialState`.

    Raises:
        ValueError: for stdout or a folder, or the unfinished file of a run with other settings or processes.
    """
    from accelerate.utils import gather_object

    if name == "-":
        raise ValueError(f"{state.num_processes} processes cannot share stdout; name a file by -o")
    path, kind, count = Path(name), kind_of(name, kind), state.num_processes
    shares = [path.with_name(f"{path.name}.{index}-of-{count}") for index in range(count)]
    refuse_other_runs(path, count, restart)
    own = ResumableFile(shares[state.process_index], columns, kind, settings, restart)
    try:
        yield own
    finally:
        own.close()
    state.wait_for_everyone()
    resumed = sum(gather_object([own.progress.resumed]))
    own.progress = total(shares)
    own.progress.resumed = resumed
    state.wait_for_everyone()  # before they are deleted
    if state.is_main_process:
        merge(shares, path, columns, kind)


def merge(shares: list[Path], path: Path, columns: tuple[str, ...], kind: str) -> None:
    """The complete file from complete shares, chunk by chunk in turn; they are deleted."""
    partial = path.with_name(f"{path.name}.partial")
    with ExitStack() as stack:
        written = stack.enter_context(partial.open("wb"))
        written.write(header(columns, kind).encode())
        turns = [chunks(share, stack) for share in shares]
        while turns:
            for turn in list(turns):
                if (rows := next(turn, None)) is None:
                    turns.remove(turn)
                else:
                    written.write(rows)
    finish(partial, path, columns, kind)
    for share in shares:
        for suffix in ("partial", "progress"):
            share.with_name(f"{share.name}.{suffix}").unlink()


def chunks(share: Path, stack: ExitStack) -> Iterator[bytes]:
    """The rows of each complete chunk of a share, as they stand in the file."""
    rows: BinaryIO = stack.enter_context(share.with_name(f"{share.name}.partial").open("rb"))
    start, *ends = [entry["end"] for entry in entries(share)]
    rows.seek(start)
    for end in ends:
        yield rows.read(end - start)
        start = end


def entries(share: Path) -> Iterator[dict[str, Any]]:
    """The log of a share: settings, then a line a chunk."""
    with share.with_name(f"{share.name}.progress").open(encoding="utf-8") as log:
        yield from map(json.loads, log)


def total(shares: list[Path]) -> Progress:
    """What all shares hold together."""
    found = Progress()
    for share in shares:
        *_, last = entries(share)
        found.files += Counter(last.get("files", {}))
        found.rows += last.get("rows", 0)
    return found

"""Where results may go: what is wrong with an output is found before any work, and nothing of the user's is lost."""

from collections.abc import Iterable
from pathlib import Path


def check_output(
    path: str | Path | None, suffixes: Iterable[str], inputs: Iterable[Path] = (), starts: tuple[bytes, ...] = ()
) -> None:
    """Refuse a file that cannot be written, is read by the same command, or is there and looks like no result.

    Args:
        path: file to write; None and "-" for none.
        suffixes: of the command's results, in lower case; only such a file is replaced, or an empty one.
        inputs: that the command reads.
        starts: first bytes of its results, where a file of another name may be one too.

    Raises:
        FileNotFoundError: if its folder is not there.
        ValueError: for a folder, an input, or an existing file with another suffix.
    """
    if path is None or str(path) == "-":
        return
    path, suffixes = Path(path), tuple(suffixes)
    if path.is_dir():
        raise ValueError(f"the output {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no folder {path.parent} to write {path.name} to; make it first, or name another")
    refuse_input(path, inputs)
    if path.is_file() and path.suffix.lower() not in suffixes and not _starts(path, starts):
        raise ValueError(
            f"{path} is there already and does not look like a result of this command, which ends in "
            f"{' or '.join(suffixes)}; name another output, or delete it first"
        )


def refuse_input(path: str | Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that is an input by whatever name.

    Raises:
        ValueError: with the name of the input.
    """
    path = Path(path)
    if path.is_file() and (same := next((name for name in inputs if _same(path, name)), None)) is not None:
        raise ValueError(f"the output {path} is the input {same}; name another output")


def check_folder(path: Path) -> None:
    """Refuse a folder to write to whose name is that of a file, or lies in one.

    Raises:
        ValueError: with the file.
    """
    if (file := next((part for part in (path, *path.parents) if part.is_file()), None)) is not None:
        raise ValueError(f"the output {path} must be a folder, and {file} is a file; name another")


def _starts(path: Path, starts: tuple[bytes, ...]) -> bool:
    """Whether a file is empty or begins with one of these."""
    with path.open("rb") as file:
        beginning = file.read(16)
    return not beginning or beginning.startswith(starts)


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # not there, or no name of a file
        return False

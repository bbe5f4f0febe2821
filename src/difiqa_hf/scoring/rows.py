"""One row per face: its fields, as text for CSV and as values for JSON and Parquet."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

COLUMNS = ("path", "face", "status", "quality", "percentile", "method", "revision")
STATUSES = ("ok", "several_faces", "no_face", "too_small", "unreadable")

# what a spreadsheet takes for the beginning of a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class Bands:
    """PASS, REVIEW and FAIL, by two limits that the user chose.

    Attributes:
        fail: qualities below are FAIL, as is everything without a quality.
        accept: qualities from here on are PASS; between the two they are REVIEW.
    """

    fail: float
    accept: float

    def __post_init__(self):
        if wrong := [limit for limit in (self.fail, self.accept) if not isinstance(limit, Real)]:
            raise ValueError(f"the limits of bands are scores, found {wrong[0]!r}")
        if not self.fail <= self.accept:
            raise ValueError(f"FAIL must not end above where PASS begins, found {self.fail:g} and {self.accept:g}")

    def of(self, quality: float | None) -> str:
        """The band of a quality."""
        if quality is None or not quality >= self.fail:
            return "FAIL"
        return "PASS" if quality >= self.accept else "REVIEW"


@dataclass(frozen=True)
class Row:
    """The result for one face, or for a file without one.

    Attributes:
        path: the file; "archive.zip#member" or "video.mp4#frame" for a part of one.
        face: index of the face in its image, 0 is the largest; None if there is none.
        status: one of `STATUSES`.
        quality: higher is better; None unless the status is "ok" or "several_faces".
        percentile: of the quality on the reference set, 0 to 100; None if there is none.
        method, revision: what scored it.
        reason: why there is no quality, or what else is to be said; "" otherwise. Not a column.
        band: PASS, REVIEW or FAIL, where `Bands` were given.
    """

    path: Path
    face: int | None
    status: str
    quality: float | None
    percentile: float | None
    method: str
    revision: str
    reason: str = ""
    band: str = ""

    def cells(self) -> list[str]:
        """The row as text, in the order of `COLUMNS`: six significant digits, nothing where there is no value."""
        face = "" if self.face is None else str(self.face)
        quality = "" if self.quality is None else f"{self.quality:.6g}"
        percentile = "" if self.percentile is None else f"{self.percentile:.1f}"
        cells = [path_cell(self.path), face, self.status, quality, percentile, self.method, self.revision]
        return [*cells, self.band] if self.band else cells

    def record(self) -> dict[str, Any]:
        """The row as values with the digits of `cells`. Bytes of the path that are no UTF-8 are written as \\xff."""
        values = {name: cell or None for name, cell in zip((*COLUMNS, "band"), self.cells(), strict=False)}
        numbers = {"quality": float, "percentile": float, "face": int}
        typed = {name: kind(values[name]) for name, kind in numbers.items() if values[name] is not None}
        return values | typed | {"path": path_text(self.path), "revision": self.revision}


def path_text(text: Path | str) -> str:
    r"""A path, or words that hold one, as text that every encoding takes; bytes that are no UTF-8 as \xff."""
    return str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def path_cell(path: Path) -> str:
    """A path as CSV cell: "./" before what a spreadsheet would run as a formula (= + - @ tab return): the same file."""
    text = str(path)
    return f"./{text}" if text.startswith(_FORMULA) else text


def csv_line(cells: list[str]) -> str:
    """One line of CSV (RFC 4180).

    Semicolons and tabs are quoted too: where they separate cells, what follows them could begin a formula.
    """
    return ",".join(_quoted(cell) for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',;"\t\r\n') else cell

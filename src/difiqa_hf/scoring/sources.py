"""What there is to score: named files and folders, lists, wildcards, members of zips, frames of videos."""

import glob
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from difiqa_hf.scoring.reading import UnreadableImageError, allowed, decode, read_image

# what a folder is searched for; a file named explicitly is read whatever it is called
_JPEG, _NETPBM = (".jfif", ".jpe", ".jpeg", ".jpg"), (".pgm", ".pnm", ".ppm")
EXTENSIONS = (*_JPEG, *_NETPBM, ".avif", ".bmp", ".gif", ".png", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")

MAX_MEMBER_BYTES = 2**28  # of an unpacked member of a zip, which may claim or hide any size


@dataclass(frozen=True)
class Source:
    """One image to come.

    Attributes:
        path: its name in the results.
        read: largest number of megapixels, and perhaps a least side as for `decode` -> upright RGB image; raises
            `UnreadableImageError`. Of the readers below, so that it can be handed to another process.
        stamp: size and time of the file on disk, by which an interrupted run knows whether it has changed.
    """

    path: Path
    read: Callable[..., Image.Image]
    stamp: str = ""


def named_paths(names: Iterable[str], listing: BinaryIO | None = None, separator: bytes = b"\n") -> Iterator[Path]:
    """Paths from arguments: "-" is the list that `listing` holds, wildcards are expanded where no such file exists.

    `**` in a wildcard is any number of folders. A wildcard without a match stays as it is, to be reported.
    """
    for name in names:
        if name == "-" and listing is not None:
            yield from (Path(os.fsdecode(item)) for item in _items(listing, separator))
        elif glob.has_magic(name) and not os.path.lexists(name):
            found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  takes absolute patterns, pathlib does not
            yield from map(Path, found or [name])
        else:
            yield Path(name)


def _items(listing: BinaryIO, separator: bytes) -> Iterator[bytes]:
    end = b"\r\n" if separator == b"\n" else separator
    return (item.rstrip(end) for item in listing.read().split(separator) if item.rstrip(end))


def find_images(paths: Iterable[Path]) -> Iterator[Path]:
    """The images under `paths`: files as they are, folders recursively, sorted, by `EXTENSIONS` in any case.

    A folder that cannot be listed is yielded itself, so that it becomes a row. Linked folders are not followed.
    """
    for path in paths:
        if not allowed(path.is_dir):
            yield path
            continue
        unlisted: list[OSError] = []
        for folder, subfolders, names in os.walk(path, onerror=unlisted.append):
            subfolders.sort()
            yield from (Path(folder, name) for name in sorted(names) if Path(name).suffix.lower() in EXTENSIONS)
        yield from (Path(error.filename) for error in unlisted)


def expand(paths: Iterable[Path], frames_per_second: float | None = None) -> Iterator[Source]:
    """The images in `paths`, in order: a zip's members (those with an image's extension), a video's frames, files.

    Args:
        paths: as from `find_images`.
        frames_per_second: of videos, about; None for every frame.
    """
    for path in paths:
        kind, stamp = path.suffix.lower(), _stamp(path)
        if kind == ".zip" and allowed(path.is_file):
            yield from _members(path, stamp)
        elif kind in VIDEOS and allowed(path.is_file):
            yield from _frames(path, stamp, frames_per_second)
        else:
            yield file_source(path, stamp)


def file_source(path: Path, stamp: str = "") -> Source:
    """A file that is one image."""
    return Source(path, partial(read_image, path), stamp)


def in_chunks(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """Lists of `size` sources, the last one shorter.

    Raises:
        ValueError: if `size` is less than 1.
    """
    if size < 1:
        raise ValueError(f"batch_size must be at least 1, found {size}")
    sources = iter(sources)
    return iter(lambda: list(islice(sources, size)), [])


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _failed(path: Path, stamp: str, reason: str) -> Source:
    return Source(path, partial(_refuse, reason), stamp)


def _refuse(reason: str, *limits: float) -> Image.Image:
    raise UnreadableImageError(reason)


def _members(path: Path, stamp: str) -> Iterator[Source]:
    """The images in a zip, in its order, read in memory: nothing is unpacked to disk."""
    try:
        archive = _opened(path, stamp, os.getpid())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        yield _failed(path, stamp, f"not a readable zip: {error}")
        return
    members = [m for m in archive.infolist() if not m.is_dir() and m.filename.lower().endswith(EXTENSIONS)]
    for member in members:
        yield Source(Path(f"{path}#{member.filename}"), partial(_read_member, path, stamp, member), stamp)
    if not members:
        yield _failed(path, stamp, "no image in this zip")


@lru_cache(maxsize=2)
def _opened(path: Path, stamp: str, process: int) -> zipfile.ZipFile:
    """Once in each process: two that share an open file read at each other's places."""
    return zipfile.ZipFile(path)


def _read_member(path: Path, stamp: str, member: zipfile.ZipInfo, max_megapixels: float, side: int = 0) -> Image.Image:
    if member.flag_bits & 1:
        raise UnreadableImageError("encrypted")
    try:
        with _opened(path, stamp, os.getpid()).open(member) as file:
            data = file.read(MAX_MEMBER_BYTES + 1)
    except Exception as error:  # unknown compression, wrong checksum, gone since
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    if len(data) > MAX_MEMBER_BYTES:
        raise UnreadableImageError(f"more than {MAX_MEMBER_BYTES / 1e6:.0f} MB unpacked")
    return decode(io.BytesIO(data), max_megapixels, side)


def _frames(path: Path, stamp: str, frames_per_second: float | None) -> Iterator[Source]:
    from difiqa_hf.scoring.video import VideoError, read_frames

    try:
        for index, frame in read_frames(path, frames_per_second):
            yield Source(Path(f"{path}#{index}"), partial(_read_frame, frame), stamp)
    except VideoError as error:
        yield _failed(path, stamp, str(error))


def _read_frame(frame: np.ndarray, max_megapixels: float, side: int = 0) -> Image.Image:
    megapixels = frame.shape[0] * frame.shape[1] / 1e6
    if megapixels > max_megapixels:
        raise UnreadableImageError(f"{megapixels:.4g} megapixels, at most {max_megapixels:g} are read")
    return Image.fromarray(frame)

"""Scoring files: find images, read them, cut out faces, score batches. Every file gets a row, none stops the others."""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from difiqa_hf.alignment import align
from difiqa_hf.detection import FaceDetector
from difiqa_hf.image_processing import FaceImageProcessor, to_rgb
from difiqa_hf.methods import QualityMethod

COLUMNS = ("path", "face", "status", "quality", "percentile", "method", "revision")
STATUSES = ("ok", "several_faces", "no_face", "too_small", "unreadable")

# what a folder is searched for; a file named explicitly is read whatever it is called
_JPEG, _NETPBM = (".jfif", ".jpe", ".jpeg", ".jpg"), (".pgm", ".pnm", ".ppm")
EXTENSIONS = (*_JPEG, *_NETPBM, ".avif", ".bmp", ".gif", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Row:
    """The result for one face, or for a file without one.

    Attributes:
        path: the file.
        face: index of the face in its image, 0 is the largest; None if there is none.
        status: one of `STATUSES`.
        quality: higher is better; None unless the status is "ok" or "several_faces".
        percentile: of the quality on the checkpoint's reference set, 0 to 100; None if it has none.
        method, revision: what scored it.
        reason: why there is no quality, or what else is to be said; "" otherwise. Not a column.
    """

    path: Path
    face: int | None
    status: str
    quality: float | None
    percentile: float | None
    method: str
    revision: str
    reason: str = ""

    def cells(self) -> list[str]:
        """The row as text, in the order of `COLUMNS`: six significant digits, nothing where there is no value."""
        face = "" if self.face is None else str(self.face)
        quality = "" if self.quality is None else f"{self.quality:.6g}"
        percentile = "" if self.percentile is None else f"{self.percentile:.1f}"
        return [path_cell(self.path), face, self.status, quality, percentile, self.method, self.revision]


@dataclass(frozen=True)
class Crop:
    """An aligned face of a file as pixel values (3, 112, 112), or None and the reason."""

    path: Path
    face: int | None
    status: str
    pixel_values: Tensor | None = None
    reason: str = ""


class UnreadableImageError(ValueError):
    """A file that is no image, is broken, or is too large; the message is the reason."""


def find_images(paths: Iterable[Path]) -> Iterator[Path]:
    """The images under `paths`: files as they are, folders recursively, sorted, by `EXTENSIONS` in any case.

    A folder that cannot be listed is yielded itself, so that it becomes a row. Linked folders are not followed.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        unlisted: list[OSError] = []
        for folder, subfolders, names in os.walk(path, onerror=unlisted.append):
            subfolders.sort()
            yield from (Path(folder, name) for name in sorted(names) if Path(name).suffix.lower() in EXTENSIONS)
        yield from (Path(error.filename) for error in unlisted)


def score_files(
    paths: Iterable[Path],
    method: QualityMethod,
    detector: FaceDetector | None = None,
    min_size: float = 20,
    max_megapixels: float = 100,
    batch_size: int = 32,
) -> Iterator[Row]:
    """Score files in order; never more than a batch of crops and one image are in memory.

    Args:
        paths: files, as from `find_images`.
        method: scores the crops.
        detector: finds and aligns faces in photographs; None if every file is an aligned crop.
        min_size: least shorter side of a file that is a crop, in pixels; the detector has its own.
        max_megapixels: larger images are not decoded; a row says so.
        batch_size: crops that are scored at once; changes speed, not scores.

    Raises:
        ValueError: if `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    processor = FaceImageProcessor()
    waiting: list[Crop] = []
    for path in paths:
        for crop in cut_crops(path, processor, detector, min_size, max_megapixels, method.landmarks):
            waiting.append(crop)
            if len(waiting) == batch_size:
                yield from _score(waiting, method)
                waiting = []
    yield from _score(waiting, method)


def _score(crops: list[Crop], method: QualityMethod) -> Iterator[Row]:
    pixel_values = [crop.pixel_values for crop in crops if crop.pixel_values is not None]
    qualities = iter(method(torch.stack(pixel_values)).tolist() if pixel_values else ())
    for crop in crops:
        quality = None if crop.pixel_values is None else next(qualities)
        percentile = None if quality is None else method.percentile(quality)
        yield Row(crop.path, crop.face, crop.status, quality, percentile, method.name, method.revision, crop.reason)


def cut_crops(
    path: Path,
    processor: FaceImageProcessor,
    detector: FaceDetector | None,
    min_size: float,
    max_megapixels: float,
    landmarks: int = 5,
) -> Iterator[Crop]:
    """The faces of one file, largest first; at least one `Crop`. `landmarks` as for `align`."""
    try:
        image = read_image(path, max_megapixels)
    except UnreadableImageError as error:
        yield Crop(path, None, "unreadable", reason=str(error))
        return
    if detector is None:
        if min(image.size) < min_size:
            reason = f"{image.width} x {image.height} pixels, at least {min_size:g} are needed"
            yield Crop(path, None, "too_small", reason=reason)
        else:
            yield Crop(path, 0, "ok", processor(image).pixel_values[0])
        return
    found = detector.detect(image)
    if found.status not in ("ok", "several_faces"):
        yield Crop(path, None, found.status, reason=found.reason)
        return
    for index, face in enumerate(found.faces):
        try:
            pixel_values = processor(align(image, face.points, landmarks=landmarks)).pixel_values[0]
        except ValueError as error:  # landmarks that form no face
            yield Crop(path, index, "no_face", reason=str(error))
        else:
            yield Crop(path, index, found.status, pixel_values)


def read_image(path: Path, max_megapixels: float = 100) -> Image.Image:
    """An image file as upright 8-bit RGB.

    Raises:
        UnreadableImageError: with the reason, whatever is wrong with the file.
    """
    if not path.is_file():  # a pipe, for example, would block
        raise UnreadableImageError("not a regular file" if path.exists() else "no such file")
    try:
        with _patient_pillow(), Image.open(path) as image:
            megapixels = image.width * image.height / 1e6  # from the header: nothing is decoded yet
            if megapixels <= max_megapixels:
                return to_rgb(image)
    except UnidentifiedImageError:
        raise UnreadableImageError("not an image of a known format, or empty") from None
    except Exception as error:  # decoders raise nearly anything on a broken file, from SyntaxError to zlib.error
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    raise UnreadableImageError(f"{megapixels:.4g} megapixels, at most {max_megapixels:g} are read")


@contextmanager
def _patient_pillow() -> Iterator[None]:
    """No limit of Pillow's own (89 megapixels; ours is `max_megapixels`), no warnings about odd but legible files."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def path_cell(path: Path) -> str:
    """A path as CSV cell: "./" before what a spreadsheet would run as a formula (= + - @ tab return): the same file."""
    text = str(path)
    return f"./{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


@contextmanager
def open_output(path: Path) -> Iterator:
    """A text file that takes its name only when complete; until then, and after a failure, it is `path`.partial."""
    if path.is_dir():
        raise ValueError(f"the output {path} is a folder; name a file in it")
    partial = path.with_name(f"{path.name}.partial")
    # file names are bytes; surrogateescape writes them back as they were
    with partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        yield file
    partial.replace(path)


def pick_device(name: str) -> str:
    """A device that is there; "auto" is the GPU, or the CPU.

    Raises:
        ValueError: for a name that torch does not know, or a GPU that it does not see.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (AssertionError, ImportError, RuntimeError) as error:  # as the backend likes
        reason = str(error).splitlines()[0]
        raise ValueError(f"no device {name!r} here ({reason}); auto takes what there is") from error
    return name


def hide_loading_bars() -> None:
    """Keep the libraries' progress bars for loading weights off the screen."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()

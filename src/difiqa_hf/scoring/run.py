"""Sources -> crops -> rows, chunk by chunk: memory holds the crops of a chunk (with processes that read ahead, two more
each) and the images being read.

A chunk is `batch_size` sources in order. What goes through the network together is therefore the same however often a
run was interrupted, and so is the last digit of every score.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from difiqa_hf.alignment import align
from difiqa_hf.detection import Face, FaceDetector
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods import QualityMethod
from difiqa_hf.scoring.ahead import cut_chunks
from difiqa_hf.scoring.reading import UnreadableImageError
from difiqa_hf.scoring.rows import Bands, Row
from difiqa_hf.scoring.sources import Source, file_source, in_chunks

Percentile = Callable[[float], float | None]
SIDE = 112  # of a crop, pixels


@dataclass(frozen=True)
class Crop:
    """An aligned face as pixel values (3, 112, 112), or None and the reason; `found` is what the detector said."""

    path: Path
    face: int | None
    status: str
    pixel_values: Tensor | None = None
    reason: str = ""
    found: Face | None = None


def cut_crops(
    source: Source,
    processor: FaceImageProcessor,
    detector: FaceDetector | None,
    min_size: float,
    max_megapixels: float,
    landmarks: int = 5,
    draft: bool = False,
) -> list[Crop]:
    """The faces of one image, largest first; at least one `Crop`.

    `landmarks` as for `align`; with `draft` large JPEGs that are crops are decoded at twice the size that is needed.
    """
    path = source.path
    try:
        side = max(2 * SIDE, math.ceil(min_size)) if draft and detector is None else 0
        image = source.read(max_megapixels, side) if side else source.read(max_megapixels)
    except UnreadableImageError as error:
        return [Crop(path, None, "unreadable", reason=str(error))]
    if detector is None:
        if min(image.size) < min_size:
            reason = f"{image.width} x {image.height} pixels, at least {min_size:g} are needed"
            return [Crop(path, None, "too_small", reason=reason)]
        square = image.width == image.height
        reason = "" if square else f"{image.width} x {image.height} pixels, not square"
        return [Crop(path, 0, "ok", processor(image).pixel_values[0], reason)]
    detection = detector.detect(image)
    if detection.status not in ("ok", "several_faces"):
        return [Crop(path, None, detection.status, reason=detection.reason)]
    crops = []
    for index, face in enumerate(detection.faces):
        try:
            pixel_values = processor(align(image, face.points, landmarks=landmarks)).pixel_values[0]
        except ValueError as error:  # landmarks that form no face
            crops.append(Crop(path, index, "no_face", reason=str(error)))
        else:
            crops.append(Crop(path, index, detection.status, pixel_values, detection.reason, face))
    return crops


@dataclass(frozen=True)
class Cutter:
    """Source -> crops by these settings, see `cut_crops`; can be handed to another process."""

    processor: FaceImageProcessor
    detector: FaceDetector | None = None
    min_size: float = 20
    max_megapixels: float = 100
    landmarks: int = 5
    draft: bool = False

    def __call__(self, source: Source) -> list[Crop]:
        limits = self.min_size, self.max_megapixels, self.landmarks, self.draft
        return cut_crops(source, self.processor, self.detector, *limits)


def chunk_cutter(
    detector: FaceDetector | None = None,
    min_size: float = 20,
    max_megapixels: float = 100,
    landmarks: int = 5,
    draft: bool = False,
) -> Callable[..., Iterator[tuple[list[Source], list[Crop]]]]:
    """(chunks, workers) -> every chunk with its crops, by these settings; see `cut_crops` and `cut_chunks`."""
    return partial(cut_chunks, Cutter(FaceImageProcessor(), detector, min_size, max_megapixels, landmarks, draft))


def score_chunks(
    chunks: Iterable[list[Source]],
    method: QualityMethod,
    detector: FaceDetector | None = None,
    min_size: float = 20,
    max_megapixels: float = 100,
    batch_size: int = 32,
    workers: int = 0,
    percentile: Percentile | None = None,
    bands: Bands | None = None,
    draft: bool = False,
) -> Iterator[tuple[list[Source], list[Row]]]:
    """Every chunk of sources with its rows, in order.

    Args:
        chunks: as from `in_chunks`.
        method, detector, min_size, max_megapixels, batch_size: as in `score_files`.
        workers: processes that read and align ahead; 0 for none.
        percentile: of a score, instead of the method's own.
        bands: for a PASS, REVIEW or FAIL in every row.
        draft: as for `cut_crops`.
    """
    cut = chunk_cutter(detector, min_size, max_megapixels, method.landmarks, draft)
    for chunk, crops in cut(chunks, workers):
        yield chunk, score_crops(crops, method, batch_size, percentile, bands)


def score_crops(
    crops: list[Crop],
    method: QualityMethod,
    batch_size: int = 32,
    percentile: Percentile | None = None,
    bands: Bands | None = None,
) -> list[Row]:
    """A row for every crop; the network sees at most `batch_size` at once."""
    percentile = percentile or method.percentile
    faces = [crop.pixel_values for crop in crops if crop.pixel_values is not None]
    batches = (torch.stack(faces[i : i + batch_size]) for i in range(0, len(faces), batch_size))
    qualities = iter([quality for batch in batches for quality in method(batch).tolist()])
    rows = []
    for crop in crops:
        quality = None if crop.pixel_values is None else next(qualities)
        place = None if quality is None else percentile(quality)
        band = "" if bands is None else bands.of(quality)
        scorer = method.name, method.revision
        rows.append(Row(crop.path, crop.face, crop.status, quality, place, *scorer, crop.reason, band))
    return rows


def score_files(
    paths: Iterable[Path],
    method: QualityMethod,
    detector: FaceDetector | None = None,
    min_size: float = 20,
    max_megapixels: float = 100,
    batch_size: int = 32,
) -> Iterator[Row]:
    """Score image files in order; never more than a batch of crops and one image are in memory.

    Args:
        paths: files, as from `find_images`.
        method: scores the crops.
        detector: finds and aligns faces in photographs; None if every file is an aligned crop.
        min_size: least shorter side of a file that is a crop, in pixels; the detector has its own.
        max_megapixels: larger images are not decoded; a row says so.
        batch_size: crops that are scored at once; changes speed, and the last digits of scores.

    Raises:
        ValueError: if `batch_size` is less than 1.
    """
    chunks = in_chunks(map(file_source, paths), batch_size)
    for _, rows in score_chunks(chunks, method, detector, min_size, max_megapixels, batch_size):
        yield from rows

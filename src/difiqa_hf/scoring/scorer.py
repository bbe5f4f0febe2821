"""`FaceScorer`: one image, a list of images or a column of a data set."""

import math
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from difiqa_hf.detection import FaceDetector
from difiqa_hf.image_processing import FaceImageProcessor, to_rgb
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.scoring.reading import UnreadableImageError, decode, read_image
from difiqa_hf.scoring.rows import Row
from difiqa_hf.scoring.run import cut_crops, score_crops
from difiqa_hf.scoring.sources import Source

_ADDED = ("status", "quality", "percentile")  # by `FaceScorer.column`


class FaceScorer:
    """Scores images in any usual form. A bad image is a `Row` with a status and a reason, never an exception.

    Args:
        method: a quality method or its name for `create_method`.
        detect: true to find and align the faces of photographs, or a `FaceDetector`; false for aligned crops.
        min_size: least shorter side of a crop or face, in pixels, 20 if not given; a `FaceDetector` has its own.
        max_megapixels: larger files are not decoded.
        batch_size: faces that are scored at once.
        **options: of `create_method`, with a name: seed, device, recognizer, checkpoint, num_repeats.

    Raises:
        ValueError: for options that do not exist, or whose values have no meaning.

    Example:
        >>> scorer = FaceScorer("random")
        >>> scorer(Image.new("RGB", (112, 112))).status
        'ok'
    """

    def __init__(
        self,
        method: str | QualityMethod = "difiqa-r",
        *,
        detect: bool | FaceDetector = False,
        min_size: float | None = None,
        max_megapixels: float = 100,
        batch_size: int = 32,
        **options: Any,
    ):
        _check_limits(detect, min_size, max_megapixels, batch_size)
        min_size = 20 if min_size is None else min_size
        self.detector = FaceDetector(min_size=min_size) if detect is True else detect or None
        self.min_size, self.max_megapixels, self.batch_size = min_size, max_megapixels, batch_size
        self.method = _method(method, options)
        self.method.check_ready()
        self._processor = FaceImageProcessor()

    def __call__(self, image: Any) -> Row:
        """The row of the image, of its largest face if there are several.

        Args:
            image: path, bytes of a file, PIL image, array (height, width[, 3]) uint8 RGB, or what `datasets` gives
                without decoding, {"bytes": …, "path": …}.
        """
        return self.many([image])[0]

    def faces(self, image: Any) -> list[Row]:
        """One row per face, largest first; one with a reason if there is none."""
        return score_crops(self._crops(image), self.method, self.batch_size)

    def many(self, images: Iterable[Any]) -> list[Row]:
        """One row per image, in order, of its largest face.

        Raises:
            TypeError: for one image, of which the parts would be taken for images.
        """
        if _is_one(images):
            raise TypeError(f"many() takes several images, found one {type(images).__name__}; wrap it in a list")
        crops = [self._crops(image)[0] for image in images]
        return score_crops(crops, self.method, self.batch_size)

    def column(self, name: str = "image") -> Callable[[Mapping[str, list]], dict[str, list]]:
        """A function for `dataset.map(scorer.column("image"), batched=True)`: adds status, quality and percentile.

        With `dataset.cast_column("image", datasets.Image(decode=False))` broken images get a status too.

        Raises:
            ValueError: from the function, without batched=True, without the column, or if one would be overwritten.
        """

        def add_quality(batch: Mapping[str, list]) -> dict[str, list]:
            check_columns(batch, name, _ADDED)
            if _is_one(batch[name]):
                raise ValueError(f"column {name!r} came as one {type(batch[name]).__name__}: pass batched=True to map")
            rows = self.many(batch[name])
            return {field: [getattr(row, field) for row in rows] for field in _ADDED}

        return add_quality

    def _crops(self, image: Any) -> list:
        path, read = _opened(image)
        source, landmarks = Source(path, read), self.method.landmarks
        return cut_crops(source, self._processor, self.detector, self.min_size, self.max_megapixels, landmarks)


def check_columns(batch: Mapping[str, Any], column: str, added: Iterable[str]) -> None:
    """Raise ValueError for a batch that lacks the column, or has one that would be overwritten."""
    if column not in batch:
        raise ValueError(f"the batch has no column {column!r}, only {', '.join(batch)}; name the one with the images")
    if taken := [name for name in added if name in batch]:
        raise ValueError(f"the batch has a column {', '.join(taken)} already: rename or drop it first")


def _check_limits(detect: Any, min_size: Any, max_megapixels: Any, batch_size: Any) -> None:
    """Refuse now what would make every image unreadable, or fail with the first one."""
    own_detector = callable(getattr(detect, "detect", None))
    if not (own_detector or isinstance(detect, bool)):
        raise ValueError(f"detect must be True, False or a FaceDetector, found {detect!r}")
    if own_detector and min_size is not None:
        raise ValueError(f"min_size is the detector's: FaceDetector(min_size={min_size})")
    if min_size is not None and not (_is_number(min_size) and min_size >= 0):
        raise ValueError(f"min_size must be a number, at least 0, found {min_size!r}")
    if not (_is_number(max_megapixels) and max_megapixels > 0):
        raise ValueError(f"max_megapixels must be a number above 0, found {max_megapixels!r}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number, at least 1, found {batch_size!r}")


def _method(method: str | QualityMethod, options: dict[str, Any]) -> QualityMethod:
    if isinstance(method, str):
        return create_method(method, **options)
    if not isinstance(method, QualityMethod):
        raise ValueError(f"method must be the name of one or a QualityMethod, found a {type(method).__name__}")
    if options:
        raise ValueError(
            f"{', '.join(options)}: options are for the name of a method; give them to {method.name} itself"
        )
    return method


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_one(images: Any) -> bool:
    """Whether this is one image, which can be iterated over too: a name letter by letter, an array row by row."""
    array = isinstance(images, np.ndarray) and images.dtype != object and images.ndim in (2, 3)
    return array or isinstance(images, str | bytes | PathLike | Mapping | Image.Image)


def _opened(image: Any) -> tuple[Path, Callable[[float], Image.Image]]:
    """A name for the image and a function that reads it."""
    from io import BytesIO

    if isinstance(image, Mapping):
        path, data = image.get("path"), image.get("bytes")
        image = data if data is not None else path
        return Path(path or ""), _opened(image)[1]
    if isinstance(image, str | Path):
        return Path(image), lambda limit: read_image(Path(image), limit)
    if isinstance(image, bytes):
        return Path(), lambda limit: decode(BytesIO(image), limit)
    return Path(), lambda limit: _converted(image)


def _converted(image: Any) -> Image.Image:
    if image is None:
        raise UnreadableImageError("there is no image")
    if not isinstance(image, np.ndarray | Image.Image):
        raise UnreadableImageError(f"give a path, bytes, a PIL image or a uint8 array, found a {type(image).__name__}")
    if isinstance(image, np.ndarray) and image.dtype != np.uint8:
        raise UnreadableImageError(f"an array must be uint8 with levels from 0 to 255, found {image.dtype}: convert it")
    try:
        return to_rgb(Image.fromarray(image) if isinstance(image, np.ndarray) else image)
    except Exception as error:  # truncated files that were opened, arrays of other shapes, other objects
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error

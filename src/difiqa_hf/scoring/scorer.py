"""`FaceScorer`: one image, a list of images or a column of a data set."""

from collections.abc import Callable, Iterable, Mapping
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


class FaceScorer:
    """Scores images in any usual form. A bad image is a `Row` with a status and a reason, never an exception.

    Args:
        method: a quality method or its name for `create_method`.
        detect: true to find and align the faces of photographs, or a `FaceDetector`; false for aligned crops.
        min_size: least shorter side of a crop or face, in pixels.
        max_megapixels: larger files are not decoded.
        batch_size: faces that are scored at once.
        **options: of `create_method`: seed, device, recognizer, checkpoint, num_repeats.

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
        min_size: float = 20,
        max_megapixels: float = 100,
        batch_size: int = 32,
        **options: Any,
    ):
        self.method = create_method(method, **options) if isinstance(method, str) else method
        self.detector = FaceDetector(min_size=min_size) if detect is True else detect or None
        self.min_size, self.max_megapixels, self.batch_size = min_size, max_megapixels, batch_size
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
        """One row per image, in order, of its largest face."""
        crops = [self._crops(image)[0] for image in images]
        return score_crops(crops, self.method, self.batch_size)

    def column(self, name: str = "image") -> Callable[[Mapping[str, list]], dict[str, list]]:
        """A function for `dataset.map(scorer.column("image"), batched=True)`: adds status, quality and percentile.

        With `dataset.cast_column("image", datasets.Image(decode=False))` broken images get a status too.
        """

        def add_quality(batch: Mapping[str, list]) -> dict[str, list]:
            rows = self.many(batch[name])
            return {field: [getattr(row, field) for row in rows] for field in ("status", "quality", "percentile")}

        return add_quality

    def _crops(self, image: Any) -> list:
        path, read = _opened(image)
        source, landmarks = Source(path, read), self.method.landmarks
        return cut_crops(source, self._processor, self.detector, self.min_size, self.max_megapixels, landmarks)


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

"""A public-domain portrait and its degraded versions, the same bits on every machine."""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from difiqa_hf.alignment import align

# Eye, eye, nose, mouth, mouth of scikit-image's astronaut, as YuNet finds them: the demo needs no detector.
LANDMARKS = np.array([(203.4, 103.6), (247.5, 104.4), (224.1, 127.7), (204.0, 143.1), (242.9, 143.7)])


@dataclass(frozen=True)
class Version:
    """The portrait (kind "original", step 0) or a degraded version of it.

    Attributes:
        kind: of degradation.
        step: its severity, 1 is the mildest of the kind.
        detail: the severity in words.
        image: aligned RGB crop, 112 x 112.
    """

    kind: str
    step: int
    detail: str
    image: Image.Image

    @property
    def name(self) -> str:
        """Kind and severity."""
        return f"{self.kind}, {self.detail}" if self.detail else self.kind


def portrait() -> Image.Image:
    """NASA's photograph of Eileen Collins, 512 x 512, in the public domain, from the files of scikit-image.

    Read as a file: `skimage.data` would import half of SciPy, and download what it does not find.

    Raises:
        ImportError: without scikit-image.
    """
    package = find_spec("skimage")
    if package is None:
        raise ImportError("the demo needs the portrait in scikit-image: pip install 'difiqa-hf[demo]'")
    return Image.open(Path(package.origin).parent / "data" / "astronaut.png").convert("RGB")


def make_versions() -> list[Version]:
    """The aligned original, then every kind of degradation in steps of growing severity."""
    photo = portrait()
    original = align(photo, LANDMARKS)
    versions = [Version("original", 0, "", original)]
    for kind, (detail, values, change) in PIXEL_LADDERS.items():
        for step, value in enumerate(values, 1):
            versions.append(Version(kind, step, detail.format(value), change(original, value)))
    for kind, (detail, values, move) in POINT_LADDERS.items():
        for step, value in enumerate(values, 1):
            versions.append(Version(kind, step, detail.format(value), align(photo, move(LANDMARKS, value))))
    return versions


def _blur(image: Image.Image, sigma: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(sigma))


def _shrink(image: Image.Image, side: int) -> Image.Image:
    small = image.resize((side, side), Image.Resampling.BICUBIC)
    return small.resize(image.size, Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _noise(image: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(image) + np.random.default_rng(0).normal(0, sigma, (*image.size, 3))
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def _expose(image: Image.Image, percent: int) -> Image.Image:
    return image.point(lambda value: min(255, round(value * percent / 100)))


def _contrast(image: Image.Image, percent: int) -> Image.Image:
    return image.point(lambda value: round(128 + (value - 128) * percent / 100))


def _cover(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Grey over left, top, right, bottom, as parts of the side."""
    covered = image.copy()
    covered.paste((128, 128, 128), tuple(round(part * image.width) for part in box))
    return covered


def _cover_below(image: Image.Image, percent: int) -> Image.Image:
    return _cover(image, (0, 1 - percent / 100, 1, 1))


def _cover_left(image: Image.Image, percent: int) -> Image.Image:
    return _cover(image, (0, 0, percent / 100, 1))


def _rotate(points: np.ndarray, degrees: float) -> np.ndarray:
    """Landmarks that are off by an angle: the crop is turned, with the photograph's own pixels in its corners."""
    turn = np.exp(1j * np.radians(degrees))
    matrix = np.array([(turn.real, turn.imag), (-turn.imag, turn.real)])
    centre = points.mean(axis=0)
    return (points - centre) @ matrix + centre


def _shift(points: np.ndarray, percent: int) -> np.ndarray:
    """Landmarks that are off by a part of the crop's side, to the right and below."""
    side = 112 * np.hypot(*(points[1] - points[0])) / 35.2
    return points + side * percent / 100


# kind: (severity in words, values from mild to severe, function)
PIXEL_LADDERS = {
    "blur":               ("sigma {} px",       (1, 2, 4),       _blur),
    "low resolution":     ("{0} x {0} px",      (48, 24, 12),    _shrink),
    "JPEG":               ("quality {}",        (20, 8, 2),      _jpeg),
    "noise":              ("sigma {} of 255",   (15, 40, 80),    _noise),
    "darkness":           ("{} % of the light", (40, 15, 5),     _expose),
    "over-exposure":      ("{} % of the light", (150, 250, 500), _expose),
    "low contrast":       ("{} % left",         (50, 20, 6),     _contrast),
    "lower face covered": ("{} %",              (25, 40, 55),    _cover_below),
    "half face covered":  ("{} %",              (30, 50, 70),    _cover_left),
}  # fmt: skip
POINT_LADDERS = {
    "rotation":           ("{} degrees",        (20, 45, 90),    _rotate),
    "misalignment":       ("{} % of the side",  (10, 20, 35),    _shift),
}  # fmt: skip

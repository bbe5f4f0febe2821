"""Plain measurements of a face image, under the names of components of ISO/IEC 29794-5.

The names say what is measured. Formulas, units and scales are ours, simpler than the standard's: **nothing here
conforms to it**, and none of these numbers is part of a quality score.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from difiqa_hf.alignment import eye_distance
from difiqa_hf.detection import Face
from difiqa_hf.explanation.pose import head_pose

# The face without hair and background in an aligned crop: rows and columns of 112.
_FACE = np.s_[24:108, 20:92]
_DARK, _BRIGHT = 25, 247  # 8-bit luminance


@dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        name: of the component.
        value: in `unit`.
        meaning: what the number is.
    """

    name: str
    value: float
    unit: str
    meaning: str


def measure(crop: Image.Image, face: Face | None = None, size: tuple[int, int] | None = None) -> list[Measurement]:
    """All that can be measured.

    Args:
        crop: aligned, 112 x 112 on the ArcFace template, RGB.
        face: where it was found in a photograph, for size and pose; size: of that photograph, for margins.

    Raises:
        ValueError: for a crop of another size.
    """
    if crop.size != (112, 112):
        raise ValueError(f"measurements are of an aligned crop of 112 x 112 pixels, found {crop.width} x {crop.height}")
    found = list(_of_pixels(crop))
    if face is not None:
        found += _of_face(face)
    if face is not None and size is not None:
        found += _of_margins(face, size)
    return found


def _of_pixels(crop: Image.Image) -> Iterator[Measurement]:
    luminance = np.asarray(crop.convert("L"), dtype=float)
    face = luminance[_FACE]
    yield Measurement("Sharpness", _laplacian(luminance)[_FACE].var(), "", "variance of the Laplacian, 8-bit luminance")
    yield Measurement("Luminance mean", face.mean() / 255, "", "0 black, 1 white")
    yield Measurement("Luminance variance", (face / 255).var(), "", "0 for a flat face")
    yield Measurement("Under-exposure", 100 * np.mean(face <= _DARK), "%", "pixels of the face that are nearly black")
    yield Measurement("Over-exposure", 100 * np.mean(face >= _BRIGHT), "%", "pixels of the face that are nearly white")
    yield Measurement("Dynamic range", _entropy(face), "bit", "entropy of the luminance, 8 at most")
    left, right = np.split(face, 2, axis=1)
    yield Measurement(
        "Illumination uniformity", _overlap(left, right), "", "overlap of both halves' histograms, 1: alike"
    )


def _of_face(face: Face) -> Iterator[Measurement]:
    distance = eye_distance(face.points)
    yield Measurement("Inter-eye distance", distance, "px", "in the photograph; 35 in an aligned crop")
    for name, angle in zip(("yaw", "pitch", "roll"), head_pose(face.points), strict=True):
        yield Measurement(f"Head pose {name}", angle, "degrees", "estimated from five points; 0: straight")


def _of_margins(face: Face, size: tuple[int, int]) -> Iterator[Measurement]:
    left, top, width, height = face.box
    margins = {"leftward": left, "above": top, "rightward": size[0] - left - width, "below": size[1] - top - height}
    for side, pixels in margins.items():
        meaning = "face to border of the photograph, in inter-eye distances; negative: cut off"
        yield Measurement(f"Margin {side}", pixels / max(eye_distance(face.points), 1e-6), "", meaning)


def _laplacian(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 1, mode="edge")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return around - 4 * values


def _entropy(values: np.ndarray) -> float:
    share = np.bincount(values.astype(int).ravel(), minlength=256) / values.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    first, second = (np.histogram(side, 32, (0, 256))[0] / side.size for side in (a, b))
    return float(np.minimum(first, second).sum())

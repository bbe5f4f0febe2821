"""Everything about one face, as data."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from difiqa_hf.detection import Face
from difiqa_hf.explanation.maps import Restoration, Shortfall, occlusion_map, restoration
from difiqa_hf.explanation.measurements import Measurement, measure
from difiqa_hf.methods import QualityMethod
from difiqa_hf.metrics import ThresholdCard
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline


@dataclass(frozen=True, eq=False)
class Explanation:
    """What `explain` found.

    Attributes:
        method, revision, quality, percentile: the score that is explained.
        occlusion: (112, 112) fall of the score where a grey square covers the face.
        measurements: of the image, no part of the score.
        restoration: DifFIQA's terms and restored image; None if no pipeline was given.
        crop: the aligned face; image, face: where it was found, if it was.
        card: of DifFIQA, which may know how large the parts of its shortfall usually are.
    """

    method: str
    revision: str
    quality: float
    percentile: float | None
    occlusion: np.ndarray
    measurements: Sequence[Measurement]
    restoration: Restoration | None
    crop: Image.Image
    image: Image.Image | None = None
    face: Face | None = None
    card: ThresholdCard | None = None

    @property
    def shortfall(self) -> Shortfall | None:
        """What DifFIQA's score lacks to 1, by cause."""
        return None if self.restoration is None else Shortfall.of(self.restoration.terms)

    def part_percentile(self, name: str) -> float | None:
        """Of a part of the shortfall: the share of reference images of which it is smaller, 0 to 100."""
        return None if self.card is None else self.card.part_percentile(name, getattr(self.shortfall, name))

    def report(self) -> dict[str, Any]:
        """All but the pictures, for JSON; the maps as 14 x 14 means of 8 x 8 pixels."""
        content: dict[str, Any] = {
            name: getattr(self, name) for name in ("method", "revision", "quality", "percentile")
        }
        if self.face is not None:
            content["face"] = {"box": list(self.face.box), "points": self.face.points.tolist()}
        if self.restoration is not None:
            found = self.restoration
            content["difiqa"] = {
                "quality": found.quality,
                "standard_error": None if np.isnan(found.standard_error) else found.standard_error,
                "terms": found.terms,
                "shortfall": asdict(self.shortfall),
                "percentile": {name: self.part_percentile(name) for name in asdict(self.shortfall)},
                "most_unusual": self.shortfall.most_unusual(self.card),
                "restoration_residual": _coarse(found.residual),
            }
        content["occlusion"] = _coarse(self.occlusion)
        content["measurements"] = [asdict(measurement) for measurement in self.measurements]
        content["note"] = "measurements bear the names of ISO/IEC 29794-5 components and do not conform to it"
        return content


def explain(
    crop: Image.Image,
    pixel_values: Tensor,
    method: QualityMethod,
    pipeline: DifFIQAPipeline | None = None,
    image: Image.Image | None = None,
    face: Face | None = None,
    num_repeats: int = 4,
    seed: int = 0,
    card: ThresholdCard | None = None,
    percentile: Callable[[float], float | None] | None = None,
    batch_size: int = 32,
    progress: Callable[[Sequence[Tensor]], Iterable[Tensor]] = iter,
) -> Explanation:
    """Explain the score of one aligned face.

    Args:
        crop: RGB, 112 x 112; pixel_values: the same (3, 112, 112), RGB in [-1, 1].
        method: whose score is explained, and mapped by occlusion.
        pipeline: for the terms of Eq. 7 and the restoration; None leaves them out.
        image, face: the photograph and where in it the face is, for size, pose and margins.
        num_repeats, seed: of the noise.
        card: of the pipeline's weights.
        percentile: of the score, instead of the method's own.
        batch_size: images at once.
        progress: wraps the batches of the occlusion map, which take the time, as `tqdm` does.

    Raises:
        ValueError: as `restoration` and `occlusion_map` do.
    """
    found = None if pipeline is None else restoration(pipeline, pixel_values, num_repeats, seed, batch_size)
    quality = method(pixel_values[None]).item()
    return Explanation(
        method.name,
        method.revision,
        quality,
        (percentile or method.percentile)(quality),
        occlusion_map(method, pixel_values, batch_size=batch_size, progress=progress),
        measure(crop, face, None if image is None else image.size),
        found,
        crop,
        image,
        face,
        card,
    )


def _coarse(values: np.ndarray, block: int = 8) -> list[list[float]]:
    height, width = values.shape
    blocks = values.reshape(height // block, block, width // block, block).mean(axis=(1, 3))
    return [[float(f"{value:.4g}") for value in row] for row in blocks.tolist()]

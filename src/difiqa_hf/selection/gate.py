"""May this image enter a gallery? Accept, review or reject, and why."""

from dataclasses import dataclass
from typing import Any

from difiqa_hf.explanation import Measurement, measure
from difiqa_hf.pictures import picture_of
from difiqa_hf.scoring.rows import Bands, Row, path_text
from difiqa_hf.scoring.run import Crop

COLUMNS = ("path", "decision", "reasons", "status", "quality", "percentile", "method", "revision")

# option of the command line -> (measurement, whether the limit is the largest value that passes)
MEASURED = {
    "min_eye_distance": ("Inter-eye distance", False),
    "max_yaw":          ("Head pose yaw", True),
    "max_pitch":        ("Head pose pitch", True),
    "max_roll":         ("Head pose roll", True),
    "min_sharpness":    ("Sharpness", False),
    "max_dark":         ("Under-exposure", True),
    "max_bright":       ("Over-exposure", True),
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What the user asks of an image.

    Attributes:
        bands: of the quality: FAIL is rejected, REVIEW reviewed.
        measured: option of `MEASURED` -> limit; an image that misses one is reviewed. Of angles the size counts.
        one_face: review images with several faces.
    """

    bands: Bands
    measured: dict[str, float]
    one_face: bool = True


@dataclass(frozen=True)
class Decision:
    """accept, review or reject, for all `reasons`; accepted images have none. A row of results, by `COLUMNS`."""

    row: Row
    decision: str
    reasons: tuple[str, ...]

    face = 0  # one for every image

    @property
    def status(self) -> str:
        """What is counted."""
        return self.decision

    def cells(self) -> list[str]:
        """As text, for CSV."""
        path, _, *others = self.row.cells()[:7]
        return [path, self.decision, self._text(), *others]

    def record(self) -> dict[str, Any]:
        """As values, for JSON and Parquet."""
        found = self.row.record() | {"decision": self.decision, "reasons": self._text()}
        return {name: found[name] for name in COLUMNS}

    def _text(self) -> str:
        return path_text("; ".join(self.reasons))


def judge(row: Row, crop: Crop, limits: Limits) -> Decision:
    """Decide about one image by its largest face.

    Args:
        row, crop: of that face, or of an image without one.
        limits: what is asked.
    """
    if row.quality is None:
        return Decision(row, "reject", (f"{row.status}: {row.reason}",))
    band, reasons = limits.bands.of(row.quality), []
    if band != "PASS":
        limit = limits.bands.fail if band == "FAIL" else limits.bands.accept
        reasons.append(f"quality {row.quality:.4g}, at least {limit:.4g} is asked for")
    if limits.one_face and row.status == "several_faces":
        reasons.append(row.reason)
    if limits.measured:
        found = {measurement.name: measurement for measurement in measure(picture_of(crop.pixel_values), crop.found)}
        reasons += [text for name, limit in limits.measured.items() if (text := _miss(found, name, limit))]
    decision = "reject" if band == "FAIL" else "review" if reasons else "accept"
    return Decision(row, decision, tuple(reasons))


def _miss(found: dict[str, Measurement], option: str, limit: float) -> str:
    """How a limit is missed, "" if it is not."""
    name, at_most = MEASURED[option]
    if name not in found:
        return f"{name.lower()} unknown: the image is a crop"
    measurement = found[name]
    value = abs(measurement.value) if measurement.unit == "degrees" else measurement.value
    if value <= limit if at_most else value >= limit:
        return ""
    asked = "at most" if at_most else "at least"
    unit = f" {measurement.unit}".rstrip()
    return f"{name.lower()} {measurement.value:.3g}{unit}, {asked} {limit:g} is asked for"

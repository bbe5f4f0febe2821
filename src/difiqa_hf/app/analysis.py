"""What the page does, without the page."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from difiqa_hf.alignment import align
from difiqa_hf.detection import Face, FaceDetector
from difiqa_hf.explanation import explain
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods.difiqa import DifFIQA
from difiqa_hf.scoring import Row, read_image
from difiqa_hf.scoring.recall import cut_picture
from difiqa_hf.scoring.rows import COLUMNS, csv_line
from difiqa_hf.scoring.scorer import FaceScorer

SIDE = 256  # pixels of a picture in the ranking


@dataclass(frozen=True, eq=False)
class Analysis:
    """The faces of a few images.

    Attributes:
        rows: best first, then what has no score.
        pictures: of the rows with a score, in their order.
        csv: a file with all rows.
    """

    rows: list[Row]
    pictures: list[Image.Image]
    csv: Path

    @property
    def scored(self) -> list[Row]:
        """The rows with a score, best first."""
        return [row for row in self.rows if row.quality is not None]


class Analyser:
    """Scores and explains what is dropped on the page, with the shipped weights.

    Args:
        method: name of the method that ranks.
        detector: finds faces in photographs; None where there is no detector, then images are taken as aligned crops.
    """

    def __init__(self, method: str = "difiqa-r", detector: FaceDetector | None = None):
        self.detector = detector
        self.crops, self.photographs = FaceScorer(method), None
        if detector is not None:
            self.photographs = FaceScorer(self.crops.method, detect=detector)
        self._difiqa: DifFIQA | None = None

    def analyse(self, files: Sequence[str], photographs: bool = True) -> Analysis:
        """Score image files; broken ones become rows with a reason."""
        scorer, detector = self._choose(photographs)
        rows = [row for file in files for row in scorer.faces(file)]
        scored = sorted((row for row in rows if row.quality is not None), key=lambda row: -row.quality)
        pictures = [cut_picture(read_image(row.path), detector, row.face or 0, SIDE) for row in scored]
        ranked = scored + [row for row in rows if row.quality is None]
        return Analysis(ranked, pictures, _write_csv(ranked))

    def explain(self, row: Row, photographs: bool = True) -> Path:
        """The explanation sheet of one face, as a PNG file."""
        from difiqa_hf.explanation.sheet import draw_sheet
        from difiqa_hf.plots import save

        self._difiqa = self._difiqa or DifFIQA()
        image, face = self._find(row, photographs)
        crop = image.resize((112, 112), Image.Resampling.BILINEAR) if face is None else align(image, face.points)
        pixel_values = FaceImageProcessor()(crop).pixel_values[0]
        given = {"pipeline": self._difiqa.pipeline, "card": self._difiqa.threshold_card(), "num_repeats": 1}
        where = {} if face is None else {"image": image, "face": face}
        sheet = Path(tempfile.mkdtemp()) / "explanation.png"
        save(draw_sheet(explain(crop, pixel_values, self.crops.method, **given, **where)), sheet)
        return sheet

    def _choose(self, photographs: bool) -> tuple[FaceScorer, FaceDetector | None]:
        if photographs and self.photographs is not None:
            return self.photographs, self.detector
        return self.crops, None

    def _find(self, row: Row, photographs: bool) -> tuple[Image.Image, Face | None]:
        image, (_, detector) = read_image(row.path), self._choose(photographs)
        return image, None if detector is None else detector.detect(image).faces[row.face]


def _write_csv(rows: Sequence[Row]) -> Path:
    """All rows under the names that the files were given, without the server's folders."""
    path = Path(tempfile.mkdtemp()) / "scores.csv"
    lines = [csv_line(list(COLUMNS))]
    lines += [csv_line(replace(row, path=Path(row.path.name)).cells()) for row in rows]
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    return path

"""What the page does, without the page."""

import inspect
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from difiqa_hf.detection import FaceDetector
from difiqa_hf.explanation import explain
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.methods.difiqa import DifFIQA
from difiqa_hf.methods.registry import method_class
from difiqa_hf.pictures import picture_of
from difiqa_hf.scoring import Crop, Row
from difiqa_hf.scoring.recall import look, picture_of_face
from difiqa_hf.scoring.rows import COLUMNS, csv_line
from difiqa_hf.scoring.run import score_crops
from difiqa_hf.scoring.sources import file_source

SIDE = 256  # pixels of a picture in the ranking
LIMITS = {"min_size": 20, "max_megapixels": 100}
Progress = Callable[[Sequence], Iterable]  # wraps what is gone through, as tqdm does


@dataclass(frozen=True, eq=False)
class Analysis:
    """The faces of a few images.

    Attributes:
        rows: best first, then what has no score.
        pictures: of the rows with a score, in their order.
        csv: a file with all rows.
        photographs: whether faces were searched for.
    """

    rows: list[Row]
    pictures: list[Image.Image]
    csv: Path
    photographs: bool

    @property
    def scored(self) -> list[Row]:
        """The rows with a score, best first."""
        return [row for row in self.rows if row.quality is not None]


class Analyser:
    """Scores and explains what is dropped on the page, with the shipped weights.

    Args:
        method: that ranks, or its name; by name, one with noise repeats gets a single one, since people wait.
        detector: finds faces in photographs; None where there is no detector, then images are taken as aligned crops.
    """

    def __init__(self, method: str | QualityMethod = "difiqa-r", detector: FaceDetector | None = None):
        self.detector = detector
        if isinstance(method, str):
            repeats = "num_repeats" in inspect.signature(method_class(method)).parameters
            method = create_method(method, **({"num_repeats": 1} if repeats else {}))
        self.method = method
        self._folder = tempfile.TemporaryDirectory(prefix="difiqa-")  # which goes with the analyser
        self._difiqa: DifFIQA | None = None

    def analyse(self, files: Sequence[str], photographs: bool = True, progress: Progress = iter) -> Analysis:
        """Score image files; broken ones become rows with a reason."""
        scored, failed = [], []
        for file in progress(files):
            image, crops = self._look(file, photographs)
            for row, crop in zip(score_crops(crops, self.method), crops, strict=True):
                if row.quality is None:
                    failed.append(row)
                else:
                    scored.append((row, picture_of_face(image, crop.found, SIDE)))
        scored.sort(key=lambda pair: -pair[0].quality)
        rows = [row for row, _ in scored] + failed
        return Analysis(rows, [picture for _, picture in scored], self._write_csv(rows), photographs)

    def explain(self, row: Row, photographs: bool = True, progress: Progress = iter) -> tuple[Image.Image, list[str]]:
        """The explanation sheet of one face, and the same in words.

        Args:
            row, photographs: as in an `Analysis`.
            progress: over the batches of the occlusion map.

        Raises:
            ValueError: if the image is no longer what it was.
        """
        from difiqa_hf.explanation.sheet import draw_sheet, words
        from difiqa_hf.plots import save

        image, crops = self._look(row.path, photographs)
        crop = crops[row.face] if row.face < len(crops) else crops[0]
        if crop.pixel_values is None or crop.face != row.face:
            raise ValueError(f"{row.path.name} is no longer there as it was: score it again")
        self._difiqa = self._difiqa or DifFIQA()
        given = {"pipeline": self._difiqa.pipeline, "card": self._difiqa.threshold_card(), "num_repeats": 1}
        where = {} if crop.found is None else {"image": image, "face": crop.found}
        options = given | where | {"batch_size": 8, "progress": progress}  # small, so that the bar moves
        found = explain(picture_of(crop.pixel_values), crop.pixel_values, self.method, **options)
        with tempfile.TemporaryDirectory() as folder:
            sheet = Path(folder) / "explanation.png"
            save(draw_sheet(found), sheet)
            with Image.open(sheet) as picture:
                return picture.convert("RGB"), words(found)

    def _look(self, file: str | Path, photographs: bool) -> tuple[Image.Image | None, list[Crop]]:
        detector = self.detector if photographs else None
        return look(file_source(Path(file)), detector, **LIMITS, landmarks=self.method.landmarks)

    def _write_csv(self, rows: Sequence[Row]) -> Path:
        """All rows under the names that the files were given, without the server's folders."""
        path = Path(tempfile.mkdtemp(dir=self._folder.name)) / "scores.csv"
        lines = [csv_line(list(COLUMNS))]
        lines += [csv_line(replace(row, path=Path(row.path.name)).cells()) for row in rows]
        path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
        return path

"""Pickled quality scores (`vggface2-qs.pkl`, `quality_scores.pkl`): a dictionary from image to number -> a CSV file.

A pickle is a program. The reader here knows dictionaries, strings, numbers and numpy's scalars, and no other name.
"""

import csv
import math
import pickle
from pathlib import Path

import numpy as np

from difiqa_hf.conversion.checkpoint import sha256
from difiqa_hf.conversion.file_types import check_type
from difiqa_hf.conversion.result import Conversion, Converter, Origin, write_card

ORIGIN = Origin(
    title="Quality labels as released",
    url="https://github.com/LSIbabnikz/DifFIQA",
    licence="MIT as far as the code goes; none stated for the labels, those of the images apply besides",
    paper="Babnik et al., DifFIQA, IJCB 2023",
    input="",
)
USAGE = """from datasets import load_dataset

labels = load_dataset("{folder}", data_files="labels.csv")["train"]  # columns image, quality"""


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`, by which old pickles store bytes."""
    if type(text) is not str or encoding != "latin1":
        raise pickle.UnpicklingError(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _scalar(dtype: np.dtype, data: bytes = b""):
    """numpy's scalars, numbers only."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "fiu" or type(data) is not bytes:
        raise pickle.UnpicklingError(f"a numpy scalar of {dtype!r}")
    return np.frombuffer(data, dtype, count=1)[0]


def _dtype(name: str, align: bool = False, copy: bool = False) -> np.dtype:
    if type(name) is not str or len(name) > 3:
        raise pickle.UnpicklingError(f"a numpy dtype {name!r}")
    return np.dtype(name)


ALLOWED = {
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _latin1,
}


class RestrictedUnpickler(pickle.Unpickler):
    """Refuses every name that is not in `ALLOWED`, before anything of it is imported or called."""

    def find_class(self, module: str, name: str):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to data outside the file")


def read_labels(path: str | Path) -> dict[str, float]:
    """Image -> score, from a pickled dictionary of strings and numbers.

    Raises:
        ValueError: for anything else, with what was found; nothing of the file is run.
    """
    path = Path(path)
    check_type(path, "pickle")
    try:
        with path.open("rb") as file:
            content = RestrictedUnpickler(file).load()
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            f"{path} is no pickle of plain quality labels, and nothing of it was run: {type(error).__name__}: {error}"
        ) from error
    if type(content) is not dict or not content:
        size = f" with {len(content)} entries" if hasattr(content, "__len__") else ""
        raise ValueError(f"{path} holds a {type(content).__name__}{size}, not a dictionary from image to score")
    for image, score in content.items():
        if type(image) is not str or not isinstance(score, float | int | np.number) or isinstance(score, bool):
            raise ValueError(
                f"{path} maps a {type(image).__name__} to a {type(score).__name__} ({str(image)[:60]!r}: "
                f"{str(score)[:60]}); labels map strings to numbers"
            )
    return {image: float(score) for image, score in content.items()}


def convert(path: Path, output: Path) -> Conversion:
    """Convert `path` into the folder `output` with `labels.csv`: columns image and quality, scores unchanged."""
    labels = read_labels(path)
    broken = sum(not math.isfinite(score) for score in labels.values())
    if broken:
        raise ValueError(f"{path}: {broken} of {len(labels)} scores are not finite")
    output.mkdir(parents=True, exist_ok=True)
    with (output / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "quality"))
        writer.writerows((image, repr(score)) for image, score in labels.items())
    with (output / "labels.csv").open(newline="", encoding="utf-8") as file:
        written = {row["image"]: float(row["quality"]) for row in csv.DictReader(file)}
    if written.keys() != labels.keys():
        raise ValueError(f"{path}: {len(written.keys() ^ labels.keys())} image names do not survive as CSV")
    difference = max(abs(written[image] - score) for image, score in labels.items())
    result = Conversion("quality-labels", output, len(labels), difference, None, "", sha256(path))
    scores = f"{len(labels)} images, scores from {min(labels.values()):.6g} to {max(labels.values()):.6g}."
    write_card(path, ORIGIN, result, USAGE, scores)
    return result


CONVERTERS = {"quality-labels": Converter("quality labels", convert)}

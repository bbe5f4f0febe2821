"""Any dataset of the Hub, or in a folder of `datasets`, with a column of images and one that says who it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark, UnavailableImageError
from difiqa_hf.benchmarks.drawing import MAX_IMPOSTORS, drawn_pairs


@dataclass(frozen=True, eq=False)
class DatasetBenchmark(Benchmark):
    """A benchmark whose images are the rows of a dataset, named by their number.

    Attributes:
        dataset: with undecoded images in `column`.
        column: name of the images' column.
    """

    dataset: Any = None
    column: str = "image"

    def read(self, index: int) -> bytes:
        row = self.dataset[int(self.images[index])][self.column]
        if row is None or not (row["bytes"] or row["path"]):
            raise UnavailableImageError(f"row {self.images[index]}: missing")
        try:
            return row["bytes"] or Path(row["path"]).read_bytes()
        except OSError as error:
            raise UnavailableImageError(f"row {self.images[index]}: missing") from error


def load_dataset_pairs(
    source: Any, seed: int = 0, *, split: str | None = None, image: str = "image", person: str = "label",
    max_impostors: int = MAX_IMPOSTORS,
) -> DatasetBenchmark:  # fmt: skip
    """All genuine comparisons between the rows, and at most `max_impostors` impostor ones.

    Args:
        source: a `datasets.Dataset`, a folder of `save_to_disk`, or what `datasets.load_dataset` knows, such as a
            repository of the Hub or a folder of images.
        seed: of the impostor comparisons drawn.
        split: for example "test"; needed where there are several.
        image, person: columns.

    Raises:
        ValueError: if a column is missing or a split must be chosen.
    """
    dataset = _open(source, split)
    missing = {image, person} - set(dataset.column_names)
    if missing:
        raise ValueError(f"the dataset has no column {', '.join(sorted(missing))}; found {dataset.column_names}")
    import datasets

    dataset = dataset.cast_column(image, datasets.Image(decode=False))
    persons = tuple(map(str, dataset[person]))
    pairs, genuine = drawn_pairs(persons, None, max_impostors, np.random.default_rng(seed))
    names, folds = tuple(map(str, range(len(persons)))), np.ones(len(pairs), dtype=np.int8)
    root = Path(str(source)) if isinstance(source, str | Path) else Path()
    return DatasetBenchmark("dataset", root, names, pairs, genuine, folds, persons, dataset=dataset, column=image)


def _open(source: Any, split: str | None):
    import datasets

    if isinstance(source, str | Path):
        on_disk = any((Path(source) / name).is_file() for name in ("state.json", "dataset_dict.json"))
        source = datasets.load_from_disk(str(source)) if on_disk else datasets.load_dataset(str(source))
    if isinstance(source, datasets.DatasetDict):
        if split is None and len(source) > 1:
            raise ValueError(f"choose a split of {', '.join(source)}")
        source = source[split or next(iter(source))]
    return source

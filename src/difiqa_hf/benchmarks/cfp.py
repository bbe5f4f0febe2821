"""Celebrities in Frontal-Profile (Sengupta et al., WACV 2016): identity-disjoint folds of the experiments FF and FP."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

from difiqa_hf.benchmarks.base import Benchmark, Root, open_root


def load_cfp(root: str | Path, experiment: str) -> Benchmark:
    """Read `Protocol/`: `Pair_list_F.txt`, `Pair_list_P.txt` and the folds that are present in `Split/`.

    Args:
        root: folder or zip with `Protocol` and `Data`.
        experiment: "FF" (frontal against frontal) or "FP" (frontal against profile).

    Raises:
        FileNotFoundError: if the protocol files are not there.
        ValueError: for another experiment or a line that cannot be read.
    """
    if experiment not in ("FF", "FP"):
        raise ValueError(f"experiment must be 'FF' or 'FP', found {experiment!r}")
    folder = open_root(root, "Protocol/Pair_list_F.txt")
    lists = [read_image_list(folder, view) for view in experiment]
    splits = folder / "Protocol" / "Split" / experiment
    folds = sorted(split.name for split in splits.iterdir() if split.name.isdecimal()) if splits.is_dir() else []
    if not folds:
        raise FileNotFoundError(f"found no fold in Protocol/Split/{experiment} of {root}")
    rows = [row for fold in folds for row in read_fold(splits / fold, int(fold), *lists)]
    return Benchmark.from_rows(f"cfp-{experiment.lower()}", folder, rows, person=lambda image: image.split("/")[-3])


def read_image_list(folder: Root, view: str) -> dict[int, str]:
    """Number -> image name relative to `folder`; the file's own names are relative to `Protocol/`."""
    images, file = {}, folder / "Protocol" / f"Pair_list_{view}.txt"
    for line in file.read_text(encoding="utf-8").splitlines():
        number, _, path = line.strip().partition(" ")
        if not number.isdecimal() or not path:
            raise ValueError(f"every line of {file} must be a number and an image, found {line!r}")
        images[int(number)] = posixpath.normpath(f"Protocol/{path.strip()}")
    return images


def read_fold(
    split: Root, fold: int, first: dict[int, str], second: dict[int, str]
) -> Iterator[tuple[str, str, bool, int]]:
    """(first image, second image, genuine, fold) of every line "number,number" of `same.txt` and `diff.txt`."""
    for file, genuine in (("same.txt", True), ("diff.txt", False)):
        for number, line in enumerate((split / file).read_text(encoding="utf-8").splitlines(), start=1):
            try:
                a, b = map(int, line.split(","))
                yield first[a], second[b], genuine, fold
            except (ValueError, KeyError) as error:
                raise ValueError(f"line {number} of {split}/{file} is not a pair of known images: {line!r}") from error

"""Labeled Faces in the Wild, view 2: 6,000 comparisons in 10 folds (Huang et al., 2007)."""

from collections.abc import Iterator
from pathlib import Path

from difiqa_hf.benchmarks.base import Benchmark, open_root


def load_lfw(root: str | Path) -> Benchmark:
    """Read `pairs.txt`; images are `[lfw/]Name/Name_0001.jpg` beside it.

    Raises:
        FileNotFoundError: if `root` holds no `pairs.txt`.
        ValueError: if `pairs.txt` is not of the official form, with the line.
    """
    folder = open_root(root, "pairs.txt")
    rows = parse_pairs((folder / "pairs.txt").read_text(encoding="utf-8"))
    images = folder / "lfw"
    return Benchmark.from_rows("lfw", images if images.is_dir() else folder, rows)


def parse_pairs(text: str) -> Iterator[tuple[str, str, bool, int]]:
    """(first image, second image, genuine, fold) of every line of `pairs.txt`, folds from 1.

    The first line says how many folds there are and how many comparisons of either kind a fold has; the genuine ones
    ("name number number") come first, then the impostors ("name number name number").
    """
    header, *lines = text.splitlines()
    numbers = header.split()
    if len(numbers) != 2 or not all(n.isdecimal() for n in numbers):
        raise ValueError(f"line 1 of pairs.txt must hold the numbers of folds and of comparisons, found {header!r}")
    folds, per_kind = map(int, numbers)
    if len(lines) != 2 * folds * per_kind:
        raise ValueError(f"pairs.txt announces {2 * folds * per_kind} comparisons, found {len(lines)}")
    for i, line in enumerate(lines):
        fold, within = divmod(i, 2 * per_kind)
        genuine, columns = within < per_kind, line.split()
        if len(columns) != (3 if genuine else 4):
            kind = "genuine (3 columns)" if genuine else "impostor (4 columns)"
            raise ValueError(f"line {i + 2} of pairs.txt must be a comparison of kind {kind}, found {line!r}")
        name, number, *other = columns
        yield image_name(name, number), image_name(*other if other[1:] else (name, *other)), genuine, fold + 1


def image_name(person: str, number: str) -> str:
    """For example `Abel_Pacheco/Abel_Pacheco_0001.jpg`."""
    return f"{person}/{person}_{int(number):04d}.jpg"

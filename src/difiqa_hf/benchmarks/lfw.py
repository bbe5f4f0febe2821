"""Labeled Faces in the Wild, view 2 (Huang et al., 2007), and XQLFW (Knoche et al., FG 2021): 6,000 comparisons."""

from collections.abc import Iterator
from pathlib import Path

from difiqa_hf.benchmarks.base import Benchmark, open_root

# name -> file with the comparisons, folders beside it that may hold the images
LAYOUTS = {
    "lfw": ("pairs.txt", ("lfw",)),
    "xqlfw": ("xqlfw_pairs.txt", ("xqlfw_aligned_112", "lfw_original_imgs_min_qual0.85variant11")),
}


def load_lfw(root: str | Path, name: str = "lfw") -> Benchmark:
    """Read the pairs file; images are `[folder/]Name/Name_0001.jpg` beside it.

    Raises:
        FileNotFoundError: if `root` holds no pairs file.
        ValueError: if the pairs file is not of the official form, with the line.
    """
    marker, candidates = LAYOUTS[name]
    folder = open_root(root, marker)
    rows = parse_pairs((folder / marker).read_text(encoding="utf-8"), marker)
    images = next((folder / child for child in candidates if (folder / child).is_dir()), folder)
    return Benchmark.from_rows(name, images, rows, person=lambda image: image.split("/")[0])


def parse_pairs(text: str, file: str = "pairs.txt") -> Iterator[tuple[str, str, bool, int]]:
    """(first image, second image, genuine, fold) of every line of `pairs.txt`, folds from 1.

    The first line says how many folds there are and how many comparisons of either kind a fold has; the genuine ones
    ("name number number") come first, then the impostors ("name number name number").
    """
    header, *lines = text.splitlines()
    numbers = header.split()
    if len(numbers) != 2 or not all(n.isdecimal() for n in numbers):
        raise ValueError(f"line 1 of {file} must hold the numbers of folds and of comparisons, found {header!r}")
    folds, per_kind = map(int, numbers)
    if len(lines) != 2 * folds * per_kind:
        raise ValueError(f"{file} announces {2 * folds * per_kind} comparisons, found {len(lines)}")
    for i, line in enumerate(lines):
        fold, within = divmod(i, 2 * per_kind)
        genuine, columns = within < per_kind, line.split()
        if len(columns) != (3 if genuine else 4):
            kind = "genuine (3 columns)" if genuine else "impostor (4 columns)"
            raise ValueError(f"line {i + 2} of {file} must be a comparison of kind {kind}, found {line!r}")
        name, number, *other = columns
        yield image_name(name, number), image_name(*other if other[1:] else (name, *other)), genuine, fold + 1


def image_name(person: str, number: str) -> str:
    """For example `Abel_Pacheco/Abel_Pacheco_0001.jpg`."""
    return f"{person}/{person}_{int(number):04d}.jpg"

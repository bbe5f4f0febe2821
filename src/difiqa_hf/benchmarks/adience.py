"""Adience (Eidinger et al., TIFS 2014): photographs from albums. Comparisons are drawn: there is no official list."""

import csv
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark, Root, open_root
from difiqa_hf.benchmarks.drawing import drawn_pairs

# folder -> what its images are called
IMAGES = {
    "aligned": "landmark_aligned_face.{face_id}.{original_image}",
    "faces": "coarse_tilt_aligned_face.{face_id}.{original_image}",
}
PER_KIND = 20_000  # as in the paper, which does not publish its comparisons


def load_adience(root: str | Path, seed: int = 0, per_kind: int = PER_KIND) -> Benchmark:
    """Read `fold_0_data.txt` to `fold_4_data.txt` and draw comparisons, of either kind at most `per_kind`.

    A person is a `face_id`. Images are in `aligned/` or `faces/` beside the files, each in the folder of its album.

    Raises:
        FileNotFoundError: if the fold files or the images are not there.
        ValueError: if a fold file lacks a column.
    """
    folder = open_root(root, "fold_0_data.txt")
    images = next((name for name in IMAGES if (folder / name).is_dir()), None)
    if images is None:
        raise FileNotFoundError(f"found neither {' nor '.join(IMAGES)} beside fold_0_data.txt in {root}")
    persons = dict(row for fold in range(5) for row in read_fold(folder, fold, IMAGES[images]))
    pairs, genuine = drawn_pairs(list(persons.values()), per_kind, per_kind, np.random.default_rng(seed))
    everything = Benchmark(
        "adience", folder / images, tuple(persons), pairs, genuine, np.ones(len(pairs), int), tuple(persons.values())
    )
    return everything.select(np.arange(len(pairs)))


def read_fold(folder: Root, fold: int, pattern: str) -> list[tuple[str, str]]:
    """(image, person) of every line of a fold file."""
    file = folder / f"fold_{fold}_data.txt"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    try:
        return [(f"{row['user_id']}/{pattern.format_map(row)}", row["face_id"]) for row in rows]
    except KeyError as error:
        raise ValueError(f"{file} lacks the column {error}; found {rows.fieldnames}") from error

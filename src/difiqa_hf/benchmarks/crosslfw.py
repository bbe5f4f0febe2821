"""Cross-Age and Cross-Pose LFW (Zheng et al., 2017 and 2018): two lines "image label" for every comparison."""

from collections.abc import Iterator
from pathlib import Path

from difiqa_hf.benchmarks.base import Benchmark, open_root

IMAGE_FOLDERS = ("aligned images", "aligned_images", "images")


def load_cross_lfw(root: str | Path, name: str) -> Benchmark:
    """Read `pairs_CALFW.txt` or `pairs_CPLFW.txt`; images are `Name_0001.jpg` in a folder beside it, or beside it.

    Args:
        root: folder or zip.
        name: "calfw" or "cplfw".

    Raises:
        FileNotFoundError: if the pairs file is not there.
        ValueError: for a line that cannot be read or a comparison whose two lines disagree.
    """
    marker = f"pairs_{name.upper()}.txt"
    folder = open_root(root, marker)
    rows = parse_label_pairs((folder / marker).read_text(encoding="utf-8"), marker)
    images = next((folder / child for child in IMAGE_FOLDERS if (folder / child).is_dir()), folder)
    return Benchmark.from_rows(name, images, rows, person=lambda image: image.rpartition("_")[0])


def parse_label_pairs(text: str, file: str) -> Iterator[tuple[str, str, bool, int]]:
    """(first image, second image, genuine, fold): label 0 is impostor; the file names no folds, so all are fold 1."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) % 2:
        raise ValueError(f"{file} must have two lines for every comparison, found {len(lines)}")
    for i in range(0, len(lines), 2):
        (first, a), (second, b) = (_image_and_label(line, file) for line in lines[i : i + 2])
        if a != b:
            raise ValueError(
                f"lines {i + 1} and {i + 2} of {file} have different labels: {lines[i]!r}, {lines[i + 1]!r}"
            )
        yield first, second, a != 0, 1


def _image_and_label(line: str, file: str) -> tuple[str, int]:
    image, _, label = line.rpartition(" ")
    if not image or not label.isdecimal():
        raise ValueError(f"every line of {file} must be an image and a label, found {line!r}")
    return image.strip(), int(label)

"""Any folder or zip with one folder of aligned images per person."""

import zipfile
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark, Root
from difiqa_hf.benchmarks.drawing import MAX_IMPOSTORS, drawn_pairs

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def load_folder(root: str | Path, seed: int = 0, max_impostors: int = MAX_IMPOSTORS) -> Benchmark:
    """All genuine comparisons and at most `max_impostors` impostor ones; images are `person/…/image`.

    Raises:
        FileNotFoundError: if there is no such folder or zip, or no image in it.
    """
    folder, names = list_images(Path(root))
    persons = tuple(name.split("/")[0] for name in names)
    if len(set(persons)) < 2 or len(set(persons)) == len(names):
        raise FileNotFoundError(
            f"found {len(names)} images of {len(set(persons))} persons in {root}; it must be folders, one per person, "
            "with several images in some of them"
        )
    pairs, genuine = drawn_pairs(persons, None, max_impostors, np.random.default_rng(seed))
    return Benchmark("folder", folder, tuple(names), pairs, genuine, np.ones(len(pairs), dtype=np.int8), persons)


def list_images(root: Path) -> tuple[Root, list[str]]:
    """The folder of the persons, inside extra top folders or not, and the sorted names of the images in it."""
    if zipfile.is_zipfile(root):
        folder, files = zipfile.Path(root), zipfile.ZipFile(root).namelist()
    elif root.is_dir():
        folder, files = root, [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    else:
        raise FileNotFoundError(f"{root} is neither a folder nor a zip")
    names = sorted(name for name in files if name.lower().endswith(EXTENSIONS) and "/" in name)
    while names and len({name.split("/")[0] for name in names}) == 1 and all(name.count("/") > 1 for name in names):
        top = names[0].split("/")[0]
        folder, names = folder / top, [name.removeprefix(f"{top}/") for name in names]
    return folder, names

"""Made-up benchmarks in the standard layouts."""

import io
import zipfile

import numpy as np
from PIL import Image


def face(person: int, shot: int) -> bytes:
    """A flat colour per person and some noise per shot: enough for a recogniser that takes the mean."""
    rng = np.random.default_rng(1000 * person + shot)
    colour = np.random.default_rng(person).uniform(40, 215, 3)
    pixels = np.clip(colour + rng.normal(0, 25, (112, 112, 3)) + rng.normal(0, 45, 3), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write(folder, files: dict[str, bytes | str]):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def zipped(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return target


def lfw_files(folds=2, per_kind=6) -> dict[str, bytes | str]:
    """`folds` x 2 x `per_kind` comparisons; fold f has the persons Pf_0, Pf_1, ... with three images each."""
    lines, files = [f"{folds}\t{per_kind}"], {}
    for fold in range(folds):
        people = [f"P{fold}_{i}" for i in range(per_kind)]
        lines += [f"{name}\t1\t{2 + i % 2}" for i, name in enumerate(people)]
        lines += [f"{name}\t1\t{people[i - 1]}\t{1 + i % 3}" for i, name in enumerate(people)]
        for i, name in enumerate(people):
            files |= {f"lfw/{name}/{name}_{shot:04d}.jpg": face(100 * fold + i, shot) for shot in (1, 2, 3)}
    return files | {"pairs.txt": "\n".join(lines) + "\n"}


def cfp_files(folds=("01", "03"), people=4) -> dict[str, bytes | str]:
    """Ten frontal and four profile images a person, as in CFP; every fold compares its own `people`."""
    files, count = {}, people * len(folds)
    for view, folder, shots in (("F", "frontal", 10), ("P", "profile", 4)):
        names = [f"{person:03d}/{folder}/{shot:02d}" for person in range(1, count + 1) for shot in range(1, shots + 1)]
        lines = [f"{number} ../Data/Images/{name}.jpg" for number, name in enumerate(names, start=1)]
        files[f"Protocol/Pair_list_{view}.txt"] = "".join(f"{line}\n" for line in lines)
        files |= {f"Data/Images/{name}.jpg": face(int(name[:3]), 10 * (view == "P") + int(name[-2:])) for name in names}
    for i, fold in enumerate(folds):
        mine = range(people * i, people * (i + 1))
        for kind, shots in (("FF", 10), ("FP", 4)):
            split = f"Protocol/Split/{kind}/{fold}"
            files[f"{split}/same.txt"] = "".join(f"{10 * p + 1},{shots * p + 2}\n" for p in mine)
            files[f"{split}/diff.txt"] = "".join(f"{10 * p + 1},{shots * mine[p - mine[0] - 1] + 3}\n" for p in mine)
    return files

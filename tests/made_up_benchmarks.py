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


def cross_lfw_files(name="CALFW", people=4) -> dict[str, bytes | str]:
    """`people` comparisons of either kind, images without folders, as in CALFW and CPLFW."""
    folder = "aligned images" if name == "CALFW" else "images"
    names = [f"Per_Son{p}_{shot:04d}.jpg" for p in range(people) for shot in (1, 2)]
    lines = [f"{image} 1" for image in names]
    lines += [f"{image} 0" for p in range(people) for image in (names[2 * p], names[2 * p - 1])]
    images = {f"{folder}/{image}": face(int(image[7]), int(image[-5])) for image in names}
    return images | {f"pairs_{name}.txt": "\n".join(lines) + "\n"}


def adience_files(people=6, shots=4) -> dict[str, bytes | str]:
    """Five fold files, albums with one or more persons."""
    header = "user_id\toriginal_image\tface_id\tage\tgender"
    files = {f"fold_{fold}_data.txt": header + "\n" for fold in range(5)}
    for person in range(people):
        album = f"{person // 2}@N00"
        for shot in range(shots):
            files[f"fold_{person % 5}_data.txt"] += f"{album}\t{shot}_o.jpg\t{person + 1}\t(25, 32)\tf\n"
            files[f"aligned/{album}/landmark_aligned_face.{person + 1}.{shot}_o.jpg"] = face(person, shot)
    return files


def ijbc_files(people=4) -> dict[str, bytes | str]:
    """Two templates a person, of three images in two media and of one image; every comparison of two templates."""
    members, points, images, number = [], [], {}, 0
    template_person = {}
    eyes_nose_mouth = "38.3 51.7 73.5 51.5 56 71.7 41.5 92.4 70.7 92.2"
    for person in range(people):
        for template, media in ((10 * person + 3, (7, 7, 8)), (10 * person + 1, (9,))):
            template_person[template] = person
            for medium in media:
                number += 1
                members.append(f"{number}.jpg {template} {100 * person + medium}")
                points.append(f"{number}.jpg {eyes_nose_mouth} 0.99")
                images[f"loose_crop/{number}.jpg"] = face(person, number)
    names = list(template_person)
    pairs = [
        f"{a} {b} {int(template_person[a] == template_person[b])}" for i, a in enumerate(names) for b in names[i + 1 :]
    ]
    return images | {
        "meta/ijbc_face_tid_mid.txt": "\n".join(members) + "\n",
        "meta/ijbc_name_5pts_score.txt": "\n".join(points) + "\n",
        "meta/ijbc_template_pair_label.txt": "\n".join(pairs) + "\n",
    }

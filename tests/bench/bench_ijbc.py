"""IJB-C's 1:1 protocol at its real size, made up: from its files to figures. `make bench-ijbc` (minutes, 2 GB of disk).

469,375 names of images (links to one picture) in 23,124 templates, 15,658,489 comparisons; embeddings of 512 numbers
and qualities are random and come from the cache, because networks are not what is measured here.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import hardware, peak_memory, versions
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.compute import Task, compute_outputs
from difiqa_hf.benchmarks.figures import Judge
from difiqa_hf.benchmarks.runner import cosine_similarity
from difiqa_hf.benchmarks.store import Store

IMAGES, TEMPLATES, PERSONS, COMPARISONS, GENUINE, MEDIA = 469_375, 23_124, 3_531, 15_658_489, 19_557, 140_000
EMBEDDING, QUALITY = Task(None, "made-up embedding"), Task(None, "made-up quality")


def write_layout(root: Path, rng: np.random.Generator) -> None:
    """Images, media, points and comparisons as IJB-C's files name them."""
    (root / "meta").mkdir()
    (root / "loose_crop").mkdir()
    picture = root / "picture.jpg"
    Image.fromarray(rng.integers(0, 255, (112, 112, 3), dtype=np.uint8)).save(picture)
    for i in range(IMAGES):
        if i % 50_000 == 0:  # a file has at most 65,000 links
            source = picture.with_name(f"picture-{i}.jpg")
            source.write_bytes(picture.read_bytes())
        os.link(source, root / "loose_crop" / f"{i + 1}.jpg")
    numbers = 1 + rng.choice(30_000, TEMPLATES, replace=False)
    template = rng.permutation(np.append(np.arange(TEMPLATES), rng.integers(TEMPLATES, size=IMAGES - TEMPLATES)))
    write_lines(root / "meta" / "ijbc_face_tid_mid.txt", np.c_[numbers[template], rng.integers(MEDIA, size=IMAGES)])
    points = ARCFACE_TEMPLATE.reshape(1, 10) + rng.normal(size=(IMAGES, 10)).round(3)
    write_lines(root / "meta" / "ijbc_name_5pts_score.txt", (np.append(row, 0.99) for row in points))
    pairs = made_up_pairs(rng)
    columns = (numbers[pairs[:, 0]].tolist(), numbers[pairs[:, 1]].tolist(), pairs[:, 2].tolist())
    with (root / "meta" / "ijbc_template_pair_label.txt").open("w") as file:
        file.writelines(f"{a} {b} {label}\n" for a, b, label in zip(*columns, strict=True))


def write_lines(path: Path, rows) -> None:
    """A line an image, with its name first."""
    with path.open("w") as file:
        file.writelines(f"{i}.jpg {' '.join(map(str, row))}\n" for i, row in enumerate(rows, 1))


def made_up_pairs(rng: np.random.Generator) -> np.ndarray:
    """(COMPARISONS, 3): two templates, and whether they show one person."""
    person = np.sort(rng.integers(PERSONS, size=TEMPLATES))  # their templates lie in blocks
    first = rng.integers(TEMPLATES, size=2 * GENUINE)
    second = np.searchsorted(person, person[first]) + rng.integers(np.bincount(person)[person[first]])
    drawn = np.c_[first, second][first != second][:GENUINE]
    others = rng.integers(TEMPLATES, size=(COMPARISONS + COMPARISONS // 100, 2), dtype=np.int32)
    others = others[person[others[:, 0]] != person[others[:, 1]]][: COMPARISONS - len(drawn)]
    labels = np.repeat([1, 0], [len(drawn), len(others)])[:, None]
    return rng.permutation(np.hstack([np.concatenate([drawn, others]), labels]).astype(np.int32))


class Stages:
    """CPU seconds of each stage, and the largest memory of the process in it."""

    def __init__(self):
        self.rows = []

    def __call__(self, name: str, function):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        start, cpu = time.perf_counter(), time.process_time()
        found = function()
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
        row = {"stage": name, "cpu_seconds": round(cpu, 1), "seconds": round(seconds, 1)}
        self.rows.append(row | {"peak_gb": round(peak_memory() / 1e9, 2)})
        print(self.rows[-1], file=sys.stderr, flush=True)
        return found


def fill(cache: Path, keys: list[str], rng: np.random.Generator) -> None:
    """Random results of both tasks."""
    for task, shape in ((EMBEDDING, (512,)), (QUALITY, ())):
        store = Store(cache, task.fingerprint)
        for start in range(0, len(keys), 8192):
            part = keys[start : start + 8192]
            store.add(part, rng.normal(size=(len(part), *shape)).astype(np.float32), 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    machine, rng, stage = hardware(), np.random.default_rng(0), Stages()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "ijbc", Path(folder) / "cache"
        root.mkdir()
        write_layout(root, rng)
        benchmark = stage("read the files", lambda: load_benchmark("ijb-c", root))
        available = stage("read and decode every image", lambda: leave_out_unavailable(benchmark, cache))
        fill(cache, list(available.keys), rng)
        tasks = [EMBEDDING, QUALITY]
        embeddings, qualities = stage("cache", lambda: compute_outputs(available, tasks, cache_dir=cache))
        kept = available.benchmark
        sides = stage("embeddings of templates", lambda: kept.side_embeddings(embeddings.values))
        quality = stage("qualities of templates", lambda: kept.side_qualities(qualities.values))
        similarity = stage("similarities", lambda: cosine_similarity(sides, kept.pairs))
        judge = Judge(available, {"fmr": 1e-4, "protocol": "paper"}, 0, 1000, cache)
        stage("figures with intervals", lambda: judge.figures(similarity, quality))
    result = {
        "what": __doc__.split("\n")[0],
        "images": len(kept.images),
        "templates": len(kept.templates),
        "comparisons": len(kept.pairs),
        "genuine": int(kept.genuine.sum()),
        "hardware": machine,
        "versions": versions("numpy"),
        "stages": stage.rows,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

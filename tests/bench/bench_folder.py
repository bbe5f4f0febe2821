"""A folder of files to a CSV, end to end, against the network alone: `make bench-folder`.

Runs are real: `difiqa score FOLDER -o scores.csv` in a process of its own, observed from outside. The folder holds hard
links to real files. Images a second count from the first complete batch to the last; memory is that of the process and
of those that read for it, sampled all the time.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from machine import fastest, hardware, read_faces, versions
from PIL import Image

from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods import create_method
from difiqa_hf.scoring import expand, find_images, in_chunks
from difiqa_hf.scoring.ahead import cut_chunks
from difiqa_hf.scoring.run import Cutter

BATCH = 32
PAGE = os.sysconf("SC_PAGE_SIZE")


def unpack(source: Path, folder: Path, count: int, side: int | None = None) -> None:
    """`count` files, hard links to the faces of a zip (enlarged to `side`, where that is given)."""
    originals = folder.parent / f"{folder.name}-originals"
    for path in (originals, folder):
        path.mkdir()
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[: min(count, 5_000)]
        for index, name in enumerate(names):
            file = originals / f"{index}.jpg"
            file.write_bytes(archive.read(name))
            if side:
                Image.open(file).resize((side, side), Image.Resampling.BICUBIC).save(file, quality=92)
    for index in range(count):
        os.link(originals / f"{index % len(names)}.jpg", folder / f"{index:06d}.jpg")


def family(pid: int) -> Iterator[int]:
    """A process and those that it started."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from family(int(child))


def resident(pid: int) -> int:
    """Bytes that a process and its children hold; what they share counts once for each of them."""
    pages = 0
    for process in family(pid):
        pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * PAGE


def observe(folder: Path, output: Path, options: list[str]) -> dict:
    """One run of `difiqa score`: images a second, CPU time an image, memory in its first and last quarter."""
    command = [sys.executable, "-m", "difiqa_hf", "score", str(folder), "-o", str(output), *options]
    count, log, samples = len(list(folder.iterdir())), output.with_name(f"{output.name}.progress"), []
    cpu, start = os.times(), time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            lines = log.read_bytes().count(b"\n") - 1 if log.exists() else 0
            samples.append((time.perf_counter(), max(0, lines) * BATCH, resident(process.pid)))
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        time.sleep(0.05)
    seconds, after = time.perf_counter() - start, os.times()
    assert process.returncode == 0, command
    scored = [sample for sample in samples if sample[1]]
    first, last = scored[0], scored[-1]
    peaks = [max(row[2] for row in part) for part in (scored[: len(scored) // 4], scored[-(len(scored) // 4) :])]
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    return {
        "images": count,
        "images_a_second": round((last[1] - first[1]) / (last[0] - first[0]), 1),
        "seconds_in_all": round(seconds, 1),
        "cpu_ms": round(1000 * used / count, 2),
        "peak_gb_first_quarter": round(peaks[0] / 1e9, 3),
        "peak_gb_last_quarter": round(peaks[1] / 1e9, 3),
    }


def network_alone(source: Path) -> float:
    """Images a second of DifFIQA(R) on faces in memory, batch after batch."""
    method, faces = create_method("difiqa-r"), read_faces(source, 16 * BATCH)
    method(faces[:BATCH])
    _, _, seconds = fastest(lambda: [method(part) for part in faces.split(BATCH)], 3)
    return len(faces) / seconds


def reading_alone(folder: Path, workers: int) -> float:
    """Images a second of reading and cutting, without a network."""
    files, cutter = list(find_images([folder])), Cutter(FaceImageProcessor())
    start = time.perf_counter()
    found = [len(crops) for _, crops in cut_chunks(cutter, in_chunks(expand(files), BATCH), workers)]
    return float(np.sum(found)) / (time.perf_counter() - start)


def plain_loop(folder: Path, output: Path) -> dict:
    """What one writes at first: a file at a time through everything. CPU milliseconds an image, stage by stage."""
    method, processor, clock = create_method("difiqa-r"), FaceImageProcessor(), time.process_time
    spent, files = dict.fromkeys(("decode", "pixel values", "network", "write"), 0.0), sorted(folder.iterdir())
    start = time.perf_counter()
    for path in files:
        marks = [clock()]
        image = Image.open(path).convert("RGB")
        marks.append(clock())
        pixels = processor([image]).pixel_values
        marks.append(clock())
        quality = method(pixels).item()
        marks.append(clock())
        with output.open("a", newline="") as file:
            csv.writer(file).writerow((path, quality))
        marks.append(clock())
        for stage, begin, end in zip(spent, marks, marks[1:], strict=False):
            spent[stage] += end - begin
    return {
        "images": len(files),
        "images_a_second": round(len(files) / (time.perf_counter() - start), 1),
        "cpu_ms": {stage: round(1000 * seconds / len(files), 3) for stage, seconds in spent.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--images", type=int, default=5_000, help="of each run")
    parser.add_argument("--many", type=int, default=0, help="one run more, over so many files, for its memory")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    machine, runs = hardware(), []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        unpack(args.faces, work / "crops", args.images)
        unpack(args.faces, work / "large", args.images // 10, side=1024)
        alone = network_alone(args.faces)
        reading = [
            {"folder": name, "workers": workers, "images_a_second": round(reading_alone(work / name, workers), 1)}
            for name in ("crops", "large")
            for workers in (0, 1, 2)
        ]
        before = plain_loop(work / "crops", work / "plain.csv")
        plans = [("crops", 0, []), ("crops", 1, []), ("crops", 2, []), ("large", 1, []), ("large", 1, ["--draft"])]
        if args.many:
            unpack(args.faces, work / "many", args.many)
            plans.append(("many", 1, []))
        for name, workers, options in plans:
            found = observe(work / name, work / f"{len(runs)}.csv", ["--workers", str(workers), *options])
            share = round(found["images_a_second"] / alone, 3)
            runs.append({"folder": name, "workers": workers, "options": options} | found | {"share_of_network": share})
            print(runs[-1], file=sys.stderr, flush=True)
    result = {
        "what": __doc__.split("\n")[0],
        "batch_size": BATCH,
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "pillow"),
        "network_images_a_second": round(alone, 1),
        "reading": reading,
        "before": before,
        "runs": runs,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

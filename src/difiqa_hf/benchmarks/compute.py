"""Embeddings and qualities of a benchmark's images: every image is loaded once, and nothing is computed twice."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from difiqa_hf import __version__
from difiqa_hf.benchmarks.available import Available
from difiqa_hf.image_processing import FaceImageProcessor

CHUNK = 128  # images; what is computed is kept so often


@dataclass(frozen=True)
class Task:
    """Something to compute for every image.

    Attributes:
        function: pixel values (batch, 3, 112, 112), RGB in [-1, 1], on the CPU -> (batch, ...).
        fingerprint: what the result depends on besides the image; "" if unknown, which keeps it out of the cache.
    """

    function: Callable[[Tensor], Tensor]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Output:
    """The result of a task.

    Attributes:
        values: (images, ...), in the order of the benchmark's images.
        seconds: what computing it took, when it was computed; without reading the images.
        cached: whether it was read from the cache.
    """

    values: np.ndarray
    seconds: float
    cached: bool


def compute_outputs(
    available: Available, tasks: Sequence[Task], *, batch_size: int = 32, cache_dir: str | Path | None = None
) -> list[Output]:
    """Run every task on every image, in batches, with a progress bar on stderr; read from and add to `cache_dir`.

    Results are kept chunk by chunk, so a run that was interrupted goes on where it stopped.
    """
    paths = [cache_path(cache_dir, available.content, task) for task in tasks]
    outputs = [read_output(path) for path in paths]
    missing = [i for i, output in enumerate(outputs) if output is None]
    if missing:
        todo = [(tasks[i], paths[i]) for i in missing]
        for i, output in zip(missing, _run(available, todo, batch_size), strict=True):
            outputs[i] = output
            write_output(paths[i], output)
            for part in paths[i].parent.glob(f"{paths[i].stem}.from-*.npz") if paths[i] else ():
                part.unlink()
    return outputs


def _run(available: Available, tasks: Sequence[tuple[Task, Path | None]], batch_size: int) -> list[Output]:
    """Every chunk of images, by the tasks that have not done it yet."""
    count, chunks, step = len(available.benchmark.images), [[] for _ in tasks], max(CHUNK, batch_size)
    with tqdm(total=count, desc=available.benchmark.name, unit="image") as bar:
        for start in range(0, count, step):
            stop = min(start + step, count)
            paths = [path and path.with_name(f"{path.stem}.from-{start}-to-{stop}.npz") for _, path in tasks]
            done = [read_output(path) for path in paths]
            todo = [i for i, output in enumerate(done) if output is None]
            batches = [range(first, min(first + batch_size, stop)) for first in range(start, stop, batch_size)]
            computed = _chunk(available, [tasks[i][0] for i in todo], batches, bar) if todo else []
            for i, output in zip(todo, computed, strict=True):
                done[i] = output
                write_output(paths[i], output)
            for chunk, output in zip(chunks, done, strict=True):
                chunk.append(output)
            bar.update(stop - bar.n)
    return [
        Output(np.concatenate([part.values for part in chunk]), sum(part.seconds for part in chunk), False)
        for chunk in chunks
    ]


def _chunk(available: Available, tasks: Sequence[Task], batches: Iterable[range], bar: tqdm) -> list[Output]:
    """Batches of images, each loaded once for all tasks."""
    processor, values, seconds = FaceImageProcessor(), [[] for _ in tasks], [0.0] * len(tasks)
    for batch in batches:
        images = [available.benchmark.load_image(i) for i in batch]
        pixel_values = processor(images, return_tensors="pt")["pixel_values"]
        for i, task in enumerate(tasks):
            begin = time.perf_counter()
            with torch.no_grad():
                values[i].append(task.function(pixel_values).cpu().numpy())
            seconds[i] += time.perf_counter() - begin
        bar.update(len(batch))
    return [Output(np.concatenate(v), s, False) for v, s in zip(values, seconds, strict=True)]


def cache_path(cache_dir: str | Path | None, content: str, task: Task) -> Path | None:
    """File of a result: named by the SHA-256 of the images' content, the task's fingerprint and our version."""
    if cache_dir is None or not task.fingerprint:
        return None
    key = hashlib.sha256("\n".join((content, task.fingerprint, __version__)).encode()).hexdigest()
    return Path(cache_dir) / f"{key}.npz"


def read_output(path: Path | None) -> Output | None:
    """A stored result, or None where there is none."""
    if path is None or not path.exists():
        return None
    with np.load(path) as data:
        return Output(data["values"], float(data["seconds"]), True)


def write_output(path: Path | None, output: Output) -> None:
    """Store a result; whoever is interrupted leaves no half file under the final name."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, values=output.values, seconds=output.seconds)
    partial.replace(path)

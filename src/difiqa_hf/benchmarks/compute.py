"""Embeddings and qualities of a benchmark's images: every image is loaded once, and nothing is computed twice.

An image that several benchmarks share is computed for the first of them only. Processes of `accelerate launch` share
the images that are left.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from difiqa_hf.benchmarks.available import Available
from difiqa_hf.benchmarks.store import Output, Store
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.processes import process_state

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


def compute_outputs(
    available: Available, tasks: Sequence[Task], *, batch_size: int = 32, cache_dir: str | Path | None = None
) -> list[Output]:
    """Run every task on every image, in batches, with a progress bar on stderr; read from and add to `cache_dir`.

    Results are kept chunk by chunk, so a run that was interrupted goes on where it stopped.

    Raises:
        ValueError: if several processes have no cache to meet in, or a task that cannot be cached.
    """
    state = process_state()
    if state and (cache_dir is None or not all(task.fingerprint for task in tasks)):
        raise ValueError(
            f"{state.num_processes} processes meet in the cache: they need a cache folder and methods and recognisers "
            "with a fingerprint, which plain functions lack"
        )
    stores = [Store(cache_dir, task.fingerprint) for task in tasks]
    keys = available.keys
    index, count = (state.process_index, state.num_processes) if state else (0, 1)
    own = {key: i for i, key in enumerate(keys) if int(key, 16) % count == index}  # an image may have several names
    missing = [i for key, i in own.items() if not all(key in store for store in stores)]
    chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
    if chunks:
        with tqdm(total=sum(map(len, chunks)), desc=available.benchmark.name, unit="image") as bar:
            for chunk in chunks:
                _run(available, tasks, stores, chunk, batch_size, bar)
    if state:
        state.wait_for_everyone()
        for store in stores:
            store.read()
    return [store.output(keys) for store in stores]


def _run(
    available: Available, tasks: Sequence[Task], stores: Sequence[Store], chunk: list[int], batch_size: int, bar: tqdm
) -> None:
    """A chunk of images, each loaded once for all tasks that have not seen it yet."""
    processor, keys = FaceImageProcessor(), available.keys
    todo = [[i for i in chunk if keys[i] not in store] for store in stores]
    values, seconds = [[] for _ in tasks], [0.0] * len(tasks)
    for start in range(0, len(chunk), batch_size):
        batch = chunk[start : start + batch_size]
        pixel_values = processor([available.benchmark.load_image(i) for i in batch], return_tensors="pt")[
            "pixel_values"
        ]
        for n, task in enumerate(tasks):
            places = [place for place, i in enumerate(batch) if i in todo[n]]
            if not places:
                continue
            begin = time.perf_counter()
            with torch.no_grad():
                values[n].append(task.function(pixel_values[places]).cpu())
            seconds[n] += time.perf_counter() - begin
        bar.update(len(batch))
    for store, images, value, second in zip(stores, todo, values, seconds, strict=True):
        if images:
            store.add([keys[i] for i in images], torch.cat(value).numpy(), second)

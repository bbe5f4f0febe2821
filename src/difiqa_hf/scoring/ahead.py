"""Reading ahead: processes decode and align the next chunks of images while the network scores this one."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from difiqa_hf.scoring.sources import Source

if TYPE_CHECKING:
    from difiqa_hf.scoring.run import Crop


def cut_chunks(
    cut: Callable[[Source], list["Crop"]], chunks: Iterable[list[Source]], workers: int = 0
) -> Iterator[tuple[list[Source], list["Crop"]]]:
    """Every chunk with its crops, in order.

    Args:
        cut: one source -> its crops; must be picklable where there are `workers`.
        chunks: taken as they are needed, at most two ahead for each process.
        workers: processes that share the chunks and read ahead; 0, or a single chunk: this process reads.

    A script that does this with `workers` needs `if __name__ == "__main__":` around it, as for all of multiprocessing.

    Raises:
        RuntimeError: if one of the processes died.
    """
    chunks = iter(chunks)
    first = list(islice(chunks, 2)) if workers else []
    if len(first) < 2:  # nothing to be ahead of
        yield from ((chunk, [crop for source in chunk for crop in cut(source)]) for chunk in chain(first, chunks))
        return
    waiting: deque[list[Source]] = deque()
    with warnings.catch_warnings(action="ignore"):  # that there are more workers than cores: the user asked for them
        loaded = iter(DataLoader(
            _Crops(cut), batch_size=None, sampler=_noted(chain(first, chunks), waiting), num_workers=workers,
            prefetch_factor=1, collate_fn=_as_it_is, **_way_to_start(),
        ))  # fmt: skip
    for packed in loaded:
        yield waiting.popleft(), _unpacked(*packed)


class _Crops(Dataset):
    """Chunk of sources -> its crops, packed: all pixels in one array, which goes through a pipe at once."""

    def __init__(self, cut: Callable[[Source], list["Crop"]]):
        self.cut = cut

    def __getitem__(self, chunk: list[Source]) -> tuple[list["Crop"], list[int], np.ndarray | None]:
        crops = [crop for source in chunk for crop in self.cut(source)]
        places = [place for place, crop in enumerate(crops) if crop.pixel_values is not None]
        pixels = np.stack([crops[place].pixel_values.numpy() for place in places]) if places else None
        return [replace(crop, pixel_values=None) for crop in crops], places, pixels


def _unpacked(crops: list["Crop"], places: list[int], pixels: np.ndarray | None) -> list["Crop"]:
    for row, place in enumerate(places):
        crops[place] = replace(crops[place], pixel_values=torch.from_numpy(pixels[row]))
    return crops


def _noted(chunks: Iterable[list[Source]], waiting: deque) -> Iterator[list[Source]]:
    """The chunks, noted as they are handed out: they come back in this order."""
    for chunk in chunks:
        waiting.append(chunk)
        yield chunk


def _as_it_is(item):
    return item


def _way_to_start() -> dict:
    """As the platform does, which is quick; but a child of a process that has used OpenCV's threads hangs in them."""
    if "cv2" not in sys.modules or "forkserver" not in multiprocessing.get_all_start_methods():
        return {"worker_init_fn": _begin}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["difiqa_hf.scoring.run"])
    return {"multiprocessing_context": context, "worker_init_fn": partial(_begin, opencv=True)}


def _begin(index: int, opencv: bool = False) -> None:
    """In a process that reads: it ends with the one that it reads for, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    if opencv:
        import cv2

        cv2.setNumThreads(1)


def _follow(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)

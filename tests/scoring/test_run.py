"""The order of rows, whatever the threads do."""

import random
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from difiqa_hf.scoring import Source, in_chunks, score_chunks
from difiqa_hf.scoring.run import cut_chunks
from toys import Brightness


def sources(count: int, read=None) -> list[Source]:
    def reader(i: int):
        def grey(limit: float) -> Image.Image:
            time.sleep(random.Random(i).uniform(0, 0.01))
            return Image.new("RGB", (112, 112), (i,) * 3)

        return grey

    return [Source(Path(f"{i}.png"), read or reader(i)) for i in range(count)]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_threads_change_neither_order_nor_scores(workers):
    chunks = score_chunks(in_chunks(sources(25), 4), Brightness(), batch_size=4, workers=workers)
    found = [(len(chunk), [(str(row.path), round(row.quality, 4)) for row in rows]) for chunk, rows in chunks]
    assert [length for length, _ in found] == [4, 4, 4, 4, 4, 4, 1]
    assert [row for _, rows in found for row in rows] == [(f"{i}.png", round(i / 127.5 - 1, 4)) for i in range(25)]


def test_threads_read_one_chunk_ahead_and_stop():
    """Memory is bounded, and who stops listening stops the reading."""
    taken, lock = [], threading.Lock()

    def cut(source: Source) -> list:
        with lock:
            taken.append(source)
        return []

    chunks = cut_chunks(in_chunks(sources(100), 5), cut, workers=2)
    for _ in range(3):
        next(chunks)
    time.sleep(0.05)
    assert len(taken) <= 4 * 5
    chunks.close()
    assert len(taken) <= 4 * 5


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_wrong_in_a_thread_is_seen(workers):
    def broken(limit: float) -> Image.Image:
        raise MemoryError("no memory")

    with pytest.raises(MemoryError):
        list(score_chunks(in_chunks(sources(3, broken), 2), Brightness(), workers=workers))

"""The order of rows, whatever the processes that read ahead do."""

import io
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.scoring import Source, expand, in_chunks, score_chunks
from difiqa_hf.scoring.ahead import cut_chunks
from difiqa_hf.scoring.run import Cutter
from toys import Brightness


def grey(level: int, limit: float) -> Image.Image:
    time.sleep(random.Random(level).uniform(0, 0.01))
    return Image.new("RGB", (112, 112), (level,) * 3)


def sources(count: int, read=None) -> list[Source]:
    return [Source(Path(f"{i}.png"), read or partial(grey, i)) for i in range(count)]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_processes_change_neither_order_nor_scores(workers):
    chunks = score_chunks(in_chunks(sources(25), 4), Brightness(), batch_size=4, workers=workers)
    found = [(len(chunk), [(str(row.path), round(row.quality, 4)) for row in rows]) for chunk, rows in chunks]
    assert [length for length, _ in found] == [4, 4, 4, 4, 4, 4, 1]
    assert [row for _, rows in found for row in rows] == [(f"{i}.png", round(i / 127.5 - 1, 4)) for i in range(25)]


class Noted:
    """Hands out chunks, and says how many."""

    def __init__(self, chunks):
        self.chunks, self.taken = chunks, 0

    def __iter__(self):
        for chunk in self.chunks:
            self.taken += 1
            yield chunk


def test_processes_read_a_few_chunks_ahead_and_stop():
    """Memory is bounded, and who stops listening stops the reading."""
    noted = Noted(in_chunks(sources(100), 5))
    chunks = cut_chunks(Cutter(FaceImageProcessor()), noted, workers=2)
    for _ in range(3):
        next(chunks)
    assert 3 < noted.taken <= 3 + 2 + 1
    readers = multiprocessing.active_children()
    assert readers
    chunks.close()
    assert noted.taken <= 3 + 2 + 1 and not any(reader.is_alive() for reader in readers)


def test_crops_are_those_of_this_process(tmp_path):
    """Pixels, statuses and names, with broken files among them and members of a zip."""
    for level in (10, 120):
        Image.new("RGB", (112, 112), (level, 0, 0)).save(tmp_path / f"{level}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for name in ("10.png", "broken.png", "120.png"):
            archive.write(tmp_path / name, f"in/{name}")
    paths = [tmp_path / name for name in ("10.png", "broken.png", "some.zip", "120.png")]
    cutter = Cutter(FaceImageProcessor())
    here, there = (
        [crop for _, crops in cut_chunks(cutter, in_chunks(expand(paths), 2), workers) for crop in crops]
        for workers in (0, 2)
    )
    assert [(crop.path, crop.status, crop.reason) for crop in here] == [
        (crop.path, crop.status, crop.reason) for crop in there
    ]
    assert [crop.pixel_values is None for crop in there] == [False, True, False, True, False, False]
    for a, b in zip(here, there, strict=True):
        assert a.pixel_values is None or torch.equal(a.pixel_values, b.pixel_values)


def out_of_memory(limit: float) -> Image.Image:
    raise MemoryError("no memory")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_wrong_in_a_process_is_seen(workers):
    with pytest.raises(MemoryError):
        list(score_chunks(in_chunks(sources(5, out_of_memory), 2), Brightness(), workers=workers))


def killed(limit: float) -> Image.Image:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_ends_the_run():
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(score_chunks(in_chunks(sources(5, killed), 2), Brightness(), workers=1))


def test_drafts_of_large_crops(tmp_path):
    """A quarter of the side of a JPEG is decoded, and its score hardly changes; small ones stay as they are."""
    noise = torch.randint(0, 255, (28, 28, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    image = Image.fromarray(noise.numpy()).resize((1024, 1024), Image.Resampling.BICUBIC)
    for side in (1024, 200):
        image.resize((side, side)).save(tmp_path / f"{side}.jpg", quality=95)
    large, small = expand([tmp_path / "1024.jpg", tmp_path / "200.jpg"])
    assert large.read(100, 224).size == (256, 256) and small.read(100, 224).size == (200, 200)
    full, draft = (Cutter(FaceImageProcessor(), draft=draft)(large)[0].pixel_values for draft in (False, True))
    assert 0 < (full - draft).abs().max() < 0.1
    (crop,) = Cutter(FaceImageProcessor(), draft=True, min_size=300)(large)
    assert crop.status == "ok"  # it is decoded as large as it has to be


def test_processes_of_one_that_has_used_opencv(shared, tmp_path):
    """They must not inherit its threads, in which they would wait forever."""
    from difiqa_hf.demo.versions import portrait
    from difiqa_hf.detection import FaceDetector

    detector = FaceDetector(shared / "weights" / "yunet" / "yunet_n_640_640.onnx")
    assert detector.detect(portrait()).status == "ok"
    for name in "abc":
        portrait().save(tmp_path / f"{name}.png")
    files = in_chunks(expand(sorted(tmp_path.iterdir())), 1)
    chunks = list(cut_chunks(Cutter(FaceImageProcessor(), detector), files, workers=1))
    assert [crop.status for _, (crop,) in chunks] == ["ok"] * 3


def test_members_of_an_archive_are_read_by_several_processes(tmp_path):
    """None at another's place in the file."""
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for index in range(400):
            data = io.BytesIO()
            Image.new("L", (24, 24), index % 256).save(data, "PNG")
            archive.writestr(f"{index}.png", data.getvalue())
    chunks = in_chunks(expand([tmp_path / "many.zip"]), 4)
    crops = [crop for _, found in cut_chunks(Cutter(FaceImageProcessor()), chunks, workers=4) for crop in found]
    assert [crop.status for crop in crops] == ["ok"] * 400, {crop.reason for crop in crops}


PROGRAM = """
import sys
from pathlib import Path
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.scoring import expand, find_images, in_chunks
from difiqa_hf.scoring.run import Cutter, cut_chunks

if __name__ == "__main__":
    if "opencv" in sys.argv:
        import cv2
    files = list(find_images([Path("images")])) * 1000
    for number, _ in enumerate(cut_chunks(Cutter(FaceImageProcessor()), in_chunks(expand(files), 4), workers=2)):
        if number == 20:
            print("reading", flush=True)
"""


def family(pid: int) -> set[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid}.union(*(family(int(child)) for child in children))


@pytest.mark.parametrize("way", ["fork", "opencv"])
def test_who_reads_for_a_killed_process_ends_too(tmp_path, way):
    if not Path("/proc/self/task").is_dir():
        pytest.skip("processes are looked up in /proc")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (112, 112)).save(tmp_path / "images" / "a.png")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", way]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout.readline() == "reading\n"
    processes = family(process.pid)
    assert len(processes) >= 3
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while (left := [pid for pid in processes if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left

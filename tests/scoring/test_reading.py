"""Memory of one read: what `BYTES_PER_PIXEL` promises, by the kernel's own peak, in a process without a past."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from difiqa_hf.scoring.reading import BYTES_PER_PIXEL

SIDE = 3000
SLACK = 16 * 2**20  # a block of Pillow's memory
MODES = {
    "L": ("png", 6), "P": ("png", 6), "RGB": ("png", 8), "RGBA": ("png", 16), "I;16": ("tif", 16), "F": ("tif", 20),
}  # fmt: skip
PROGRAM = """
import json, sys
from pathlib import Path
from PIL import Image
from difiqa_hf.scoring.reading import UnreadableImageError, read_image

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

def peak_of(path, limit):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    try:
        read_image(Path(path), limit)
    except UnreadableImageError as error:
        return [status("VmHWM") - before, str(error)]
    return [status("VmHWM") - before, ""]

for path in sys.argv[2:]:
    peak_of(path, float(sys.argv[1]))  # buffers of the decoders
    print(json.dumps(peak_of(path, float(sys.argv[1]))))
"""


def peaks(paths, limit: float) -> list[list]:
    """(bytes that a read has at most on top of what is there before, why it was refused) of every file."""
    command = [sys.executable, "-c", PROGRAM, str(limit), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "clear_refs" in done.stderr:
        pytest.skip("this system does not reset the peak of a process's memory")
    assert done.returncode == 0, done.stderr
    return list(map(json.loads, done.stdout.splitlines()))


def test_bytes_per_pixel(tmp_path):
    paths = []
    for mode, (suffix, _) in MODES.items():
        paths.append(tmp_path / f"{mode.replace(';', '')}.{suffix}")
        Image.new(mode, (SIDE, SIDE)).save(paths[-1])
    for (mode, (_, promised)), (found, refused) in zip(MODES.items(), peaks(paths, 100), strict=True):
        assert not refused
        assert 3 * SIDE**2 < found <= promised * SIDE**2 + SLACK, mode
        assert promised <= BYTES_PER_PIXEL


def test_what_is_too_large_costs_nothing(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    ((found, refused),) = peaks([tmp_path / "bomb.png"], 1)
    assert refused == "81 megapixels, at most 1 are read" and found < 4e6

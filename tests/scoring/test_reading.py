"""Memory of one read: what `BYTES_PER_PIXEL` promises, by the kernel's own peak."""

from pathlib import Path

import pytest
from PIL import Image

from difiqa_hf.scoring.reading import BYTES_PER_PIXEL, UnreadableImageError, read_image

SIDE = 3000
SLACK = 16 * 2**20  # a block of Pillow's memory


def peak_of(read) -> int:
    """Bytes that a call has at most on top of what is there before."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system does not reset the peak of a process's memory")
    before = _status("VmRSS")
    read()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@pytest.mark.parametrize(
    ("mode", "suffix", "bytes_per_pixel"),
    [("L", "png", 6), ("P", "png", 6), ("RGB", "png", 8), ("RGBA", "png", 16), ("I;16", "tif", 16), ("F", "tif", 20)],
)
def test_bytes_per_pixel(tmp_path, mode, suffix, bytes_per_pixel):
    path = tmp_path / f"image.{suffix}"
    Image.new(mode, (SIDE, SIDE)).save(path)
    read_image(path)  # buffers of the decoders
    found = peak_of(lambda: read_image(path))
    assert found <= bytes_per_pixel * SIDE**2 + SLACK and bytes_per_pixel <= BYTES_PER_PIXEL
    assert found > 6 * SIDE**2 or mode in ("L", "P"), "the peak is not measured"


def test_what_is_too_large_costs_nothing(tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")

    def read():
        with pytest.raises(UnreadableImageError, match="81 megapixels, at most 1 are read"):
            read_image(tmp_path / "bomb.png", 1)

    read()
    assert peak_of(read) < 4e6

"""A folder of files that break image tools, made on the spot."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(side: int = 112, seed: int = 0) -> Image.Image:
    """A smooth random RGB image."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)


def huge_png(side: int = 20_000) -> bytes:
    """A valid one-bit PNG of side x side pixels in 50 kB: 400 megapixels once decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(side * (1 + side // 8)), 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def write_hostile_folder(folder: Path) -> dict[str, str]:
    """Fill `folder`; the status that `difiqa score` gives each file of it (aligned), by relative path."""
    (folder / "deep" / "er").mkdir(parents=True)
    buffer = io.BytesIO()
    picture().save(buffer, "JPEG")
    (folder / "truncated.jpg").write_bytes(buffer.getvalue()[:800])
    (folder / "empty.jpg").touch()
    (folder / "text.JPG").write_text("no image")
    (folder / "notes.txt").write_text("not scanned")
    (folder / "huge.png").write_bytes(huge_png())
    picture(1).save(folder / "one_pixel.png")
    picture().convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.linspace(0, 65535, 112 * 112).astype(np.uint16).reshape(112, 112)
    Image.fromarray(deep).save(folder / "deep" / "sixteen.png")
    frames = [picture(seed=seed) for seed in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    picture().save(folder / "=1+1.png")
    picture().save(folder / "deep" / "er" / 'quote", comma\nnewline.webp')
    broken, small = ("truncated.jpg", "empty.jpg", "text.JPG", "huge.png"), ("one_pixel.png",)
    fine = ("cmyk.jpg", "deep/sixteen.png", "animated.gif", "=1+1.png", 'deep/er/quote", comma\nnewline.webp')
    return dict.fromkeys(broken, "unreadable") | dict.fromkeys(small, "too_small") | dict.fromkeys(fine, "ok")

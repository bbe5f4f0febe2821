"""More than 200 files that break image tools, made on the spot, with the statuses that each may have."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from hostile import huge_png, picture
from PIL import Image

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".tif": "TIFF", ".bmp": "BMP"}
OK, BAD, EITHER = frozenset({"ok"}), frozenset({"unreadable"}), frozenset({"ok", "unreadable"})

NAMES = [
    "new\nline.png",
    "carriage\rreturn.png",
    'quote", comma.png',
    "semi;=1+1.png",
    "tab\there.png",
    "\t=tab first.png",
    "\n=line first.png",
    "=1+1.png",
    "=HYPERLINK(0).png",
    "+1.png",
    "-1.png",
    "--help.png",
    "-o.png",
    "@SUM(A1).png",
    "＝fullwidth.png",
    "emoji 😀👩‍🚀.png",
    "\u202egnp.right-to-left.png",
    "combining e\u0301.png",
    "back\\slash.png",
    "percent %d %s.png",
    "#hash#.png",
    "star*[a-z]?.png",
    "<b>html & co.png",
    " leading and trailing .png",
    "$(touch hacked).png",
    "`touch hacked`.png",
    "con.png",
    "x" * 251 + ".png",
]


def encoded(extension: str, image: Image.Image | None = None, **options) -> bytes:
    """A picture as a file of this kind."""
    buffer = io.BytesIO()
    (image or picture()).save(buffer, FORMATS[extension], **options)
    return buffer.getvalue()


def write_corpus(folder: Path) -> dict[bytes, frozenset[str]]:
    """Fill `folder`; path -> the statuses that `difiqa score` may give it (aligned)."""
    files: dict[bytes, tuple[bytes, frozenset[str]]] = {}
    for part in (_truncated, _mislabelled, _modes, _rotated, _bombs, _flipped, _no_images, _named):
        for name, content, statuses in part():
            path = os.fsencode(folder) + b"/" + part.__name__.strip("_").encode() + b"/" + name
            files[path] = content, statuses
    for path, (content, _) in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120  paths are bytes
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(content)
    return {path: statuses for path, (_, statuses) in files.items()} | _links_and_pipes(folder)


def _truncated():
    for extension in FORMATS:
        data = encoded(extension)
        for i, cut in enumerate(np.linspace(0, len(data) - 1, 16).astype(int)):
            yield f"{i:02d}{extension}".encode(), data[:cut], BAD if cut < 0.6 * len(data) else EITHER


def _mislabelled():
    for own in FORMATS:
        for other in FORMATS:
            if own != other:
                yield f"{own[1:]} as{other}".encode(), encoded(own), OK


def _modes():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B", "RGBX"):
        for extension in (".png", ".tif", ".webp", ".jpg"):
            image = _in_mode(mode)
            try:
                data = encoded(extension, image)  # of mode I as PNG until Pillow 12
            except (OSError, KeyError, ValueError):  # not every format holds every mode
                continue
            lossy = (mode, extension) == ("YCbCr", ".tif")  # Pillow 12 cannot read what it writes
            yield f"{mode.replace(';', '-')}{extension}".encode(), data, EITHER if lossy else OK
    yield b"palette with transparency.png", encoded(".png", picture().convert("P"), transparency=3), OK
    yield b"palette bytes.png", encoded(".png", picture().convert("P"), transparency=bytes(range(256))), OK


def _in_mode(mode: str) -> Image.Image:
    grey = np.asarray(picture().convert("L"))
    if mode.startswith("I"):
        wide = Image.fromarray(grey.astype(np.uint16) * 257)
        return wide if mode == "I;16" else wide.convert("I") if mode == "I" else Image.frombytes(
            "I;16B", wide.size, (grey.astype(">u2") * 257).tobytes()
        )  # fmt: skip
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255)
    if mode == "LAB":
        return Image.merge("LAB", picture().split())
    return picture().convert(mode)


def _rotated():
    for orientation in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation {orientation}.jpg".encode(), encoded(".jpg", exif=exif.tobytes()), OK
    yield b"broken exif.jpg", encoded(".jpg", exif=b"Exif\0\0" + bytes(range(40))), OK


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bombs():
    yield b"400 megapixels.png", huge_png(), BAD
    text = b"comment\0\0" + zlib.compress(bytes(200_000_000), 9)
    png = encoded(".png")
    yield b"200 MB of text.png", png[:33] + _chunk(b"zTXt", text) + png[33:], EITHER
    profile = b"icc\0\0" + zlib.compress(bytes(200_000_000), 9)
    yield b"200 MB of profile.png", png[:33] + _chunk(b"iCCP", profile) + png[33:], EITHER
    yield b"many pixels in the header.png", png[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + png[24:], BAD
    yield b"tall.bmp", encoded(".bmp")[:22] + struct.pack("<i", 2**30) + encoded(".bmp")[26:], BAD
    yield b"65535 x 65535.gif", b"GIF89a" + struct.pack("<HH", 65535, 65535) + encoded(".gif")[10:], EITHER
    yield b"long.ppm", b"P6 200000 200000 255\n" + bytes(100), BAD


def _flipped():
    rng = np.random.default_rng(0)
    for extension in (".jpg", ".png", ".webp"):
        for i in range(10):
            data = bytearray(encoded(extension))
            for place in rng.integers(0, len(data), 8):
                data[place] ^= 1 << int(rng.integers(8))
            yield f"{i}{extension}".encode(), bytes(data), EITHER | {"too_small"}


def _no_images():
    contents = {"zip": b"PK\5\6" + bytes(18), "html": b"<html>", "pdf": b"%PDF-1.7\n", "svg": b"<svg/>", "zero": b""}
    contents |= {"one": b"\xff", "magic": b"\x89PNG\r\n\x1a\n", "soi": b"\xff\xd8\xff", "elf": b"\x7fELF" + bytes(60)}
    contents |= {"random": np.random.default_rng(1).bytes(5000), "script": b"#!/bin/sh\ntouch hacked\n"}
    contents |= {"postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 112 112\n%%EndComments\n"}
    for name, content in contents.items():
        for extension in (".jpg", ".png"):
            yield f"{name}{extension}".encode(), content, BAD


def _named():
    good = encoded(".png")
    yield from ((name.encode(), good, OK) for name in NAMES)
    yield b"not utf-8 \xff\xfe.png", good, OK
    yield b"latin-1 \xe9\xe8.png", good, OK
    yield b"bad and not utf-8 \xff.png", b"", BAD


def _links_and_pipes(folder: Path) -> dict[bytes, frozenset[str]]:
    odd = folder / "odd"
    (odd / "folder.png").mkdir(parents=True)
    picture().save(odd / "folder.png" / "inside.png")
    (odd / "self.png").symlink_to("self.png")
    (odd / "there.png").symlink_to("back.png")
    (odd / "back.png").symlink_to("there.png")
    (odd / "nothing.png").symlink_to("nowhere.png")
    (odd / "good.png").symlink_to("folder.png/inside.png")
    (odd / "loop").symlink_to(".", target_is_directory=True)
    os.mkfifo(odd / "pipe.png")
    picture().save(odd / "secret.png")
    (odd / "secret.png").chmod(0)
    readable = OK if os.access(odd / "secret.png", os.R_OK) else BAD  # root reads everything
    statuses = dict.fromkeys(("self.png", "there.png", "back.png", "nothing.png", "pipe.png"), BAD)
    statuses |= {"folder.png/inside.png": OK, "good.png": OK, "secret.png": readable}
    return {os.fsencode(odd / name): status for name, status in statuses.items()}

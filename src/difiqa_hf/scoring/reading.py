"""Any file -> an upright RGB image, or the reason why not."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from difiqa_hf.image_processing import to_rgb

# Of Pillow's formats those of pixels that it decodes itself: EPS, for one, would start Ghostscript.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "QOI", "SGI", "TGA", "TIFF", "WEBP")
BYTES_PER_PIXEL = 20
_OPENING = threading.Lock()  # Pillow's limit is a global variable


class UnreadableImageError(ValueError):
    """A file that is no image, is broken, or is too large; the message is the reason."""


def allowed(question: Callable[[], bool]) -> bool:
    """What `Path.is_file` or one of its like answers; no where they raise, in a folder that may not be entered."""
    try:
        return question()
    except OSError:
        return False


def read_image(path: Path, max_megapixels: float = 100, side: int = 0) -> Image.Image:
    """An image file as upright 8-bit RGB; threads may read at the same time. `side` as for `decode`.

    One read takes at most `BYTES_PER_PIXEL` of memory, so 2 GB at 100 megapixels: 6 for grey or a palette, 8 for RGB,
    16 with transparency or 16 bits a channel, 20 for floating-point numbers. A larger file costs its header only.

    Raises:
        UnreadableImageError: with the reason, whatever is wrong with the file.
    """
    try:
        if not path.is_file():  # a pipe, for example, would block
            kind = "a link to nothing" if path.is_symlink() else "no such file"
            raise UnreadableImageError("not a regular file" if path.exists() else kind)
    except OSError as error:  # its folder may not be entered
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    return decode(path, max_megapixels, side)


def decode(file: Path | BinaryIO, max_megapixels: float, side: int = 0) -> Image.Image:
    """As `read_image`, of a regular file or a stream that can seek.

    With a `side` in pixels, a JPEG is decoded at a half, a quarter or an eighth of its size, as long as neither side
    becomes shorter than that: quicker, and nearly the same for those who shrink it anyway.
    """
    try:
        with _OPENING, _patient_pillow():
            image = Image.open(file, formats=_formats())
        with image:
            megapixels = image.width * image.height / 1e6  # from the header: nothing is decoded yet
            if megapixels <= max_megapixels:
                if side:
                    image.draft("RGB", (side, side))
                return to_rgb(image)
    except UnidentifiedImageError:
        raise UnreadableImageError("not an image of a known format, or empty") from None
    except Exception as error:  # decoders raise nearly anything on a broken file, from SyntaxError to zlib.error
        raise UnreadableImageError(f"{type(error).__name__}: {error}") from error
    raise UnreadableImageError(f"{megapixels:.4g} megapixels, at most {max_megapixels:g} are read")


@cache
def _formats() -> list[str]:
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # older versions of Pillow lack some


@contextmanager
def _patient_pillow() -> Iterator[None]:
    """No limit of Pillow's own (89 megapixels; ours is `max_megapixels`), no warnings about odd but legible files."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before

"""Pixel values as pictures, and pictures inside a page."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor


def picture_of(pixel_values: Tensor) -> Image.Image:
    """Pixel values (3, height, width) in [-1, 1] as 8-bit RGB, rounded: the crop that they were made of."""
    levels = (pixel_values.permute(1, 2, 0).cpu().numpy() + 1) * 127.5
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def data_uri(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """A picture inside an HTML page: "data:image/png;base64,…"; `options` of Pillow's `save`."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"

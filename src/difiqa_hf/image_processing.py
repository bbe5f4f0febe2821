"""FaceImageProcessor: aligned faces in any usual form -> pixel_values (batch, 3, 112, 112), RGB in [-1, 1]."""

import os
from typing import Any, TypedDict

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from transformers.image_processing_utils import (
    BaseImageProcessor,
    BatchFeature,
    ImageProcessingMixin,  # noqa: F401  diffusers looks for it here
)
from transformers.processing_utils import ImagesKwargs

FLOAT_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


class FaceImageKwargs(TypedDict, total=False):
    """What `from_pretrained` lets a caller change."""

    size: int | dict[str, int]
    color_order: str
    float_range: tuple[float, float]


class FaceImageProcessor(BaseImageProcessor):
    """Turns aligned face crops into `pixel_values`; resizes them (PIL, bilinear, antialiased), does not align them.

    An image is a path, a PIL image of any mode, an array (height, width[, 3]) or a tensor ([3,] height, width). A list
    of images, an array (batch, height, width, 3) or a tensor (batch, 3, height, width) is a batch. EXIF orientation is
    honoured, transparency lies on white, an animation is its first frame, 16 bits are scaled by 65535.

    Args:
        size: of the result, {"height": 112, "width": 112}, or one number for both.
        color_order: "rgb" or "bgr" (OpenCV), of arrays and tensors; files and PIL images know their own.
        float_range: what black and white are in floating-point arrays: (0, 1), (-1, 1) or (0, 255). Nothing is guessed:
            values outside the range are refused.

    Example:
        >>> FaceImageProcessor()(Image.new("L", (64, 64), 255)).pixel_values.shape
        torch.Size([1, 3, 112, 112])
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012  as transformers declares it
    valid_kwargs = FaceImageKwargs

    def __init__(
        self,
        size: int | dict[str, int] = 112,
        color_order: str = "rgb",
        float_range: tuple[float, float] = (0.0, 1.0),
        **kwargs,
    ):
        if foreign := sorted(kwargs.keys() & ImagesKwargs.__annotations__.keys()):
            known = ", ".join(FaceImageKwargs.__annotations__)
            raise ValueError(f"FaceImageProcessor has no option {', '.join(foreign)}, only {known}")
        super().__init__(**kwargs)  # what a saved configuration holds besides, auto_map for one
        self.size, self.color_order, self.float_range = _checked_options(size, color_order, float_range)

    def preprocess(
        self,
        images,
        size: int | dict[str, int] | None = None,
        color_order: str | None = None,
        float_range: tuple[float, float] | None = None,
        return_tensors: str | Any = "pt",
    ) -> BatchFeature:
        """What a call of the processor does.

        Args:
            images: one image or a batch, see the class.
            size, color_order, float_range: for this call only, instead of the configured ones.
            return_tensors: "pt" for a tensor, "np" for an array.

        Returns:
            `pixel_values` (batch, 3, height, width), float32, RGB in [-1, 1].

        Raises:
            ValueError: for an image that is not of these forms, with what was found.
        """
        size, color_order, float_range = _checked_options(
            self.size if size is None else size,
            self.color_order if color_order is None else color_order,
            self.float_range if float_range is None else float_range,
        )
        batch = _as_list(images)
        if not batch:
            raise ValueError("the batch is empty; pass at least one image")
        shape = (size["width"], size["height"])
        pixels = np.stack([_unit_pixels(image, shape, color_order, float_range) for image in batch])
        pixel_values = np.ascontiguousarray((pixels * 2 - 1).transpose(0, 3, 1, 2))
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)


def _checked_options(size, color_order: str, float_range) -> tuple[dict[str, int], str, tuple[float, float]]:
    """The options in their canonical form: one number means a square, and JSON knows no tuples."""
    size = {"height": size, "width": size} if isinstance(size, int) else dict(size)
    if size.keys() != {"height", "width"} or min(size.values()) < 1:
        raise ValueError(f"size must be a number or have 'height' and 'width', at least 1, found {size}")
    if color_order not in ("rgb", "bgr"):
        raise ValueError(f"color_order must be 'rgb' or 'bgr', found {color_order!r}")
    if tuple(float_range) not in FLOAT_RANGES:
        raise ValueError(f"float_range must be one of {FLOAT_RANGES}, found {float_range}")
    return size, color_order, tuple(float_range)


def _as_list(images) -> list:
    """Split a batch into images; a single image becomes a list of one."""
    if isinstance(images, list | tuple):
        return list(images)
    if isinstance(images, np.ndarray | Tensor) and images.ndim == 4:
        return list(images)
    return [images]


def _unit_pixels(image, shape: tuple[int, int], color_order: str, float_range: tuple[float, float]) -> np.ndarray:
    """One image -> float32 (height, width, 3), RGB in [0, 1], of `shape` (width, height)."""
    if isinstance(image, str | os.PathLike):
        with Image.open(image) as opened:
            return _unit_pixels(opened, shape, color_order, float_range)
    if isinstance(image, Image.Image):
        image = to_rgb(image, float_range)
        if image.size != shape:
            image = image.resize(shape, Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.float32) / 255
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.float().numpy() if image.is_floating_point() else image.numpy()
        image = np.moveaxis(image, 0, -1) if image.ndim == 3 else image
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image is a path, a PIL image, an array or a tensor, found {type(image).__name__}")
    pixels = _three_channels(_scale(image, float_range))
    pixels = pixels[..., ::-1] if color_order == "bgr" else pixels
    return _resize_array(pixels, shape)


def to_rgb(image: Image.Image, float_range: tuple[float, float] = (0.0, 1.0)) -> Image.Image:
    """A PIL image of any mode -> 8-bit "RGB", upright (EXIF), transparency on white, wide modes by their true range.

    Args:
        image: opened or loaded; of an animation the current frame.
        float_range: black and white of a mode "F" image.

    Raises:
        ValueError: for 32-bit pixels outside the range of 16 bits, or floating-point ones outside `float_range`.
    """
    image = _upright(image)  # always a copy
    if image.mode == "F" or image.mode.startswith("I"):
        pixels = np.asarray(image)
        if image.mode == "I":  # 16-bit files may open as 32-bit images
            low, high = int(pixels.min()), int(pixels.max())
            if low < 0 or high > 65535:
                raise ValueError(f"a 32-bit image must hold 16-bit values, found [{low}, {high}]; convert it to 8 bits")
        pixels = pixels if image.mode == "F" else pixels.astype(np.uint16)
        image = Image.fromarray((_scale(pixels, float_range) * 255).round().astype(np.uint8))
    has_alpha = image.mode != "LAB" and ({"A", "a"} & {*image.getbands()} or "transparency" in image.info)
    if has_alpha:  # the A of LAB is a colour
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # so that what fails below is the EXIF block, without which the pixels are as good
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # from SyntaxError to struct.error, as the block likes
        return image.copy()


def _scale(pixels: np.ndarray, float_range: tuple[float, float]) -> np.ndarray:
    """float32 in [0, 1] from uint8, uint16 or floating-point pixels; refuses what does not fit its declared range."""
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ValueError(f"integer images must be uint8 or uint16, found {pixels.dtype}; convert with .astype('uint8')")
    low, high = float_range
    slack = 1e-3 * (high - low)  # interpolation overshoots a little
    found = (float(pixels.min()), float(pixels.max())) if pixels.size else (low, high)
    if not (found[0] >= low - slack and found[1] <= high + slack):  # written so that NaN is refused too
        raise ValueError(
            f"float pixels must lie in float_range [{low:g}, {high:g}], found [{found[0]:.4g}, {found[1]:.4g}]; "
            f"pass float_range=… (one of {FLOAT_RANGES}) if black and white are other values"
        )
    return ((pixels.astype(np.float32) - low) / (high - low)).clip(0, 1)


def _three_channels(pixels: np.ndarray) -> np.ndarray:
    """(height, width[, 1 or 3]) -> (height, width, 3)."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or pixels.size == 0:
        raise ValueError(
            f"an array must be (height, width), (height, width, 1 or 3), a tensor (1 or 3, height, width); "
            f"found, channels last, {pixels.shape}"
        )
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def _resize_array(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear, antialiased, without rounding to 8 bits: PIL's filter, channel by channel."""
    if (pixels.shape[1], pixels.shape[0]) == shape:
        return np.ascontiguousarray(pixels)
    channels = [Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(3)]
    return np.stack([np.asarray(channel.resize(shape, Image.Resampling.BILINEAR)) for channel in channels], axis=-1)


if __name__.startswith("difiqa_hf."):  # not for a copy of this file that came from the Hub
    # AutoImageProcessor finds the class by its name in preprocessor_config.json. The first argument, where a model's
    # configuration class usually stands, is only a key; our own class spares the import of a model. transformers asks
    # for "torchvision" first where that is installed; some versions hide the class in `transformers` where it is not.
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    backends = dict.fromkeys(("pil", "torchvision"), FaceImageProcessor)
    AutoImageProcessor.register(FaceImageProcessor, image_processor_classes=backends, exist_ok=True)


def check_pixel_values(pixel_values: Tensor) -> None:
    """Refuse what is not a float batch (batch, 3, height, width) in [-1, 1]."""
    if not isinstance(pixel_values, Tensor) or pixel_values.ndim != 4 or pixel_values.shape[1] != 3:
        found = tuple(pixel_values.shape) if isinstance(pixel_values, Tensor) else type(pixel_values).__name__
        raise ValueError(f"pixel_values must be a tensor (batch, 3, height, width), found {found}")
    if not pixel_values.is_floating_point():
        raise ValueError(
            f"pixel_values must be floating point in [-1, 1], found {pixel_values.dtype}; use FaceImageProcessor"
        )
    if pixel_values.numel() == 0:
        raise ValueError(f"pixel_values is empty: shape {tuple(pixel_values.shape)}")
    low, high = pixel_values.aminmax()
    if not (low >= -1.001 and high <= 1.001):  # written so that NaN is refused too
        raise ValueError(
            f"pixel_values must lie in [-1, 1], found [{low.item():.3g}, {high.item():.3g}]; "
            "FaceImageProcessor turns images into this range"
        )

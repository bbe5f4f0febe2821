"""The degradation one image at a time with OpenCV, SciPy and Pillow, as BSRGAN describes it and DifFIQA uses it.

Straightforward and slow: what `difiqa_hf.degradation` is timed against and, where the golden quantiles are too few to
tell, compared with. Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution".
"""

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

INTERPOLATIONS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)


def degrade_per_image(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One round on an RGB `image` (height, width, 3) uint8; returns (128, 128, 3) uint8."""
    x = cv2.resize(image, (512, 512)).astype(np.float32) / 255
    factor = 4
    if rng.random() < 0.25:
        factor = 2
        x = (matlab_half(x) if rng.random() < 0.5 else resize(x, 256, rng)).clip(0, 1)
    order = [*rng.permutation(6)]
    first, second = sorted((order.index(2), order.index(3)))
    order[first], order[second] = 2, 3
    for step in order:
        if step in (0, 1):
            x = blur(x, factor, rng)
        elif step == 2:
            size = len(x) // factor
            x = shrink(x, factor, rng).clip(0, 1)
        elif step == 3:
            x = resize(x, size, rng).clip(0, 1)
        elif step == 4:
            x = add_noise(x, rng)
        elif rng.random() < 0.9:
            x = compress(x, rng)
    return (compress(x, rng) * 255).round().astype(np.uint8)


def resize(x: np.ndarray, size: int, rng) -> np.ndarray:
    return cv2.resize(x, (size, size), interpolation=INTERPOLATIONS[rng.integers(3)])


def matlab_half(x: np.ndarray) -> np.ndarray:
    planes = [Image.fromarray(plane).resize((256, 256), Image.Resampling.BICUBIC) for plane in x.transpose(2, 0, 1)]
    return np.stack([np.asarray(plane) for plane in planes], 2)


def blur(x: np.ndarray, factor: int, rng) -> np.ndarray:
    if rng.random() < 0.5:
        covariance = np.diag((4 + factor) * rng.random(2))
        angle = np.pi * rng.random()
    else:
        covariance, angle = np.eye(2) * ((2 + 0.2 * factor) * rng.random()) ** 2, 0.0
    radius = rng.integers(2, 12) + 1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ndimage.convolve(x, gaussian(radius, turn @ covariance @ turn.T)[..., None], mode="mirror")


def gaussian(radius: int, covariance: np.ndarray) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 2), -1)
    exponent = np.einsum("yxi,ij,yxj->yx", grid, np.linalg.pinv(covariance), grid) / 2
    kernel = np.exp(-exponent)
    return kernel / kernel.sum()


def shrink(x: np.ndarray, factor: int, rng) -> np.ndarray:
    if rng.random() < 0.75:
        return resize(x, int(len(x) / rng.uniform(1, 2 * factor)), rng)
    kernel = gaussian(12, np.eye(2) * rng.uniform(0.1, 0.6 * factor) ** 2)
    kernel = ndimage.shift(kernel, -(factor - 1) / 2, order=1, mode="nearest")
    return ndimage.convolve(x, kernel[..., None] / kernel.sum(), mode="mirror")[::factor, ::factor]


def add_noise(x: np.ndarray, rng) -> np.ndarray:
    level, kind = rng.integers(2, 26) / 255, rng.random()
    if kind > 0.6:
        noise = rng.normal(0, level, x.shape)
    elif kind < 0.4:
        noise = rng.normal(0, level, (*x.shape[:2], 1))
    else:
        turn = orthonormal(rng.random((3, 3)))
        covariance = np.abs((25 / 255) ** 2 * turn.T @ np.diag(rng.random(3)) @ turn)
        noise = rng.multivariate_normal([0, 0, 0], covariance, x.shape[:2], check_valid="ignore")
    return (x + noise.astype(np.float32)).clip(0, 1)


def orthonormal(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.svd(matrix)[0]


def compress(x: np.ndarray, rng) -> np.ndarray:
    levels = (x.clip(0, 1) * 255).round().astype(np.uint8)[..., ::-1]
    _, data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255

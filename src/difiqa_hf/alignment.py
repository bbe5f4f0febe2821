"""Alignment: five facial points -> a 112 x 112 crop on the ArcFace template, by a similarity transform."""

import numpy as np
from PIL import Image

# Where the five points of a face lie in an aligned crop, (x, y) in pixels of a 112 x 112 image: left eye, right eye,
# nose tip, left and right mouth corner, as the viewer sees them (ArcFace, Deng et al., CVPR 2019; insightface).
ARCFACE_TEMPLATE = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
ARCFACE_TEMPLATE.setflags(write=False)

# LightQNet aligns by the eyes and the centre of the mouth. Its published template, (.3419, .4616), (.6565, .4598) and
# (.5012, .8240) of the side, is this one, to a hundredth of a pixel: only the fit differs, to three points, not five.
EYES_AND_MOUTH_TEMPLATE = np.array([*ARCFACE_TEMPLATE[:2], ARCFACE_TEMPLATE[3:].mean(axis=0)])
EYES_AND_MOUTH_TEMPLATE.setflags(write=False)

# Correlation of five points with the template: about 1 for a frontal, .8 for a profile face, .2 with the sides swapped.
MIN_CORRELATION = 0.4


def similarity_transform(points, template=ARCFACE_TEMPLATE) -> np.ndarray:
    """The 2 x 3 matrix of rotation, scale and shift that takes `points` closest to `template` (least squares).

    The closed form of Umeyama (PAMI 1991) in two dimensions, where a rotation with scale is one complex number a:
    w = a z + b minimises the squared error for a = <z, w> / <z, z>, both centred. There is no reflection.

    Args:
        points, template: (n, 2) coordinates, n >= 2, in the same order.

    Raises:
        ValueError: for points of another shape, not finite, all in one place, or unlike the template in any rotation.
    """
    source, target = np.asarray(points, dtype=float), np.asarray(template, dtype=float)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ValueError(f"points must be {target.shape}, one (x, y) per template point, found {source.shape}")
    if not np.isfinite(source).all():
        raise ValueError(f"points must be finite, found {source.tolist()}")
    z, w = source @ (1, 1j), target @ (1, 1j)
    z_mean, w_mean = z.mean(), w.mean()
    z, w = z - z_mean, w - w_mean
    spread = np.vdot(z, z).real
    if spread < 1e-4:  # square pixels
        raise ValueError(f"all points lie at ({z_mean.real:.4g}, {z_mean.imag:.4g}): there is no face to align")
    inner = np.vdot(z, w)
    correlation = abs(inner) / np.sqrt(spread * np.vdot(w, w).real)
    if correlation < MIN_CORRELATION:
        raise ValueError(
            f"the points do not form a face: their correlation with the template is {correlation:.2f}, at least "
            f"{MIN_CORRELATION} is needed; the order is left eye, right eye, nose, left and right mouth corner, as the "
            "viewer sees them"
        )
    a = inner / spread
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def fit(points, landmarks: int = 5) -> np.ndarray:
    """`similarity_transform` of five points to the ArcFace template, by all of them or by eyes and centre of the mouth.

    Raises:
        ValueError: for points that `similarity_transform` refuses, and other numbers of landmarks.
    """
    if landmarks == 5:
        return similarity_transform(points)
    if landmarks != 3:
        raise ValueError(f"landmarks must be 5 or 3, found {landmarks}")
    points = np.asarray(points, dtype=float)
    if points.shape != (5, 2):
        raise ValueError(f"points must be (5, 2), one (x, y) per template point, found {points.shape}")
    return similarity_transform([*points[:2], points[3:].mean(axis=0)], EYES_AND_MOUTH_TEMPLATE)


def align(image, points, size: int = 112, landmarks: int = 5) -> Image.Image:
    """Warp the face with these five points onto the ArcFace template, bilinear, black where the image ends.

    Args:
        image: upright PIL image, or array (height, width, 3) uint8 RGB.
        points: (5, 2) pixel coordinates (x, y); (0, 0) is the centre of the first pixel, as in OpenCV.
        size: side of the square crop; the template is scaled with it.
        landmarks: 5 fits all points, 3 the eyes and the centre of the mouth, as LightQNet's authors do.

    Returns:
        An RGB image, `size` x `size`.

    Raises:
        ValueError: for points that `similarity_transform` refuses.
    """
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image = image if image.mode == "RGB" else image.convert("RGB")  # which would copy
    matrix = fit(points, landmarks)
    crop_to_image = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
    # PIL counts from pixel corners, the points from pixel centres
    crop_to_image = _shift(0.5, 0.5) @ crop_to_image @ _shift(-0.5, -0.5) @ np.diag((112 / size, 112 / size, 1))

    # Bilinear sampling skips pixels where the face is larger than the crop: average whole blocks of pixels first.
    step = int(np.hypot(*crop_to_image[:2, 0]))
    left, top, right, bottom = _box(crop_to_image, size, image.size)
    if step > 1 and right > left and bottom > top:
        image = image.reduce(step, box=(left, top, right, bottom))
        crop_to_image = np.diag((1 / step, 1 / step, 1)) @ _shift(-left, -top) @ crop_to_image
    coefficients = tuple(crop_to_image[:2].ravel())
    return image.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def eye_distance(points) -> float:
    """Distance between the eyes in pixels: the size of a face, whatever its detector's box. 35.2 in an aligned crop."""
    points = np.asarray(points, dtype=float)
    return float(np.hypot(*(points[1] - points[0])))


def _shift(x: float, y: float) -> np.ndarray:
    return np.array([(1.0, 0, x), (0, 1, y), (0, 0, 1)])


def _box(crop_to_image: np.ndarray, size: int, limits: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the image that the crop covers, with a margin for interpolation: left, top, right, bottom."""
    corners = crop_to_image[:2] @ np.array([(0, size, 0, size), (0, 0, size, size), (1, 1, 1, 1)])
    margin = 2 * np.hypot(*crop_to_image[:2, 0]) + 2
    low = np.clip(np.floor(corners.min(axis=1) - margin), 0, limits).astype(int)
    high = np.clip(np.ceil(corners.max(axis=1) + margin), 0, limits).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.alignment import (
    ARCFACE_TEMPLATE,
    EYES_AND_MOUTH_TEMPLATE,
    align,
    eye_distance,
    fit,
    similarity_transform,
)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def turned(degrees: float, scale: float = 1.0, shift=(0.0, 0.0)) -> np.ndarray:
    """The template under a similarity."""
    angle = np.radians(degrees)
    matrix = scale * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    return ARCFACE_TEMPLATE @ matrix.T + shift


def blobs(points: np.ndarray, size: int, sigma: float) -> Image.Image:
    """A black image with a soft white spot around every point."""
    y, x = np.mgrid[:size, :size]
    spots = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points)
    return Image.fromarray((255 * spots.clip(0, 1)).astype(np.uint8))


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 2.5, (40, -7)), (-170, 0.1, (9e3, 9e3))])
def test_a_similarity_is_found_exactly(degrees, scale, shift):
    points = turned(degrees, scale, shift)
    np.testing.assert_allclose(apply(similarity_transform(points), points), ARCFACE_TEMPLATE, atol=1e-6)


def test_noisy_points_agree_with_umeyama_in_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    points = turned(20, 3, (50, 60)) + np.random.default_rng(0).normal(0, 5, (5, 2))
    expected = transform.estimate_transform("similarity", points, ARCFACE_TEMPLATE)
    np.testing.assert_allclose(similarity_transform(points), expected.params[:2], atol=1e-9)


def test_a_profile_is_no_degenerate_case():
    profile = ARCFACE_TEMPLATE.copy()
    profile[:, 0] = 56
    assert np.isfinite(similarity_transform(profile)).all()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((5, 2)) + 7, r"all points lie at \(7, 7\)"),
        (ARCFACE_TEMPLATE[:4], r"found \(4, 2\)"),
        (ARCFACE_TEMPLATE * np.nan, "finite"),
        (ARCFACE_TEMPLATE[[1, 0, 2, 4, 3]], "do not form a face.*order"),  # the sides swapped
    ],
)
def test_degenerate_points_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        similarity_transform(points)


@pytest.mark.parametrize("size", [112, 224])
@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (25, 1.6, (90, 40)), (-60, 5, (50, 500))])
def test_points_land_on_the_template(degrees, scale, shift, size):
    points = turned(degrees, scale, shift)
    crop = np.asarray(align(blobs(points, 800, 2.5 * scale), points, size=size).convert("L"), dtype=float)
    assert crop.shape == (size, size)
    y, x = (np.mgrid[:size, :size] + 0.5) * 112 / size - 0.5  # of pixel centres, in the template's coordinates
    for px, py in ARCFACE_TEMPLATE:
        near = crop * (np.hypot(x - px, y - py) < 7)
        found = (near * x).sum() / near.sum(), (near * y).sum() / near.sum()
        np.testing.assert_allclose(found, (px, py), atol=0.2)


def test_agrees_with_opencv_where_nothing_is_reduced():
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(image).resize((240, 240), Image.Resampling.BICUBIC))
    points = turned(12, 1.4, (50, 30))
    expected = cv2.warpAffine(image, similarity_transform(points), (112, 112), flags=cv2.INTER_LINEAR)
    assert np.abs(np.asarray(align(image, points)).astype(int) - expected).max() <= 3


def test_a_large_face_is_not_aliased():
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = np.asarray(align(stripes, turned(0, 8, (100, 100))))
    assert crop.min() > 120 and crop.max() < 135


def test_beyond_the_image_is_black_and_a_face_outside_does_not_fail():
    white = Image.new("RGB", (112, 112), "white")
    crop = np.asarray(align(white, ARCFACE_TEMPLATE - (56, 0)))
    assert crop[50, 5:50].max() == 0 and crop[50, 62:].min() > 250
    for scale in (1, 4):
        assert np.asarray(align(white, turned(0, scale, (5000, 5000)))).max() == 0


def test_eye_distance():
    assert eye_distance(ARCFACE_TEMPLATE) == pytest.approx(35.24, abs=0.01)
    assert eye_distance(turned(40, 3)) == pytest.approx(3 * eye_distance(ARCFACE_TEMPLATE))


def test_three_points_are_lightqnets_template():
    """The published one, in units of the side; an ArcFace crop lies on it, so nothing moves."""
    published = np.array([(0.3419, 0.4616), (0.6565, 0.4598), (0.5012, 0.8240)]) * 112
    assert np.abs(EYES_AND_MOUTH_TEMPLATE - published).max() < 0.01
    np.testing.assert_allclose(fit(ARCFACE_TEMPLATE, 3), [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_three_points_ignore_the_nose_and_the_width_of_the_mouth():
    points = ARCFACE_TEMPLATE * 2 + 30
    points[2] += (25, 0)  # the nose of a turned head
    points[3:] += [(-4, 0), (4, 0)]  # a smile
    np.testing.assert_allclose(fit(points, 3), [[0.5, 0, -15], [0, 0.5, -15]], atol=1e-9)
    assert np.abs(fit(points) - fit(points, 3)).max() > 0.01
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    three, five = (np.asarray(align(image, points, landmarks=count)) for count in (3, 5))
    assert three.shape == five.shape == (112, 112, 3) and not np.array_equal(three, five)


@pytest.mark.parametrize(("points", "landmarks"), [(ARCFACE_TEMPLATE, 4), (ARCFACE_TEMPLATE[:3], 3)])
def test_other_landmarks_are_refused(points, landmarks):
    with pytest.raises(ValueError, match=r"landmarks must be 5 or 3, found 4|points must be \(5, 2\).*found \(3, 2\)"):
        fit(points, landmarks)

import io

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from difiqa_hf import FaceImageProcessor
from difiqa_hf.image_processing import to_rgb

processor = FaceImageProcessor()


def faces(height: int = 112, width: int = 112, seed: int = 0) -> np.ndarray:
    """Random pixels (height, width, 3), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pixels(image, **options) -> np.ndarray:
    """The one image that comes out, (112, 112, 3), back in [0, 1]."""
    result = processor(image, **options).pixel_values
    assert result.shape == (1, 3, 112, 112) and result.dtype == torch.float32
    return result[0].permute(1, 2, 0).numpy() / 2 + 0.5


def test_every_form_of_an_image_gives_the_same_pixels(tmp_path):
    array = faces()
    path = tmp_path / "face.png"
    Image.fromarray(array).save(path)
    unit = array.astype(np.float32) / 255
    chw = torch.from_numpy(array).permute(2, 0, 1)
    forms = {
        "path": path, "string": str(path), "PIL": Image.fromarray(array), "array": array, "tensor": chw,
        "float array": unit, "float64": unit.astype(np.float64), "float tensor": chw / 255,
        "uint16": array.astype(np.uint16) * 257, "list": [array], "batch": array[None], "tensor batch": chw[None],
    }  # fmt: skip
    for name, form in forms.items():
        np.testing.assert_allclose(pixels(form), unit, atol=1e-6, err_msg=name)


def test_range_is_minus_one_to_one():
    for value, expected in ((0, -1.0), (255, 1.0)):
        assert processor(np.full((112, 112, 3), value, np.uint8)).pixel_values.unique().tolist() == [expected]


def test_batches_keep_their_order_and_may_mix_forms_and_sizes():
    first, second = faces(seed=1), faces(50, 70, seed=2)
    batch = processor([first, Image.fromarray(second)]).pixel_values
    assert batch.shape == (2, 3, 112, 112)
    for row, image in zip(batch, (first, Image.fromarray(second)), strict=True):
        torch.testing.assert_close(row, processor(image).pixel_values[0])
    assert processor(np.stack([first, first])).pixel_values.shape == (2, 3, 112, 112)
    assert isinstance(processor(first, return_tensors="np").pixel_values, np.ndarray)


def test_bgr_is_a_matter_of_arrays_only():
    array = faces()
    np.testing.assert_array_equal(pixels(array[..., ::-1], color_order="bgr"), pixels(array))
    np.testing.assert_array_equal(pixels(Image.fromarray(array), color_order="bgr"), pixels(array))
    tensor = torch.from_numpy(array[..., ::-1].copy()).permute(2, 0, 1)
    np.testing.assert_array_equal(pixels(tensor, color_order="bgr"), pixels(array))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (0, 255)])
def test_float_range_is_declared_not_guessed(low, high):
    unit = faces().astype(np.float32) / 255
    np.testing.assert_allclose(pixels(unit * (high - low) + low, float_range=(low, high)), unit, atol=1e-6)
    for outside in (high + 0.01 * (high - low), low - 0.01 * (high - low), np.nan):
        broken = np.full((112, 112, 3), float(low))
        broken[5, 5] = outside
        with pytest.raises(ValueError, match=r"must lie in float_range .* found"):
            processor(broken, float_range=(low, high))


@pytest.mark.parametrize(
    ("mode", "white", "expected"),
    [
        ("1", 1, (1, 1, 1)),
        ("L", 255, (1, 1, 1)),
        ("LA", (0, 0), (1, 1, 1)),  # transparent black lies on white
        ("RGBA", (255, 0, 0, 255), (1, 0, 0)),
        ("RGBa", (0, 0, 0, 0), (1, 1, 1)),
        ("CMYK", (0, 255, 255, 0), (1, 0, 0)),
        ("I;16", 65535, (1, 1, 1)),
        ("I", 65535, (1, 1, 1)),
        ("I", 0, (0, 0, 0)),
        ("F", 1.0, (1, 1, 1)),
        ("YCbCr", (255, 128, 128), (1, 1, 1)),
    ],
)
def test_pil_modes(mode, white, expected):
    np.testing.assert_allclose(pixels(Image.new(mode, (112, 112), white))[0, 0], expected, atol=1 / 255)


def test_sixteen_bits_are_scaled_by_their_true_range(tmp_path):
    Image.fromarray(np.full((112, 112), 32768, np.uint16)).save(tmp_path / "deep.png")
    # scaling by 255 would make it white
    assert pixels(tmp_path / "deep.png").mean() == pytest.approx(0.5, abs=1 / 255)


def test_palette_with_transparency_lies_on_white():
    image = Image.new("P", (112, 112), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 1)
    image.info["transparency"] = 0
    result = pixels(image)
    np.testing.assert_array_equal(result[0, 0], (1, 0, 0))
    np.testing.assert_array_equal(result[1, 1], (1, 1, 1))


def test_exif_orientation_is_honoured(tmp_path):
    image = Image.fromarray(faces())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(pixels(tmp_path / "turned.png"), pixels(image.transpose(Image.Transpose.ROTATE_270)))


def test_animation_is_its_first_frame():
    frames = [Image.new("RGB", (112, 112), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(Image.open(buffer))[0, 0], (1, 0, 0))


def test_resizing_is_antialiased_and_the_same_for_arrays_and_files():
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255  # without antialiasing: all black or all white
    assert pixels(stripes)[8:-8, 8:-8].mean() == pytest.approx(0.5, abs=0.01)
    big = faces(200, 160)
    np.testing.assert_allclose(pixels(big), pixels(Image.fromarray(big)), atol=1.01 / 255)  # PIL rounds to 8 bits


def test_size_is_configuration():
    assert processor(faces(), size=64).pixel_values.shape == (1, 3, 64, 64)
    tall = FaceImageProcessor(size={"height": 112, "width": 96})
    assert tall(faces()).pixel_values.shape == (1, 3, 112, 96)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 112, 112), np.uint8), r"\(height, width, 1 or 3\).* \(3, 112, 112\)"),
        (torch.zeros(112, 112, 3), r"tensor .* \(112, 3, 112\)"),
        (np.zeros((9, 9, 4), np.uint8), r"\(9, 9, 4\)"),
        (np.zeros((0, 9, 3), np.uint8), r"\(0, 9, 3\)"),
        (np.zeros((9, 9, 3), np.int64), "uint8 or uint16, found int64"),
        (Image.new("I", (9, 9), 70000), "70000"),
        (None, "found NoneType"),
        ([], "batch is empty"),
    ],
)
def test_wrong_images_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        processor(image)


@pytest.mark.parametrize(
    ("option", "value"),
    [("color_order", "RGB"), ("float_range", (0, 2)), ("size", {"shortest_edge": 9}), ("size", 0), ("do_rescale", 0)],
)
def test_wrong_options_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        FaceImageProcessor(**{option: value})
    with pytest.raises((ValueError, TypeError), match=option):
        processor(faces(), **{option: value})


def test_save_and_load(tmp_path):
    saved = FaceImageProcessor(size=96, color_order="bgr", float_range=(-1, 1))
    saved.save_pretrained(tmp_path)
    image = faces(100, 90)
    for loaded in (FaceImageProcessor.from_pretrained(tmp_path), AutoImageProcessor.from_pretrained(tmp_path)):
        assert type(loaded) is FaceImageProcessor
        assert loaded.to_dict() == saved.to_dict()
        torch.testing.assert_close(loaded(image).pixel_values, saved(image).pixel_values, rtol=0, atol=0)
    assert FaceImageProcessor.from_pretrained(tmp_path, color_order="rgb").color_order == "rgb"
    with pytest.raises(ValueError, match="RGB"):
        FaceImageProcessor.from_pretrained(tmp_path, color_order="RGB")


def test_to_rgb_leaves_its_argument_alone():
    image = Image.new("L", (4, 4), 7)
    assert to_rgb(image).mode == "RGB" and image.mode == "L"


def test_the_a_of_lab_is_a_colour_not_transparency():
    from PIL import ImageCms

    rgb = Image.new("RGB", (8, 8), (200, 60, 30))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(rgb, *profiles, outputMode="LAB")
    assert np.abs(np.asarray(to_rgb(lab)).astype(int) - np.asarray(rgb)).max() <= 8

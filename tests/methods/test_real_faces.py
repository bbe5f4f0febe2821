"""The sign of every method on real faces and real networks: a clean face scores above its blurred version."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from test_faceqan import one_image as faceqan_one_image
from test_grafiqs import one_image as grafiqs_one_image

from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods import create_method
from difiqa_hf.recognizers import load_recognizer

# (method, recogniser) -> options, and how many of eight clean faces must score above their blurred versions
CASES = {
    ("faceqan", "mobilefacenet_webface600k"): ({"num_repeats": 1}, 8),
    ("ser-fiq", "mobilefacenet_webface600k"): ({}, 6),  # a network trained without dropout; 14 of 16 faces
    ("prefiqs", "mobilefacenet_webface600k"): ({}, 8),
    ("grafiqs", "mobilefacenet_relu6_ms1m"): ({}, 8),
    ("norm", "mobilefacenet_webface600k"): ({}, 8),
    ("lightqnet", None): ({}, 8),
}

# method trained by training/train_method.py -> options, and how many of sixteen clean faces must score above their
# blurred versions. FaceQgen's other measures have no such sign: a smooth face is easily restored (ssim 8, mse 1).
TRAINED = {
    "faceqgen": ({"measure": "discriminator"}, 15), "faceqnet": ({}, 16), "lightqnet": ({}, 16), "sdd-fiqa": ({}, 16),
    "pcnet": ({}, 16), "magface": ({}, 16), "pfe": ({}, 16), "cr-fiqa": ({}, 16),
}  # fmt: skip


@pytest.fixture(scope="module")
def faces(shared):
    """Pixel values of sixteen LFW faces, and of the same faces blurred."""
    golden = np.load(shared / "golden" / "recognizers" / "lightqnet_lfw.npz")
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        clean = [Image.open(archive.open(f"lfw/{name}")).convert("RGB") for name in golden["files"]]
    blurred = [image.filter(ImageFilter.GaussianBlur(4)) for image in clean]
    return [FaceImageProcessor()(images).pixel_values for images in (clean, blurred)]


@pytest.mark.parametrize(("name", "recognizer"), CASES)
def test_clean_above_blurred(name, recognizer, faces, shared):
    options, least = CASES[name, recognizer]
    weights = shared / "weights"
    if recognizer is None:
        method = create_method(name, checkpoint=weights / "lightqnet" / "lightqnet-dm100.pb", **options)
    else:
        method = create_method(name, recognizer=weights / f"{recognizer}.safetensors", **options)
    clean, blurred = (method(pixel_values[:8]) for pixel_values in faces)
    assert (clean > blurred).sum() >= least, torch.stack([clean, blurred])


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_trained_clean_above_blurred(name, faces):
    model = Path(__file__).parents[2] / "training" / "runs" / name / "model"
    if not model.is_dir():
        pytest.skip(f"no {model}: its weights are not shipped; training/README.md has the command that makes them")
    options, least = TRAINED[name]
    clean, blurred = create_method(name, checkpoint=model, **options)(torch.cat(faces)).chunk(2)
    assert (clean > blurred).sum() >= least, torch.stack([clean, blurred])


def test_froq_calibrated_on_some_faces_ranks_the_blurred_below(faces, shared):
    recognizer = load_recognizer(shared / "weights" / "mobilefacenet_webface600k.safetensors")
    method = create_method("froq", recognizer=recognizer).calibrate(torch.cat([part[8:] for part in faces]))
    clean, blurred = (method(pixel_values[:8]) for pixel_values in faces)
    assert (clean > blurred).all(), torch.stack([clean, blurred])


def test_batched_is_one_at_a_time_on_a_real_network(faces, shared):
    recognizer = load_recognizer(shared / "weights" / "mobilefacenet_relu6_ms1m.safetensors")
    x = torch.cat([part[:2] for part in faces])
    expected = torch.stack([-grafiqs_one_image(recognizer, image[None], "image") for image in x])
    torch.testing.assert_close(create_method("grafiqs", recognizer=recognizer)(x), expected, rtol=1e-5, atol=0)
    expected = torch.tensor([faceqan_one_image(recognizer, image, k=3) for image in x[::2]], dtype=torch.float32)
    found = create_method("faceqan", recognizer=recognizer, num_repeats=3, batch_size=4)(x[::2])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)  # the sign of a gradient near zero may turn

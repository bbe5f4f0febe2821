"""FaceQgen's three scores, and SSIM against scikit-image."""

import numpy as np
import pytest
import torch

from difiqa_hf.methods import create_method
from difiqa_hf.methods.faceqgen import ssim
from toys import toy_faceqgen, toy_faces, toy_recognizer


def test_ssim_is_scikit_images():
    metrics = pytest.importorskip("skimage.metrics")
    first = toy_faces(2)
    second = (first + 0.1 * torch.randn(first.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    for a, b, found in zip(first.numpy(), second.numpy(), ssim(first.double(), second.double()), strict=True):
        settings = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2.0, channel_axis=0)
        _, full = metrics.structural_similarity(np.float64(a), np.float64(b), full=True, **settings)
        assert found.item() == pytest.approx(full[:, 5:-5, 5:-5].mean(), abs=1e-6)
    torch.testing.assert_close(ssim(first, first), torch.ones(2))


def test_three_scores():
    model, x = toy_faceqgen(), toy_faces(3)
    with torch.no_grad():
        out = model(x)
    found = {m: create_method("faceqgen", checkpoint=model, measure=m)(x) for m in ("ssim", "mse", "discriminator")}
    torch.testing.assert_close(found["mse"], -((out.restored - x) ** 2).mean((1, 2, 3)))
    torch.testing.assert_close(found["ssim"], ssim(x, out.restored))
    torch.testing.assert_close(found["discriminator"], out.realness)
    assert out.restored.shape == x.shape and out.restored.abs().max() <= 1


def test_other_networks_and_measures_are_refused():
    with pytest.raises(ValueError, match="needs a FaceQgenModel, found MobileFaceNetRecognizer"):
        create_method("faceqgen", checkpoint=toy_recognizer())
    with pytest.raises(ValueError, match="must be one of ssim, mse, discriminator, found 'psnr'"):
        create_method("faceqgen", checkpoint=toy_faceqgen(), measure="psnr")

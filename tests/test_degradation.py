"""d(x): seeds, neighbours, JPEG against Pillow's, and the distribution of the released code."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from degradation_distribution import against_golden
from difiqa_hf.degradation import degrade, degrade_together
from difiqa_hf.degradation.canvas import gaussian_kernel
from difiqa_hf.degradation.jpeg import jpeg
from difiqa_hf.degradation.matrices import blur_matrix, resize_matrix
from difiqa_hf.degradation.noise import add_noise
from difiqa_hf.degradation.plan import Step, draw_plans


def smooth_images(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random images (count, 3, 112, 112) in [-1, 1]."""
    coarse = torch.randn(count, 3, 14, 14, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=112, mode="bicubic").clamp(-1, 1)


def test_an_image_is_degraded_by_its_seed_alone():
    x = smooth_images(3)
    together = degrade(x, [5, 6, 7])
    assert torch.equal(together[1:2], degrade(x[1:2], [6]))
    assert torch.equal(together.flip(0), degrade(x.flip(0), [7, 6, 5]))
    assert not torch.equal(together[0], degrade(x[:1], [8])[0])


def test_shape_range_and_global_generator_are_kept():
    x = smooth_images(2)
    state = torch.random.get_rng_state()
    y = degrade(x, [1, 2])
    assert y.shape == x.shape and y.dtype == x.dtype and y.abs().max() <= 1
    assert torch.equal(state, torch.random.get_rng_state())


def test_number_of_seeds_is_checked():
    with pytest.raises(ValueError, match="1 seeds for 2 images"):
        degrade(smooth_images(2), [1])


def test_images_of_a_batch_are_computed_together_with_the_same_result():
    """Fewer than eight levels, where a sum was rounded otherwise and a JPEG coefficient moved; hardly anywhere."""
    x = smooth_images(12)
    one_by_one, together = degrade(x, range(12)), degrade_together(x, range(12))
    difference = (one_by_one - together).abs() * 127.5
    assert difference.max() < 8 and difference.mean() < 0.02


def test_other_sizes_and_no_images():
    assert degrade(torch.zeros(2, 3, 96, 64), [1, 2]).shape == (2, 3, 96, 64)
    assert degrade(torch.zeros(0, 3, 112, 112), []).shape == (0, 3, 112, 112)


def test_a_fifth_is_degraded_twice():
    rounds = torch.tensor([len(draw_plans(seed)) for seed in range(4000)])
    assert (rounds > 1).float().mean().item() == pytest.approx(0.2 + 0.01 - 0.002, abs=0.02)
    assert len(draw_plans(0, rounds=3)) == 3


CV2_MODES = {"linear": 1, "cubic": 2, "area": 3}


@pytest.mark.parametrize(("before", "after"), [(512, 128), (512, 77), (256, 200), (77, 128), (64, 128)])
@pytest.mark.parametrize("mode", CV2_MODES)
def test_resizing_is_opencvs(mode, before, after):
    cv2 = pytest.importorskip("cv2")
    image = np.random.default_rng(0).random((before, before), dtype=np.float32)
    matrix = resize_matrix(mode, before, after).numpy()
    expected = cv2.resize(image, (after, after), interpolation=CV2_MODES[mode])
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-5)


@pytest.mark.parametrize(("mode", "pillow"), [("smooth-cubic", "BICUBIC"), ("smooth-linear", "BILINEAR")])
def test_antialiased_resizing_is_pillows(mode, pillow):
    image = np.random.default_rng(0).random((128, 128), dtype=np.float32)
    matrix = resize_matrix(mode, 128, 112).numpy()
    expected = np.asarray(Image.fromarray(image).resize((112, 112), Image.Resampling[pillow]))
    np.testing.assert_allclose(matrix @ image @ matrix.T, expected, atol=1e-5)


def test_blurs_are_convolutions():
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    step = Step("blur", variances=(3.0, 3.0), radius=5)
    matrix = blur_matrix(3.0, 5, 64)
    expected = F.conv2d(F.pad(image, (12,) * 4, mode="reflect"), gaussian_kernel(step)[None, None])
    torch.testing.assert_close(matrix @ image @ matrix.T, expected, atol=1e-5, rtol=0)
    stretched = gaussian_kernel(Step("stretched-blur", variances=(6.0, 0.5), angle=0.0, radius=12))
    offsets = torch.arange(-12, 13).float()
    assert (stretched.sum(0) * offsets**2).sum().item() == pytest.approx(6.0, rel=0.02)
    assert (stretched.sum(1) * offsets**2).sum().item() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(("kind", "same"), [(0.9, False), (0.1, True)])
def test_noise_is_of_its_kind_and_level(kind, same):
    image = torch.full((1, 3, 128, 128), 0.5)
    noise = add_noise(image, Step("noise", level=0.05, type=kind, seed=3)) - 0.5
    assert noise.std().item() == pytest.approx(0.05, rel=0.03)
    assert torch.equal(noise[:, 0], noise[:, 1]) == same


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_jpeg_loses_what_pillow_loses(quality):
    image = smooth_images(1, seed=3)[0] / 2 + 0.5
    levels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    expected = np.asarray(Image.open(buffer)).astype(float)
    ours = (
        jpeg(torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255, quality)[0].permute(1, 2, 0).numpy() * 255
    )
    lost = np.abs(expected - levels).mean()
    assert np.abs(ours - expected).mean() < 0.35 * lost + 0.5


def test_distribution_is_that_of_the_released_code(shared):
    """Every quantile within a tenth of the golden range; single operations are compared one by one above."""
    for name, found in against_golden(shared)["statistics"].items():
        assert found["apart"] < 0.1, (name, found)

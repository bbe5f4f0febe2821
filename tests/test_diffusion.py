"""Eq. 1 to 6 against closed forms and second implementations."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from difiqa_hf.diffusion import (
    NoiseStream,
    ReleasedNoise,
    add_noise,
    alphas_cumprod,
    blend,
    degradation_weight,
    image_digests,
    posterior,
    released_posterior,
    restore,
    stable_seed,
)


@pytest.fixture(scope="module")
def scheduler():
    return DDPMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2")


@pytest.fixture(scope="module")
def alpha_bar(scheduler):
    return alphas_cumprod(scheduler)


def images(count=2, seed=0):
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_noise_levels_are_the_measured_ones(alpha_bar):
    levels = (1 - alpha_bar).sqrt()
    for index, expected in {0: 0.00643, 3: 0.01394, 4: 0.01597, 5: 0.01790, 99: 0.1671}.items():
        assert levels[index].item() == pytest.approx(expected, abs=6e-6 if index < 10 else 6e-5)


def test_forward_noise_has_its_standard_deviation_in_half_precision_too(alpha_bar):
    clean = torch.zeros(4, 3, 112, 112, dtype=torch.bfloat16)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(clean, noise, torch.full((4,), 4), alpha_bar)
    assert noisy.dtype == torch.float32
    assert noisy.std().item() == pytest.approx(0.01597, rel=0.01)


def test_degradation_weight_is_eq_6():
    t = torch.tensor([0, 4, 50, 100, 300])
    expected = [0.0, math.sin(0.04 * math.pi / 2), math.sqrt(0.5), 1.0, 1.0]
    assert torch.allclose(degradation_weight(t, 100), torch.tensor(expected, dtype=torch.double))
    assert degradation_weight(torch.tensor([100]), 1000).item() == pytest.approx(0.1564, abs=1e-4)


def test_blend_goes_from_clean_to_degraded():
    clean, degraded = images(3, 1), images(3, 2)
    mixed = blend(clean, degraded, torch.tensor([0, 50, 100]), 100)
    assert torch.allclose(mixed[0], clean[0])
    assert torch.allclose(mixed[2], degraded[2], atol=1e-6)
    weight = math.sqrt(0.5)
    assert torch.allclose(mixed[1], (1 - weight) * clean[1] + weight * degraded[1], atol=1e-6)


@pytest.mark.parametrize("timestep", [1, 4, 99])
def test_posterior_equals_ddim_with_eta_one(timestep, alpha_bar):
    """On adjacent indices the DDPM posterior (Eq. 3, 4) is DDIM's step at eta = 1: a second derivation."""
    x0, xt = images(1, 3), images(1, 4)
    mean, deviation = posterior(x0, xt, timestep, alpha_bar)
    a, p = alpha_bar[timestep].item(), alpha_bar[timestep - 1].item()
    sigma = math.sqrt((1 - p) / (1 - a)) * math.sqrt(1 - a / p)
    epsilon = (xt - math.sqrt(a) * x0) / math.sqrt(1 - a)
    ddim = math.sqrt(p) * x0 + math.sqrt(1 - p - sigma**2) * epsilon
    assert deviation == pytest.approx(sigma, rel=1e-9)
    assert torch.allclose(mean, ddim, atol=1e-5)


def test_posterior_agrees_with_diffusers(scheduler, alpha_bar):
    x0, xt = images(1, 3), images(1, 4)
    ddim = DDIMScheduler.from_config(scheduler.config, clip_sample=False)
    ddim.set_timesteps(1000)
    step = ddim.step(x0, 60, xt, eta=1.0, variance_noise=torch.zeros_like(xt)).prev_sample
    assert torch.allclose(posterior(x0, xt, 60, alpha_bar)[0], step, atol=1e-4)


def test_restore_calls_the_network_once_an_index_and_returns_its_last_prediction(alpha_bar):
    target, calls = images(1, 5), []

    def denoise(sample, timestep):
        calls.append(timestep)
        return target

    noise = NoiseStream([1], target.shape[1:])
    restored = restore(denoise, images(1, 6), range(4, -1, -1), alpha_bar, noise)
    assert calls == [4, 3, 2, 1, 0]
    assert torch.allclose(restored, target, atol=1e-6)  # at index 0 the posterior is the prediction itself


def test_noise_belongs_to_the_image():
    shape = (3, 4, 4)
    one, both = NoiseStream([7], shape), NoiseStream([3, 7], shape)
    assert torch.equal(one()[0], both()[1])
    assert torch.equal(one()[0], both()[1])
    assert not torch.equal(both()[0], both()[1])


def test_threads_draw_the_same_noise():
    rows = torch.empty(2, 5, 3, 16, 16)
    for threads, draws in zip((1, 3), rows, strict=True):
        NoiseStream(range(5), draws.shape[1:])._fill(draws, threads)
    assert torch.equal(*rows)
    assert torch.equal(rows[0], NoiseStream(range(5), rows.shape[2:])())
    one_by_one = [torch.randn(rows.shape[2:], generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    assert torch.equal(rows[0], torch.stack(one_by_one))
    with torch.inference_mode():  # which is of a thread
        NoiseStream(range(5), rows.shape[2:])._fill(torch.empty(rows.shape[1:]), 3)

    def broken(*_, **__):
        raise MemoryError("none left")

    with pytest.raises(MemoryError, match="none left"):  # of a thread
        NoiseStream(range(5), rows.shape[2:], sample=broken)._fill(rows[0], 3)


def test_seeds_and_digests_are_stable():
    assert stable_seed(0, "a", 1) == stable_seed(0, "a", 1) != stable_seed(0, "a", 2)
    assert stable_seed("a", "bc") != stable_seed("ab", "c")
    assert stable_seed(0, "x") == 5295597287723630658  # the same on every machine and in every release
    x = images(2)
    assert image_digests(x) == image_digests(x.flip(0))[::-1]
    assert image_digests(x[:1]) != image_digests(x[:1].flip(-1))


def test_released_noise_is_the_global_order():
    """Three groups of images (64 // 20 = 3 at once), asked for in uneven batches of rows that straddle the groups."""
    count, repeats, timestep, shape = 7, 10, 2, (1, 2, 2)
    torch.manual_seed(11)
    expected = {}
    for first in range(0, count, 3):
        images = range(first, min(first + 3, count))
        for step in range(1 + timestep):
            noise = torch.randn(2 * len(images) * repeats, *shape)
            order = [(i, r, side) for side in (False, True) for i in images for r in range(repeats)]
            expected |= {(row, step): value for row, value in zip(order, noise, strict=True)}
    rows = [(i, r, side) for i in range(count) for r in range(repeats) for side in (False, True)]
    source = ReleasedNoise(11, (count, *shape), repeats, 2, timestep)
    for start in range(0, len(rows), 33):
        part = rows[start : start + 33]
        draw = source(part)
        for step in range(1 + timestep):
            assert torch.equal(draw(), torch.stack([expected[row, step] for row in part]))


@pytest.mark.parametrize("timestep", [1, 4])
def test_released_posterior_is_the_posterior_but_for_rounding(timestep, alpha_bar):
    x0, xt = images(1, 3), images(1, 4)
    mean, deviation = posterior(x0, xt, timestep, alpha_bar)
    released_mean, released_deviation = released_posterior(x0, xt, timestep, alpha_bar)
    assert released_deviation == pytest.approx(deviation, rel=1e-3) and released_deviation != deviation
    assert torch.allclose(mean, released_mean, atol=2e-3)
    assert torch.equal(released_posterior(x0, xt, 0, alpha_bar)[0], x0)

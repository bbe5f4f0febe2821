"""Eq. 1 to 6 of the paper as pure functions on tensors; schedules come from diffusers' schedulers.

Notation (paper -> here)
    x_0, x', x_t, x-hat   clean, degraded, noisy, restored: (batch, 3, height, width) in [-1, 1]
    t                     timestep: 0-based index, so "t = 5 forward steps" is index 4
    beta_t, alpha-bar_t   betas[t], alphas_cumprod[t]: float64, because 1 - alpha-bar_t cancels in float32
    alpha-umlaut_t        degradation_weight(t)
    T (of Eq. 6)          degradation_timesteps
"""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor


def alphas_cumprod(scheduler) -> Tensor:
    """alpha-bar of Eq. 2 as float64 (num_train_timesteps,), from a diffusers scheduler's betas."""
    return torch.cumprod(1 - scheduler.betas.double(), 0)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, torch.float32).view(-1, 1, 1, 1)


def add_noise(clean: Tensor, noise: Tensor, timestep: Tensor, alpha_bar: Tensor) -> Tensor:
    """Eq. 2: x_t = sqrt(alpha-bar_t) x_0 + sqrt(1 - alpha-bar_t) noise, always in float32.

    In bfloat16 the noise of t = 5 (standard deviation .016) would vanish.

    Args:
        clean, noise: (batch, 3, height, width).
        timestep: (batch,) 0-based indices.
        alpha_bar: (num_train_timesteps,) float64.

    Returns:
        x_t, float32.
    """
    alpha = alpha_bar.to(timestep.device)[timestep]
    return _column(alpha.sqrt(), clean) * clean.float() + _column((1 - alpha).sqrt(), clean) * noise.float()


def degradation_weight(timestep: Tensor, degradation_timesteps: int) -> Tensor:
    """alpha-umlaut of Eq. 6: sin(t / T * pi / 2), float64 (batch,), held at 1 beyond T."""
    return torch.sin((timestep.double() / degradation_timesteps).clamp(max=1) * math.pi / 2)


def blend(clean: Tensor, degraded: Tensor, timestep: Tensor, degradation_timesteps: int) -> Tensor:
    """Eq. 6: x'_t = (1 - w) x_0 + w x' with w = degradation_weight(t); all images (batch, 3, height, width)."""
    weight = _column(degradation_weight(timestep, degradation_timesteps), clean)
    return (1 - weight) * clean + weight * degraded


def posterior(
    restored: Tensor, noisy: Tensor, timestep: int, alpha_bar: Tensor, target: int | None = None
) -> tuple[Tensor, float]:
    """Eq. 3 and 4: mean (batch, 3, height, width) and standard deviation of q(x_{t-1} | x_t, x_0 = restored).

    The same for any earlier index: `target` is what becomes of t - 1.

    The paper prints sqrt(alpha-bar_t) before (1 - alpha-bar_{t-1}); sqrt(alpha_t) is meant, and used.
    """
    alpha = alpha_bar[timestep].item()
    target = timestep - 1 if target is None else target
    previous = alpha_bar[target].item() if target >= 0 else 1.0
    beta = 1 - alpha / previous
    mean = (math.sqrt(previous) * beta / (1 - alpha)) * restored
    mean = mean + (math.sqrt(alpha / previous) * (1 - previous) / (1 - alpha)) * noisy
    return mean, math.sqrt((1 - previous) / (1 - alpha) * beta)


def released_posterior(
    restored: Tensor, noisy: Tensor, timestep: int, alpha_bar: Tensor, target: int | None = None
) -> tuple[Tensor, float]:
    """`posterior` as the released code computes it: DDIM at eta = 1, in float32.

    There 1 - alpha-bar cancels, which makes the deviation wrong by 1e-4 and the weight of the noise by up to 7e-4. Its
    published scores contain that; the images that it restores differ visibly in the third digit.
    """
    target = timestep - 1 if target is None else target
    if target < 0:
        return restored, 0.0
    exact = alpha_bar[timestep].item()
    now, then = alpha_bar[timestep].float(), alpha_bar[target].float()
    epsilon = (math.sqrt(1 / exact) * noisy - restored) / math.sqrt(1 / exact - 1)
    deviation = ((1 - now / then) * (1 - then) / (1 - now)).sqrt()
    mean = restored * then.sqrt().item() + (1 - then - deviation**2).sqrt().item() * epsilon
    return mean, deviation.item()


def backward_indices(timestep: int, steps: int | None = None) -> list[int]:
    """Where the denoiser is asked on the way back from `timestep`: everywhere, or at `steps` evenly spaced indices."""
    count = timestep + 1
    return [timestep - i * count // (steps or count) for i in range(steps or count)]


def restore(
    denoise: Callable[[Tensor, int], Tensor],
    noisy: Tensor,
    indices: Sequence[int],
    alpha_bar: Tensor,
    draw: Callable[[], Tensor],
    step: Callable[..., tuple[Tensor, float]] = posterior,
) -> Tensor:
    """Backward process: from `noisy` down to x-hat by Eq. 3, one network call an index.

    Args:
        denoise: (x_t, t) -> predicted x_0, same shape; clamped here to [-1, 1].
        noisy: (batch, 3, height, width) at the first of `indices`.
        indices: 0-based, falling, see `backward_indices`; what the network predicts at the last one is x-hat.
        draw: returns fresh standard normal noise of that shape; called once between two indices.
        step: mean and standard deviation of one step back.

    Returns:
        Restored images (batch, 3, height, width) in [-1, 1], float32.
    """
    sample = noisy
    for t, target in zip(indices, (*indices[1:], None), strict=True):
        restored = denoise(sample, t).float().clamp(-1, 1)
        if target is not None:
            mean, deviation = step(restored, sample, t, alpha_bar, target)
            sample = mean + deviation * draw()
    return restored


def stable_seed(*parts: object) -> int:
    """A 63-bit seed from what a random draw belongs to, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def image_digests(pixel_values: Tensor) -> list[str]:
    """A name for every image, made of its own pixels (rounded to 8 bits): it draws the same noise in any batch."""
    levels = ((pixel_values.float() + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)
    return [hashlib.blake2b(image.numpy().tobytes(), digest_size=16).hexdigest() for image in levels]


class NoiseStream:
    """One generator per image; `draw()` stacks one draw of each: standard normal, or uniform in [0, 1); float32.

    The generators live on the CPU whatever `device` is, so that a GPU sees the same noise; there several threads draw,
    or the GPU would wait for one.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        sample: Callable[..., Tensor] = torch.randn,
    ):
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._shape, self._device, self._sample = tuple(shape), device, sample

    def __call__(self) -> Tensor:
        on_gpu = torch.device(self._device).type == "cuda"
        draws = torch.empty(len(self._generators), *self._shape, pin_memory=on_gpu)
        self._fill(draws, _idle_cores() if on_gpu else 1)
        return draws.to(self._device, non_blocking=on_gpu)

    def _fill(self, draws: Tensor, threads: int) -> None:
        """One draw of each generator into its row of `draws` (images, *shape); a thread takes every so manyth row."""
        inference = torch.is_inference_mode_enabled()  # of this thread only

        def fill(first: int) -> None:
            with torch.inference_mode(inference):
                for row, generator in zip(draws[first::threads], self._generators[first::threads], strict=True):
                    self._sample(self._shape, generator=generator, out=row)

        if threads == 1:
            fill(0)
        else:
            list(_pool(threads).map(fill, range(threads)))


def _idle_cores() -> int:
    """Cores for each process of this machine that shares its GPUs; while noise is drawn, they have little else to do.

    Not torch's number of threads, which launchers set to one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


RELEASED_BATCH = 64  # copies of images that the released code draws noise for at once


class ReleasedNoise:
    """Noise in the order of the released code: one generator for the whole call, so scores depend on the neighbours.

    The released code draws from PyTorch's global CPU generator: after `torch.manual_seed(seed)` it sees these numbers.
    It takes 64 // (2 n) images at once (at least one) and draws for all their copies, (side, image, repeat): once for
    the forward step, then for each of the t steps back that end at an index >= 0. The last of these belongs to the
    redundant network call at (0, 0), which we skip: its noise is drawn all the same, and not used.

    Args:
        seed: of the generator.
        shape: (images, 3, height, width) of all images of the call.
        num_repeats: n of Eq. 7.
        num_sides: 2 with mirrored images, else 1.
        timestep: t, the number of forward steps.
        device: where the noise is wanted.
    """

    def __init__(self, seed: int, shape: Sequence[int], num_repeats: int, num_sides: int, timestep: int, device="cpu"):
        self._generator = torch.Generator().manual_seed(seed)
        self._count, *self._image = shape
        self._layout, self._steps, self._device = (num_sides, num_repeats), timestep + 1, device
        self._size = max(1, RELEASED_BATCH // (2 * num_repeats))
        self._draws: dict[int, Tensor] = {}
        self._next = 0

    def __call__(self, rows: Sequence[tuple[int, int, bool]]) -> Callable[[], Tensor]:
        """`draw` of `restore` for rows (image, repeat, side); images must not descend from call to call."""
        groups = [image // self._size for image, _, _ in rows]
        self._draws = {group: draws for group, draws in self._draws.items() if group >= min(groups)}
        while self._next <= max(groups):
            self._draws[self._next] = self._draw_group(self._next)
            self._next += 1
        picked = [
            self._draws[group][:, int(side), image % self._size, repeat]
            for group, (image, repeat, side) in zip(groups, rows, strict=True)
        ]
        steps = iter(torch.stack(picked, 1))
        return lambda: next(steps).to(self._device)

    def _draw_group(self, group: int) -> Tensor:
        """All noise of a group: (draws, sides, images, repeats, 3, height, width)."""
        images = min(self._size, self._count - group * self._size)
        sides, repeats = self._layout
        shape = (sides * images * repeats, *self._image)
        draws = torch.stack([torch.randn(shape, generator=self._generator) for _ in range(self._steps)])
        return draws.unflatten(1, (sides, images, repeats))

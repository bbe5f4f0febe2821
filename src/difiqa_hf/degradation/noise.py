"""Gaussian noise of three kinds."""

import torch
from torch import Tensor

from difiqa_hf.degradation.jpeg import mix
from difiqa_hf.degradation.plan import Step


def add_noise(image: Tensor, step: Step) -> Tensor:
    """Gaussian noise of one of three kinds: independent colours (p = .4), grey (.4), correlated colours (.2)."""
    generator = torch.Generator(image.device).manual_seed(step.seed)
    planes = 1 if step.type < 0.4 else 3
    noise = torch.randn(1, planes, *image.shape[2:], generator=generator, device=image.device)
    if 0.4 <= step.type <= 0.6:
        noise = mix(_colour_root(step.seed).to(image.device), noise)
    else:
        noise.mul_(step.level)
    return (noise.add_(image) if planes == 3 else image + noise).clamp_(0, 1)


def _colour_root(seed: int) -> Tensor:
    """A (3, 3) root of a random covariance; its largest standard deviation is 25 levels."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.svd(torch.rand(3, 3, generator=generator))[0]
    covariance = (turn.T @ torch.diag(torch.rand(3, generator=generator)) @ turn).abs() * (25 / 255) ** 2
    eigenvalues, vectors = torch.linalg.eigh(covariance)  # which abs() may have made negative
    return vectors * eigenvalues.abs().sqrt()

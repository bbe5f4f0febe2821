"""PreFIQs: quality as agreement of a recogniser with its own pruned copy (CVPRW 2026, arXiv 2605.13396)."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difiqa_hf.methods.base import RecognizerMethod
from difiqa_hf.recognizers import embed

SCOPES = ("global", "layer")


class PreFIQs(RecognizerMethod):
    """How little the embedding moves when the smallest weights are removed (CVPRW 2026, arXiv 2605.13396).

    Args:
        recognizer: a model (a plain callable has no weights to prune), or what `load_recognizer` takes.
        sparsity: fraction of the weights of convolutions and linear layers that is set to zero.
        scope: "global", the smallest of all weights, or "layer", the same fraction of every layer; the paper's summary
            leaves it open.
        device: where to run.
        seed: accepted because every method takes it; without effect.
    """

    name = "prefiqs"
    kind = "analytical"
    score_range = (0.0, 1.0)
    paper = "PreFIQs, CVPRW 2026 (arXiv 2605.13396)"
    code_license = "none released"
    parity = (
        "formula, from a summary of the paper, checked on real networks: pruning equals torch's, and the sign; no "
        "code or scores were released"
    )

    def __init__(
        self, recognizer=None, sparsity: float = 0.4, scope: str = "global", device: str = "cpu", seed: int = 0
    ):
        super().__init__(recognizer, device, seed, sparsity=sparsity, scope=scope)
        if not isinstance(self.recognizer, nn.Module):
            raise ValueError(f"PreFIQs prunes weights, and a {type(self.recognizer).__name__} shows none; pass a model")
        self.pruned = prune(self.recognizer, sparsity, scope)

    def score(self, pixel_values: Tensor) -> Tensor:
        x = pixel_values.to(self.device)
        full, pruned = (F.normalize(embed(model, x)) for model in (self.recognizer, self.pruned))
        return (1 - (full - pruned).norm(dim=1) / 2).clamp(0, 1)  # rounding may leave the range


@torch.no_grad()
def prune(model: nn.Module, sparsity: float, scope: str = "global") -> nn.Module:
    """A copy of `model` without its smallest weights: unstructured magnitude pruning.

    Biases, normalisations and activations keep theirs. Exactly floor(sparsity * count) weights go; of equal ones (there
    are many in dequantised networks) the first in order.
    """
    if not 0 <= sparsity < 1 or scope not in SCOPES:
        raise ValueError(f"sparsity must lie in [0, 1) and scope be one of {SCOPES}, found {sparsity} and {scope!r}")
    pruned = copy.deepcopy(model)
    weights = [module.weight for module in pruned.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for group in [weights] if scope == "global" else [[weight] for weight in weights]:
        keep = _keep(torch.cat([weight.detach().flatten().abs() for weight in group]), sparsity)
        for weight, mask in zip(group, keep.split([weight.numel() for weight in group]), strict=True):
            weight.mul_(mask.view_as(weight))
    return pruned


def _keep(magnitude: Tensor, sparsity: float) -> Tensor:
    """Mask (count,) without the floor(sparsity * count) smallest values."""
    count = int(sparsity * len(magnitude))
    if count == 0:
        return torch.ones_like(magnitude, dtype=torch.bool)
    limit = magnitude.kthvalue(count).values
    smaller, equal = magnitude < limit, magnitude == limit
    return ~(smaller | (equal & (equal.cumsum(0) <= count - smaller.sum())))

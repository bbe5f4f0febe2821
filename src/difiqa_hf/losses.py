"""Losses of the methods that DifFIQA is compared with: pure functions on a batch, vectorised.

Quality is (batch,), identities (batch,) integers, embeddings (batch, dim); pairs are all mated pairs of the batch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.labels import mated_pairs


def mutual_likelihood_score(mean_a: Tensor, log_variance_a: Tensor, mean_b: Tensor, log_variance_b: Tensor) -> Tensor:
    """PFE, Eq. 3: log likelihood (...) that two embeddings with uncertainty are the same point.

    -1/2 sum_d [(mu_a - mu_b)^2 / (sigma_a^2 + sigma_b^2) + log(sigma_a^2 + sigma_b^2)] - D/2 log(2 pi)

    Args:
        mean_a, mean_b: mu, (..., dim), L2-normalised; they broadcast, so that [:, None] against [None] is a matrix.
        log_variance_a, log_variance_b: log sigma^2, of the same shapes.
    """
    log_variance = torch.logaddexp(log_variance_a, log_variance_b)
    terms = (mean_a - mean_b).square() * (-log_variance).exp() + log_variance
    return -terms.sum(-1) / 2 - terms.shape[-1] / 2 * math.log(2 * math.pi)


def mutual_likelihood_loss(mean: Tensor, log_variance: Tensor, identities: Tensor) -> Tensor:
    """PFE's loss, a scalar: minus twice the score without its constant, averaged over the mated pairs of a batch."""
    first, second = _pairs(identities)
    score = mutual_likelihood_score(mean[first], log_variance[first], mean[second], log_variance[second])
    return (-2 * score - mean.shape[-1] * math.log(2 * math.pi)).mean()


def predictive_confidence_loss(quality: Tensor, embeddings: Tensor, identities: Tensor) -> Tensor:
    """PCNet's loss, a scalar: squared difference between a pair's cosine and the lower of its two qualities."""
    first, second = _pairs(identities)
    similarity = F.cosine_similarity(embeddings[first], embeddings[second])
    return (similarity - torch.minimum(quality[first], quality[second])).square().mean()


def identification_quality_loss(logits: Tensor, target: Tensor, identities: Tensor) -> Tensor:
    """LightQNet's loss, a scalar: cross entropy between the lower quality of a pair and its target.

    Args:
        logits: (batch,), quality before its sigmoid.
        target: (batch, batch) for all pairs, `labels.identification_target` of the cosines.
    """
    first, second = _pairs(identities)
    lower = torch.minimum(logits[first], logits[second])
    return F.binary_cross_entropy_with_logits(lower, target[first, second])


def quality_divergence(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """LightQNet's distillation, a scalar: mean KL(p || q) of two Bernoulli qualities, p the teacher's.

    Both are logits (batch,). The teacher is not differentiated.
    """
    p = teacher_logits.detach().sigmoid()
    return F.binary_cross_entropy_with_logits(logits, p) - F.binary_cross_entropy_with_logits(
        teacher_logits.detach(), p
    )


def classifiability_loss(quality: Tensor, target: Tensor) -> Tensor:
    """CR-FIQA's loss, a scalar: SmoothL1 with beta .5 to `labels.classifiability`; the paper weighs it by 10."""
    return F.smooth_l1_loss(quality, target, beta=0.5)


MAGFACE_LENGTHS = (10.0, 110.0)  # l and u: embeddings are taken to be between them


def magface_margin(length: Tensor, low: float = 0.45, high: float = 0.8) -> Tensor:
    """MagFace's margin m(a) (batch,): linear in the embedding's length a, from `low` at 10 to `high` at 110."""
    shortest, longest = MAGFACE_LENGTHS
    return low + (high - low) / (longest - shortest) * (length.clamp(shortest, longest) - shortest)


def magface_regulariser(length: Tensor) -> Tensor:
    """MagFace's g(a) = a / u^2 + 1 / a (batch,), smallest at a = u: longer is better for what is easy to classify."""
    length = length.clamp(*MAGFACE_LENGTHS)
    return length / MAGFACE_LENGTHS[1] ** 2 + 1 / length


def _pairs(identities: Tensor) -> tuple[Tensor, Tensor]:
    """First and second image of every mated pair.

    Raises:
        ValueError: if there is none.
    """
    pairs = mated_pairs(identities)
    if not len(pairs):
        raise ValueError(f"no two of the {len(identities)} images show the same person; batches need mated pairs")
    return pairs[:, 0], pairs[:, 1]

"""What the recipes of train_regressor.py do to labels, images and losses: DifFIQA(R), eDifFIQA and AI-KD."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.alignment import ARCFACE_TEMPLATE, align
from difiqa_hf.diffusion import stable_seed


@dataclass(frozen=True)
class Recipe:
    """How a regressor learns.

    Attributes:
        head_lr, base_lr: learning rates of the quality head and of the recogniser.
        base_tensors: how many of the recogniser's last parameter tensors learn; None for all.
        cosine: the learning rate falls over the run; otherwise it is constant (with `sgd` after a warm-up).
        mirror: every second face.
        sgd: with momentum (head .9, recogniser .1), instead of Adam.
        head: hidden width; None for one linear layer.
        beta: of the smooth L1 loss; 0 for L1.
        quality, consistency: weights of that loss and of 1 - cos(student, teacher).
        identity: how much a label falls with the distance to the person's centre, which needs `least` images.
        mated: share of the label that is not DifFIQA's but how much nearer a face is to its person than to others; it
            leaves out faces of which that is not known.
        others: share of the label that is what other methods say of the view (--teachers), the mean of their ranks.
        ranks: a label is its place among all, 0 to 1; otherwise it keeps its distance to the lowest and the highest,
            and where views were degraded the photographs themselves share a few hundredths of that range.
        misalign: jitter of the five points of the student's crop, in pixels.
    """

    head_lr: float
    base_lr: float
    epochs: int
    batch: int
    base_tensors: int | None = 100
    cosine: bool = False
    mirror: bool = False
    sgd: bool = False
    head: int | None = None
    beta: float = 0.0
    quality: float = 1.0
    consistency: float = 0.0
    identity: float = 0.0
    least: int = 10
    mated: float = 0.0
    others: float = 0.0
    ranks: bool = False
    misalign: float = 0.0


EDIFFIQA = dict(head=1024, quality=0.5, consistency=0.5, identity=0.5)
AI_KD = dict(head=1024, consistency=1.0, beta=0.5, misalign=3.0)
OURS = dict(base_tensors=None, cosine=True, mirror=True, least=5)

# The first of each pair is the released one, for 2 M labels of VGGFace2; the -small ones are ours, for some thousands.
# The numbers are those of the authors with R100: mean pAUC(.3) of seven sets and four recognisers for difiqa-r, mean
# pAUC(.2) of eight and four for ediffiqa, against .7518 for difiqa-r; six sets and ArcFace for ai-kd, against .724.
RECIPES = {
    "difiqa-r":       Recipe(1e-3, 1e-4, epochs=1, batch=128),                            # pAUC .677
    "difiqa-r-small": Recipe(2e-3, 5e-4, epochs=8, batch=64, **OURS),
    "difiqa-r-mated": Recipe(2e-3, 5e-4, epochs=8, batch=64, mated=0.5, **OURS),          # ours; see model_cards
    "difiqa-r-ranks": Recipe(2e-3, 5e-4, epochs=8, batch=64, ranks=True, **OURS),         # ours
    "difiqa-r-consensus": Recipe(2e-3, 5e-4, epochs=8, batch=64, ranks=True, others=0.8, **OURS),  # ours
    "ediffiqa":       Recipe(1e-3, 1e-4, epochs=3, batch=128, **EDIFFIQA),                # pAUC .755
    "ediffiqa-small": Recipe(2e-3, 5e-4, epochs=8, batch=64, **EDIFFIQA | OURS),
    "ai-kd":          Recipe(5e-2, 5e-2, epochs=1, batch=64, sgd=True, **AI_KD),          # pAUC .710
    "ai-kd-small":    Recipe(2e-3, 5e-4, epochs=8, batch=64, **AI_KD | OURS),
}  # fmt: skip
BEST_SHARE = 0.2  # of a person's images, those with the highest labels, make the centre


def identity_centres(embeddings: Tensor, labels: Tensor, identities: list[str | None], least: int) -> Tensor:
    """For every image the mean embedding of its person's best fifth, (count, dim); zero where there are few images.

    Args:
        embeddings: (count, dim), unit length.
        labels: (count,).
        identities: a name an image, None where it must not be used.
        least: how many images a person needs (eDifFIQA: 10).
    """
    rows: dict[str, list[int]] = {}
    for row, person in enumerate(identities):
        if person is not None:
            rows.setdefault(person, []).append(row)
    centres = torch.zeros_like(embeddings)
    for own in map(torch.tensor, rows.values()):
        if len(own) >= least:
            best = own[labels[own].argsort(descending=True, stable=True)[: max(1, int(BEST_SHARE * len(own)))]]
            centres[own] = embeddings[best].mean(0)
    return centres


def optimised_labels(labels: Tensor, embeddings: Tensor, centres: Tensor, weight: float) -> Tensor:
    """eDifFIQA's labels (batch,): they fall by weight (1 - cos(e, centre)); without a centre they stay."""
    known = centres.square().sum(1) > 0
    distance = 1 - F.cosine_similarity(embeddings.detach().float(), centres)
    return torch.where(known, (labels - weight * distance).clamp(0, 1), labels)


def misaligned(view: Tensor, jitter: float, *owner) -> Tensor:
    """AI-KD's student image: `view` (3, 112, 112) uint8 aligned by points that are off by up to `jitter` pixels.

    The released code moves the points in the photograph; we have only the crop, and move them there.
    """
    rng = np.random.default_rng(stable_seed("misaligned", *owner))
    points = ARCFACE_TEMPLATE + rng.uniform(-jitter, jitter, ARCFACE_TEMPLATE.shape)
    return torch.from_numpy(np.array(align(view.permute(1, 2, 0).numpy(), points))).permute(2, 0, 1)


def regression_loss(quality: Tensor, embeddings: Tensor, labels: Tensor, teacher: Tensor, recipe: Recipe) -> Tensor:
    """Weighted sum of the quality loss and of 1 - cos(student, teacher): how far the embeddings have drifted."""
    error = F.smooth_l1_loss(quality, labels, beta=recipe.beta) if recipe.beta else F.l1_loss(quality, labels)
    loss = recipe.quality * error
    if recipe.consistency:
        loss = loss + recipe.consistency * (1 - F.cosine_similarity(embeddings.float(), teacher).mean())
    return loss

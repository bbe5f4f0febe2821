"""What each trainable method learns: its network on a backbone, the labels it needs, the loss of a batch."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from difiqa_hf import labels, losses
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.models.modeling_pfe import PFEModel


@dataclass(frozen=True)
class Batch:
    """pixel_values (batch, 3, 112, 112), identities (batch,), labels (batch,) and the recogniser's embeddings."""

    pixel_values: Tensor
    identities: Tensor
    labels: Tensor
    embeddings: Tensor


class Margin(nn.Module):
    """Class centres, and ArcFace's loss with an additive angular margin that may differ from image to image."""

    def __init__(self, classes: int, size: int, scale: float = 64.0):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, size) / size**0.5)
        self.scale = scale

    def forward(self, embeddings: Tensor, classes: Tensor, margin: Tensor | float) -> Tensor:
        """Cross entropy of s cos(theta + m) for the own class against s cos(theta) for the others, a scalar."""
        cosine = (F.normalize(embeddings.float()) @ F.normalize(self.centres).T).clamp(-1 + 1e-6, 1 - 1e-6)
        own = classes[:, None]
        moved = torch.cos(cosine.gather(1, own)[:, 0].arccos() + margin)
        return F.cross_entropy(self.scale * cosine.scatter(1, own, moved[:, None]), classes)


def regress(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    return lambda model, margin, batch: loss(model(batch.pixel_values).quality, batch.labels)


def explain_pairs(model, margin, batch: Batch) -> Tensor:
    """PCNet."""
    quality = model(batch.pixel_values).quality
    return losses.predictive_confidence_loss(quality, batch.embeddings, batch.identities)


def identify(model, margin, batch: Batch) -> Tensor:
    """LightQNet's identification quality, without the distillation into a smaller network."""
    unit = F.normalize(batch.embeddings.float())
    target = labels.identification_target(unit @ unit.T)
    logits = model(batch.pixel_values).quality.logit(eps=1e-6)
    return losses.identification_quality_loss(logits, target, batch.identities)


def embed_probabilistically(model, margin, batch: Batch) -> Tensor:
    """PFE."""
    out = model(batch.pixel_values)
    return losses.mutual_likelihood_loss(out.embeddings, out.log_variance, batch.identities)


def classify_and_rate(model, margin: Margin, batch: Batch) -> Tensor:
    """CR-FIQA: ArcFace (m .5), and 10 times the distance to the classifiability, which is not differentiated."""
    out = model(batch.pixel_values)
    target = labels.classifiability(out.embeddings.detach(), margin.centres.detach(), batch.identities)
    return margin(out.embeddings, batch.identities, 0.5) + 10 * losses.classifiability_loss(out.quality, target)


def classify_by_length(model, margin: Margin, batch: Batch) -> Tensor:
    """MagFace: a margin that grows with the length of the embedding, which lambda_g = 35 keeps from 110."""
    embeddings = model(batch.pixel_values).embeddings
    length = embeddings.float().norm(dim=1)
    loss = margin(embeddings, batch.identities, losses.magface_margin(length))
    return loss + 35 * losses.magface_regulariser(length).mean()


def regressor(backbone: PreTrainedModel, mapping: str) -> DifFIQARegressor:
    return DifFIQARegressor.from_embedder(backbone, output_mapping=mapping).requires_grad_(True)


def sdd_labels(embeddings: Tensor, identities: Tensor, seed: int) -> Tensor:
    """0 to 1 here, 0 to 100 in the official network: a fresh head starts near 0."""
    return labels.wasserstein_labels(embeddings, identities, seed=seed) / 100


def mated_labels(embeddings: Tensor, identities: Tensor, seed: int) -> Tensor:
    """FaceQnet's, with the image nearest to the others of a person for the best one: nobody rated ICAO compliance."""
    mated = labels.mated_similarity(embeddings, identities)
    is_reference = torch.zeros(len(mated), dtype=torch.bool)
    for person in identities.unique():
        own = (identities == person).nonzero()[:, 0]
        is_reference[own[mated[own].argmax()]] = True
    return labels.scale_to_unit(labels.reference_similarity(embeddings, identities, is_reference))


def no_labels(embeddings: Tensor, identities: Tensor, seed: int) -> Tensor:
    return torch.zeros(len(identities))


def smooth_l1_unit(quality: Tensor, target: Tensor) -> Tensor:
    """SmoothL1 as on the official scale of 0 to 100, where it turns linear at 1."""
    return F.smooth_l1_loss(quality, target, beta=0.01)


@dataclass(frozen=True)
class Objective:
    """How to make a method's network of a backbone, its labels, its loss, and whether it classifies identities."""

    build: Callable[[PreTrainedModel], PreTrainedModel]
    labels: Callable[[Tensor, Tensor, int], Tensor]
    loss: Callable[[nn.Module, Margin | None, Batch], Tensor]
    classifies: bool = False


OBJECTIVES = {
    "sdd-fiqa":  Objective(lambda b: regressor(b, "identity"), sdd_labels, regress(smooth_l1_unit)),
    "faceqnet":  Objective(lambda b: regressor(b, "identity"), mated_labels, regress(F.mse_loss)),
    "pcnet":     Objective(lambda b: regressor(b, "sigmoid"), no_labels, explain_pairs),
    "lightqnet": Objective(lambda b: regressor(b, "sigmoid"), no_labels, identify),
    "pfe":       Objective(PFEModel.from_embedder, no_labels, embed_probabilistically),
    "cr-fiqa":   Objective(lambda b: regressor(b, "identity"), no_labels, classify_and_rate, classifies=True),
    "magface":   Objective(lambda b: b.requires_grad_(True), no_labels, classify_by_length, classifies=True),
}  # fmt: skip

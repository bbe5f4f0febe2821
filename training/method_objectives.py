"""What each trainable method learns: its network on a backbone, what it needs of every image, the loss of a batch."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from difiqa_hf import labels, losses
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.models.modeling_faceqgen import FaceQgenConfig, FaceQgenModel
from difiqa_hf.models.modeling_lightqnet import WIDTHS, LightQNet, LightQNetConfig
from difiqa_hf.models.modeling_pfe import PFEModel
from images import to_pixel_values
from people import People, features


@dataclass(frozen=True)
class Run:
    """What an objective may ask of the run: people, the backbone to learn, the recogniser behind labels, the seed."""

    people: People
    backbone: PreTrainedModel
    recognizer: PreTrainedModel
    cache_dir: Path
    seed: int

    def backbone_features(self) -> Tensor:
        """(count, 2, features): of each image and of its mirror image, for what keeps the backbone frozen."""
        images = self.people.images
        views = [features(self.backbone, view, self.cache_dir) for view in (images, images.flip(-1))]
        return torch.stack(views, dim=1)

    def recognizer_features(self) -> Tensor:
        """(count, features): what the last layer of the label recogniser sees."""
        return features(self.recognizer, self.people.images, self.cache_dir)

    def embeddings(self) -> Tensor:
        """(count, dim): of the label recogniser, not normalised."""
        return head(self.recognizer, self.recognizer_features())

    def centres(self) -> Tensor:
        """(people, dim): mean direction of each person's images in the backbone, where its class centre starts."""
        unit = F.normalize(head(self.backbone, features(self.backbone, self.people.images, self.cache_dir)))
        sums = unit.new_zeros(len(self.people.names), unit.shape[1])
        return F.normalize(sums.index_add_(0, self.people.identities, unit))


@torch.no_grad()
def head(recognizer: PreTrainedModel, values: Tensor) -> Tensor:
    """Embeddings of what the last linear layer sees, on the CPU."""
    return torch.cat([recognizer.forward_head(part.to(recognizer.device)).cpu() for part in values.split(4096)])


class Objective(nn.Module, ABC):
    """What learns in a run. `network` is saved, the rest only helps it; the output of `forward` is the loss of a batch.

    A batch has `pixel_values` (batch, 3, 112, 112), of which those in `mirrored` (batch,) are mirrored, `identities`
    (batch,), and the rows of everything in `columns`: name -> (count, …) for all images.
    """

    def __init__(self, network: PreTrainedModel, **columns: Tensor):
        super().__init__()
        self.network, self.columns = network, columns

    @abstractmethod
    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """The loss, a scalar."""


def regressor(backbone: PreTrainedModel, **config) -> DifFIQARegressor:
    return DifFIQARegressor.from_embedder(backbone, **config).requires_grad_(True)


def view(values: Tensor, mirrored: Tensor) -> Tensor:
    """Of (batch, 2, …), image and mirror image, the one that the batch shows."""
    return values[torch.arange(len(values), device=values.device), mirrored.long()]


class SDDFIQA(Objective):
    """SmoothL1 to the Wasserstein labels; 0 to 1 here, 0 to 100 in the official network: a fresh head starts near 0."""

    def __init__(self, run: Run):
        targets = labels.wasserstein_labels(run.embeddings(), run.people.identities, seed=run.seed)
        super().__init__(regressor(run.backbone), targets=targets / 100)

    def forward(self, batch):
        # turns linear at 1 on the official scale
        return F.smooth_l1_loss(self.network(batch["pixel_values"]).quality, batch["targets"], beta=0.01)


class FaceQnet(Objective):
    """Squared error to the similarity with the person's reference; only the two new layers learn, as published."""

    def __init__(self, run: Run, head_width: int = 32):
        embeddings, identities = run.embeddings(), run.people.identities
        is_reference = labels.central_image(embeddings, identities) == torch.arange(len(identities))
        targets = labels.scale_to_unit(labels.reference_similarity(embeddings, identities, is_reference))
        seen = run.backbone_features()
        super().__init__(
            DifFIQARegressor.from_embedder(run.backbone, head_width=head_width),
            targets=targets,
            embeddings=head(run.backbone, seen.flatten(0, 1)).unflatten(0, seen.shape[:2]),
        )
        self.network.requires_grad_(False).head.requires_grad_(True)

    def forward(self, batch):
        seen = view(batch["embeddings"], batch["mirrored"])
        return F.mse_loss(self.network.head(seen).squeeze(-1), batch["targets"])


class PCNet(Objective):
    """The lower confidence of a mated pair is its similarity."""

    def __init__(self, run: Run):
        super().__init__(regressor(run.backbone, output_mapping="sigmoid"), embeddings=run.embeddings())

    def forward(self, batch):
        quality = self.network(batch["pixel_values"]).quality
        return losses.predictive_confidence_loss(quality, batch["embeddings"], batch["identities"])


class LightQNetDistillation(Objective):
    """Identification quality for a branch on the frozen recogniser and for the small network, which also follows it.

    Args:
        width: "dm100", "dm050" or "dm025".
        hard: targets cos > .4, the released default, for the paper's sigmoid(16 (cos - .4)).
        distillation: weight of the divergence; 10 in the paper, 20 in the released configuration.
    """

    def __init__(self, run: Run, width: str = "dm100", hard: bool = False, distillation: float = 10.0):
        stem_width, blocks, last_width = WIDTHS[width]
        seen = run.recognizer_features()
        super().__init__(
            LightQNet(LightQNetConfig(stem_width=stem_width, blocks=blocks, last_width=last_width)),
            features=seen,
            embeddings=head(run.recognizer, seen),
        )
        self.hard, self.distillation = hard, distillation
        self.teacher = nn.Sequential(
            nn.Linear(seen.shape[1], 256, bias=False),
            nn.BatchNorm1d(256, eps=1e-3),
            nn.ReLU(),
            nn.Linear(256, 1, bias=False),
            nn.BatchNorm1d(1, eps=1e-3, affine=False),
        )

    def forward(self, batch):
        unit, identities = F.normalize(batch["embeddings"].float()), batch["identities"]
        target = labels.identification_target(unit @ unit.T, hard=self.hard)
        taught = self.teacher(batch["features"]).squeeze(-1)
        learnt = self.network(batch["pixel_values"]).quality.float().logit(eps=1e-6)
        loss = sum(losses.identification_quality_loss(logits, target, identities) for logits in (taught, learnt))
        return loss + self.distillation * losses.quality_divergence(learnt, taught)


class PFE(Objective):
    """Mutual likelihood of mated pairs; the backbone is frozen."""

    def __init__(self, run: Run):
        super().__init__(PFEModel.from_embedder(run.backbone), features=run.backbone_features())

    def forward(self, batch):
        out = self.network.forward_head(view(batch["features"], batch["mirrored"]))
        return losses.mutual_likelihood_loss(out.embeddings, out.log_variance, batch["identities"])


class Margin(nn.Module):
    """Class centres, and ArcFace's loss with an additive angular margin that may differ from image to image."""

    def __init__(self, centres: Tensor, scale: float = 64.0):
        super().__init__()
        self.centres = nn.Parameter(centres.clone())
        self.scale = scale

    def forward(self, embeddings: Tensor, classes: Tensor, margin: Tensor | float) -> Tensor:
        """Cross entropy of s cos(theta + m) for the own class against s cos(theta) for the others, a scalar."""
        with torch.autocast(embeddings.device.type, enabled=False):  # 1 - 1e-6 is 1 in bfloat16, where arccos is steep
            cosine = (F.normalize(embeddings.float()) @ F.normalize(self.centres).T).clamp(-1 + 1e-6, 1 - 1e-6)
            own = classes[:, None]
            moved = torch.cos(cosine.gather(1, own)[:, 0].arccos() + margin)
            return F.cross_entropy(self.scale * cosine.scatter(1, own, moved[:, None]), classes)


class CRFIQA(Objective):
    """ArcFace (m .5), and 10 times the distance to the classifiability, which is not differentiated.

    Args:
        form: of the target, "code" or "paper", see `labels.classifiability`.
    """

    def __init__(self, run: Run, form: str = "code"):
        super().__init__(regressor(run.backbone))
        self.form, self.margin = form, Margin(run.centres())

    def forward(self, batch):
        out, classes = self.network(batch["pixel_values"]), batch["identities"]
        embeddings, centres = out.embeddings.detach().float(), self.margin.centres.detach()
        with torch.autocast(embeddings.device.type, enabled=False):
            target = labels.classifiability(embeddings, centres, classes, self.form)
        return self.margin(out.embeddings, classes, 0.5) + 10 * losses.classifiability_loss(out.quality, target)


class MagFace(Objective):
    """A margin that grows with the length of the embedding, which the regulariser pulls to 110.

    Args:
        regulariser: its weight lambda_g; 35 in the paper, 20 is the released trainer's default.
    """

    def __init__(self, run: Run, regulariser: float = 35.0):
        super().__init__(run.backbone.requires_grad_(True))
        self.regulariser, self.margin = regulariser, Margin(run.centres())

    def forward(self, batch):
        embeddings = self.network(batch["pixel_values"]).embeddings
        length = embeddings.float().norm(dim=1)
        loss = self.margin(embeddings, batch["identities"], losses.magface_margin(length))
        return loss + self.regulariser * losses.magface_regulariser(length).mean()


class FaceQgen(Objective):
    """Restore the person's reference: distance to it, and a discriminator of references and restorations (pix2pix).

    Both networks learn in the same step, from one loss: the generator's part sees the discriminator's weights as
    constants, the discriminator's part the restoration.

    Args:
        widths, discriminator_widths: see `FaceQgenConfig`.
        reconstruction: weight of the mean absolute difference; pix2pix's 100.
    """

    def __init__(self, run: Run, reconstruction: float = 100.0, **config):
        super().__init__(
            FaceQgenModel(FaceQgenConfig(**config)),
            reference=labels.central_image(run.embeddings(), run.people.identities),
        )
        self.images, self.reconstruction = run.people.images, reconstruction

    def forward(self, batch):
        x = batch["pixel_values"]
        ideal = to_pixel_values(self.images[batch["reference"].cpu()]).to(x.device)
        ideal = torch.where(batch["mirrored"][:, None, None, None], ideal.flip(-1), ideal)
        restored = self.network.generator(x)
        discriminator = self.network.discriminator
        constants = {name: value.detach() for name, value in discriminator.named_parameters()}
        loss = self.reconstruction * (restored - ideal).abs().mean()
        loss = loss + real(functional_call(discriminator, constants, restored), True)
        return loss + (real(discriminator(ideal), True) + real(discriminator(restored.detach()), False)) / 2


def real(logits: Tensor, answer: bool) -> Tensor:
    """Cross entropy, a scalar, of the discriminator's patches with one answer for all."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(answer)))


OBJECTIVES: dict[str, type[Objective]] = {
    "sdd-fiqa": SDDFIQA,
    "faceqnet": FaceQnet,
    "faceqgen": FaceQgen,
    "pcnet": PCNet,
    "lightqnet": LightQNetDistillation,
    "pfe": PFE,
    "cr-fiqa": CRFIQA,
    "magface": MagFace,
}

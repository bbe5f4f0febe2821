"""Probabilistic face embeddings (Shi and Jain, ICCV 2019): a recogniser with a head for the variance of its embedding.

This file imports nothing of difiqa_hf, because the Hub copies single files; the backbone is any recogniser with
`forward_features` and `forward_head` that AutoModel knows.
"""

from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

# model_type -> network. Empty here: the Auto classes know ours. A copy for the Hub names its backbone (`hub.code`).
BACKBONES: dict[str, type[PreTrainedModel]] = {}


@strict
class PFEConfig(PreTrainedConfig):
    """Configuration of `PFEModel`.

    Args:
        backbone_config: configuration of the recogniser, as a dictionary with its `model_type`.
        num_features: what its last linear layer sees; `from_embedder` finds out.
        head_width: hidden width of the uncertainty head.
        initial_scale, initial_shift: gamma and beta before training, 1e-4 and -7 in the released code.
        reference_quantiles: evenly spaced quantiles (0 to 100 %) of the score on a reference set, for percentiles.
    """

    model_type = "pfe"

    backbone_config: dict | None = None
    num_features: int = 25088
    head_width: int = 512
    initial_scale: float = 1e-4
    initial_shift: float = -7.0
    reference_quantiles: list[float] | None = None


@dataclass
class PFEOutput(ModelOutput):
    """`embeddings` mu, L2-normalised, and `log_variance` log sigma^2, both (batch, dim)."""

    embeddings: Tensor | None = None
    log_variance: Tensor | None = None


class PFEModel(PreTrainedModel):
    """Mean and variance of the embedding of faces (batch, 3, 112, 112), RGB in [-1, 1]; the backbone stays frozen."""

    config_class = PFEConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: PFEConfig):
        super().__init__(config)
        if not config.backbone_config:
            raise ValueError("backbone_config is empty; build the model with PFEModel.from_embedder(recognizer)")
        settings = dict(config.backbone_config)
        kind = settings.pop("model_type")
        if kind in BACKBONES:
            backbone_config = BACKBONES[kind].config_class(**settings)
            self.backbone = BACKBONES[kind](backbone_config)
        else:
            backbone_config = AutoConfig.for_model(kind, **settings)
            self.backbone = AutoModel.from_config(backbone_config)
        self.head = nn.Sequential(
            nn.Linear(config.num_features, config.head_width, bias=False),
            nn.BatchNorm1d(config.head_width, eps=1e-3),
            nn.ReLU(),
            nn.Linear(config.head_width, backbone_config.embedding_size, bias=False),
            nn.BatchNorm1d(backbone_config.embedding_size, eps=1e-3, affine=False),
        )
        self.scale = nn.Parameter(torch.empty(()))  # gamma and beta, shared by all dimensions
        self.shift = nn.Parameter(torch.empty(()))
        self.post_init()
        self.train()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        """A fresh head says the same variance, exp(-7), of every image; the backbone knows its own layers."""
        if module is self:
            init.constant_(self.scale, self.config.initial_scale)
            init.constant_(self.shift, self.config.initial_shift)
        elif module in set(self.head.modules()):
            super()._init_weights(module)
        else:
            self.backbone._init_weights(module)

    @classmethod
    def from_embedder(cls, recognizer: PreTrainedModel, **config) -> "PFEModel":
        """A model on a copy of `recognizer`'s weights and a fresh head; `config` as in `PFEConfig`."""
        settings = recognizer.config.to_diff_dict() | {"model_type": recognizer.config.model_type}
        size = recognizer.config.image_size
        with torch.no_grad():
            features = recognizer.forward_features(torch.zeros(1, 3, size, size, device=recognizer.device))
        model = cls(PFEConfig(backbone_config=settings, num_features=features.shape[1], **config))
        model.backbone.load_state_dict(recognizer.state_dict())
        return model

    def train(self, mode: bool = True) -> "PFEModel":
        """As usual, for the head only: the backbone is frozen, and its BatchNorms keep their statistics."""
        super().train(mode)
        self.backbone.eval().requires_grad_(False)
        return self

    def forward_head(self, features: Tensor) -> PFEOutput:
        """Mean and log sigma^2 = log(1e-6 + exp(gamma y + beta)), y the head on what `forward_features` returns."""
        embeddings = nn.functional.normalize(self.backbone.forward_head(features))
        log_variance = (1e-6 + (self.scale * self.head(features) + self.shift).float().exp()).log()
        return PFEOutput(embeddings=embeddings, log_variance=log_variance)

    def forward(self, pixel_values: Tensor, return_dict: bool = True) -> PFEOutput | tuple[Tensor, Tensor]:
        """Embed a batch: `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1]."""
        output = self.forward_head(self.backbone.forward_features(pixel_values))
        return output if return_dict else output.to_tuple()


if __name__.startswith("difiqa_hf."):  # not for a copy of this file that came from the Hub
    AutoConfig.register(PFEConfig.model_type, PFEConfig, exist_ok=True)
    AutoModel.register(PFEConfig, PFEModel, exist_ok=True)

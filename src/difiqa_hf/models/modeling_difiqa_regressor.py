"""DifFIQA(R): a recogniser with a quality head, distilled from DifFIQA's scores (Section 3.6 of the paper)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

# model_type -> network. Empty here: the Auto classes know ours. A copy for the Hub names its backbone (`hub.code`).
BACKBONES: dict[str, type[PreTrainedModel]] = {}


@strict
class DifFIQARegressorConfig(PreTrainedConfig):
    """Configuration of `DifFIQARegressor`.

    Args:
        backbone_config: configuration of the recogniser, as a dictionary with its `model_type`.
        head_width: hidden width of the head (eDifFIQA: 1024); None for one linear layer, as released.
        normalize_embeddings: give the head embeddings of unit length (eDifFIQA in size T).
        output_mapping: "identity" (as released: unbounded) or "sigmoid" (0 to 1).
        label_minimum, label_maximum: raw DifFIQA scores that became the labels 0 and 1.
        reference_quantiles: evenly spaced quantiles (0 to 100 %) of the score on a reference set, for percentiles.
    """

    model_type = "difiqa_regressor"

    backbone_config: dict | None = None
    head_width: int | None = None
    normalize_embeddings: bool = False
    output_mapping: str = "identity"
    label_minimum: float = 0.0
    label_maximum: float = 1.0
    reference_quantiles: list[float] | None = None

    def validate_output_mapping(self):
        """The mapping is a known one."""
        if self.output_mapping not in ("identity", "sigmoid"):
            raise ValueError(f"output_mapping must be 'identity' or 'sigmoid', found {self.output_mapping!r}")


@dataclass
class DifFIQARegressorOutput(ModelOutput):
    """`quality` (batch,), higher is better, 0 and 1 were the extreme training labels; `embeddings` (batch, dim).

    The embeddings are those that the head sees.
    """

    loss: Tensor | None = None
    quality: Tensor | None = None
    embeddings: Tensor | None = None


class DifFIQARegressor(PreTrainedModel):
    """Quality (batch,) of faces (batch, 3, 112, 112), RGB in [-1, 1]: one pass through a recogniser and a head."""

    config_class = DifFIQARegressorConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: DifFIQARegressorConfig):
        super().__init__(config)
        if not config.backbone_config:
            raise ValueError(
                "backbone_config is empty; build a regressor with DifFIQARegressor.from_embedder(recognizer)"
            )
        settings = dict(config.backbone_config)
        kind = settings.pop("model_type")
        if kind in BACKBONES:
            backbone_config = BACKBONES[kind].config_class(**settings)
            self.backbone = BACKBONES[kind](backbone_config)
        else:
            backbone_config = AutoConfig.for_model(kind, **settings)
            self.backbone = AutoModel.from_config(backbone_config)
        size = backbone_config.embedding_size
        if config.head_width is None:
            self.head = nn.Linear(size, 1)
        else:
            self.head = nn.Sequential(nn.Linear(size, config.head_width), nn.GELU(), nn.Linear(config.head_width, 1))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        """Fresh heads start near zero; the backbone knows its own layers."""
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, std=0.01)
            init.zeros_(module.bias)
        else:
            self.backbone._init_weights(module)

    @classmethod
    def from_embedder(cls, recognizer: PreTrainedModel, **config) -> "DifFIQARegressor":
        """A regressor on a copy of `recognizer`'s weights and a fresh head; `config` as in `DifFIQARegressorConfig`."""
        settings = recognizer.config.to_diff_dict() | {"model_type": recognizer.config.model_type}
        model = cls(DifFIQARegressorConfig(backbone_config=settings, **config))
        model.backbone.load_state_dict(recognizer.state_dict())
        return model

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, return_dict: bool = True
    ) -> DifFIQARegressorOutput | tuple:
        """Score a batch; with `labels` (batch,) in [0, 1] also the L1 loss of the released training."""
        embeddings = self.backbone(pixel_values).embeddings
        if self.config.normalize_embeddings:
            embeddings = F.normalize(embeddings, dim=1)
        quality = self.head(embeddings).squeeze(-1)
        if self.config.output_mapping == "sigmoid":
            quality = quality.sigmoid()
        loss = None if labels is None else (quality - labels).abs().mean()
        output = DifFIQARegressorOutput(loss=loss, quality=quality, embeddings=embeddings)
        return output if return_dict else output.to_tuple()


if __name__.startswith("difiqa_hf."):  # not for a copy of this file that came from the Hub
    AutoConfig.register(DifFIQARegressorConfig.model_type, DifFIQARegressorConfig, exist_ok=True)
    AutoModel.register(DifFIQARegressorConfig, DifFIQARegressor, exist_ok=True)

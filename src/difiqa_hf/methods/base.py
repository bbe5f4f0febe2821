"""What a quality method is: pixels in, one number per image out, and what a user must know about that number."""

import hashlib
import inspect
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import cached_file

from difiqa_hf.hub import push_folder
from difiqa_hf.image_processing import check_pixel_values
from difiqa_hf.inference import for_inference
from difiqa_hf.metrics.threshold_card import FILE as CARD
from difiqa_hf.metrics.threshold_card import ThresholdCard
from difiqa_hf.recognizers import load_strictly, recognizer_fingerprint, resolve_recognizer, weights_revision

# of a file that a checkpoint may lack, or that cannot be asked for offline
_IF_THERE = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
KINDS = ("analytical", "regression", "model", "baseline")


class QualityMethod(ABC):
    """Scores batches of aligned faces; the score of an image never depends on its neighbours.

    Attributes:
        name: the registry name.
        kind: "analytical" (asks a recogniser about the image, no labels), "regression" (a network trained on quality
            labels), "model" (a recogniser trained to know its uncertainty) or "baseline".
        higher_is_better: always true; methods whose raw output is an uncertainty turn its sign.
        score_range: lowest and highest possible score, None where there is no bound; an option may narrow it.
        is_stochastic: whether the seed matters.
        needs_recognizer: whether a face recogniser is part of the method.
        needs_training: whether it needs weights of its own; where none are shipped, a checkpoint has to be named.
        needs_gradients: whether it differentiates the recogniser, which takes memory and no half precision.
        has_weights: whether `save_pretrained` has something to save.
        landmarks: how many points a detector's faces are aligned by, see `alignment.align`.
        input_contract: what becomes of the canonical pixel values (RGB in [-1, 1], 112 x 112, ArcFace template).
        paper: where the method comes from.
        code_license: of the authors' released code, of which nothing is used here.
        weights_license: of the weights behind the scores.
        parity: what was compared with the authors' numbers, in plain words.
        revision: 12 hex digits that identify the weights (SHA-256), or "" where there are none.
        fingerprint: all that a score depends on besides the image, for caches; "" if unknown: never cached.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    score_range: ClassVar[tuple[float | None, float | None]] = (None, None)
    is_stochastic: ClassVar[bool] = False
    needs_recognizer: ClassVar[bool] = False
    needs_training: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = False
    has_weights: ClassVar[bool] = False
    landmarks: ClassVar[int] = 5
    input_contract: ClassVar[str] = "the recogniser's own"
    paper: ClassVar[str]
    code_license: ClassVar[str]
    weights_license: ClassVar[str]
    parity: ClassVar[str]
    revision: str = ""
    fingerprint: str = ""
    _percentiles: Sequence[float] | None = None
    _origin: str | Path | None = None  # folder or repository of the weights

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Add to the docstring what the class declares, so that `help` shows it and nobody types it twice."""
        super().__init_subclass__(**kwargs)
        if cls.__doc__ and "parity" in vars(cls):
            cls.__doc__ = f"{cls.__doc__.rstrip()}\n\n    Parity: {cls.parity}.\n    "

    def check_ready(self) -> None:  # noqa: B027  most are ready once they exist
        """Raise ValueError, with what to do, if something is missing for `score`."""

    @abstractmethod
    def score(self, pixel_values: Tensor) -> Tensor:
        """Qualities (batch,) of `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1], on the method's device."""

    def _set_apart(self, **settings: Any) -> None:
        """Scores by other options than the class's own are other scores, as of other weights: no percentiles of those.

        The number of repeats only changes the error.
        """
        defaults = inspect.signature(type(self)).parameters
        changed = {
            name: value for name, value in settings.items() if name != "num_repeats" and value != defaults[name].default
        }
        if changed:
            named = [self.revision, *(f"{name}={value}" for name, value in sorted(changed.items()))]
            self.revision = self.revision and hashlib.sha256("-".join(named).encode()).hexdigest()[:12]
            self._percentiles = None

    def percentile(self, quality: float) -> float | None:
        """Percentile (0 to 100) of a score on the checkpoint's reference set, or None where there is none."""
        if self._percentiles is None:
            return None
        return float(np.interp(quality, self._percentiles, np.linspace(0, 100, len(self._percentiles))))

    def threshold_card(self) -> ThresholdCard | None:
        """What the scores mean: `thresholds.json` beside the weights, else the reference quantiles alone, else None.

        Raises:
            ValueError: if the file belongs to other weights.
        """
        file = self._percentiles is not None and self._origin and cached_file(self._origin, CARD, **_IF_THERE)
        return ThresholdCard.load(file).checked(self.name, self.revision) if file else self.quantile_card()

    def quantile_card(self, reference: str | None = None) -> ThresholdCard | None:
        """A card of the checkpoint's reference quantiles, without comparisons; None where there are none."""
        if self._percentiles is None:
            return None
        reference = reference or "the reference images named in the README.md of the checkpoint"
        return ThresholdCard(self.name, self.revision, reference, np.asarray(self._percentiles))

    def _save_card(self, folder: str | Path) -> None:
        """Pass on the card that lies beside the weights; quantiles alone stand in the configuration."""
        card = self.threshold_card()
        if card is not None and (card.errors or card.parts):
            card.save(Path(folder) / CARD)

    def __call__(self, pixel_values: Tensor) -> Tensor:
        """Check the input, score it without gradients, return float32 qualities (batch,) on the CPU.

        Args:
            pixel_values: (batch, 3, height, width), RGB in [-1, 1], aligned faces; 112 x 112 for every shipped network.

        Raises:
            ValueError: for a wrong shape, dtype or range, with what was found.
        """
        check_pixel_values(pixel_values)
        with torch.inference_mode(False), torch.no_grad():  # a method that differentiates must be able to
            own = pixel_values.clone() if pixel_values.is_inference() else pixel_values
            return self.score(own).detach().float().cpu()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the method's own weights, or its calibration, for `from_pretrained`; not a recogniser it was given."""
        raise ValueError(f"{self.name} has no weights of its own to save")

    def push_to_hub(self, repo_id: str, **options: Any):
        """Publish the method's own weights, see `difiqa_hf.hub.push_to_hub`."""
        with tempfile.TemporaryDirectory() as folder:  # a calibration, which is no network
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, **{"repo_type": "model"} | options)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> "QualityMethod":
        """The method on weights of `save_pretrained`; `options` as for the class."""
        if not cls.has_weights:
            raise ValueError(f"{cls.name} has no weights of its own to load; create it with its options")
        return cls(checkpoint=folder, **options)


class RecognizerMethod(QualityMethod):
    """A method without weights of its own, that asks a recogniser.

    Args:
        recognizer: a model, a callable, or what `load_recognizer` takes; None for the shipped one.
        device: where to run.
        seed: of all random draws.
        **settings: every other option that a score depends on, for the fingerprint.
    """

    needs_recognizer = True
    weights_license = "the recogniser's"

    def __init__(self, recognizer=None, device: str = "cpu", seed: int = 0, **settings: Any):
        self.recognizer = resolve_recognizer(recognizer, device)
        self.device, self.seed = device, seed
        self.revision = weights_revision(self.recognizer)
        self._set_apart(**settings)
        if self.is_stochastic:
            settings["seed"] = seed
        shown = [f"{key}={value}" for key, value in settings.items()]
        inside = recognizer_fingerprint(self.recognizer)
        self.fingerprint = inside and " ".join([self.name, *shown, inside])


class NetworkMethod(QualityMethod):
    """A method that is one network of ours: `quality` of its output, or what `score` makes of it.

    Attributes:
        model: the network as it was loaded, to be saved.
        network: the copy that scores, see `inference.for_inference`; a later change of `model` does not reach it.

    Args:
        checkpoint: folder or Hub repository of one of our networks, or the network itself.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    needs_training = True
    has_weights = True
    input_contract = "the checkpoint's own"
    weights_license = "the checkpoint's"

    def __init__(self, checkpoint=None, device: str = "cpu", seed: int = 0, recognizer=None):
        self.device = device
        self.model = self.load(checkpoint).to(device)
        self.revision = weights_revision(self.model)
        self.fingerprint = f"{self.name} {recognizer_fingerprint(self.model)}"
        self._percentiles = read_percentiles(self.model.config)
        self._origin = getattr(self.model, "name_or_path", None)
        self.network = for_inference(self.model)

    def load(self, checkpoint) -> nn.Module:
        """The network of a checkpoint; where none is named, the shipped one of those methods that have one."""
        if checkpoint is None:
            raise ValueError(
                f"{self.name} needs weights and none are shipped: pass checkpoint=…, a folder, a Hub repository or a "
                f"model; on the command line --method {self.name}=FOLDER"
            )
        model, named = checkpoint, f"the {type(checkpoint).__name__}"
        if not isinstance(checkpoint, nn.Module):
            model, named = load_strictly(checkpoint).requires_grad_(False).eval(), checkpoint
        elif checkpoint.training:
            raise ValueError(f"{named} is in training mode; call its eval() first")
        trained_for = getattr(getattr(model, "config", None), "quality_method", None)  # unknown of other networks
        if trained_for not in (None, self.name):
            raise ValueError(f"{named} was trained for {trained_for}, not for {self.name}: use method {trained_for}")
        return model

    def score(self, pixel_values: Tensor) -> Tensor:
        quality = getattr(self.network(pixel_values.to(self.device)), "quality", None)
        if quality is None:
            raise ValueError(f"{self.name} needs a network with a quality output, {type(self.model).__name__} has none")
        return quality

    def save_pretrained(self, folder: str | Path) -> None:
        self.model.save_pretrained(folder)
        self._save_card(folder)

    def push_to_hub(self, repo_id: str, **options: Any):
        return self.model.push_to_hub(repo_id, **options)


def read_percentiles(config) -> Sequence[float] | None:
    """The reference quantiles (0 to 100 %, evenly spaced) that a checkpoint's configuration carries, or None."""
    return dict(config.items() if hasattr(config, "items") else vars(config)).get("reference_quantiles") or None

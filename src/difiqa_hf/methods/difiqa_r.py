"""DifFIQA(R) behind the common interface."""

from importlib.resources import files
from pathlib import Path

from torch import Tensor

from difiqa_hf.methods.base import QualityMethod, read_percentiles
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.recognizers import load_strictly, recognizer_fingerprint, weights_revision


class DifFIQARegression(QualityMethod):
    """A recogniser with a quality head, distilled from DifFIQA's scores: one network call an image (Section 3.6).

    Args:
        checkpoint: folder or Hub repository of a `DifFIQARegressor`; None for the shipped one.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect, the regressor has its own backbone.
    """

    name = "difiqa-r"
    kind = "regression"
    paper = "Babnik et al., DifFIQA, IJCB 2023, Section 3.6"

    def __init__(self, checkpoint: str | Path | None = None, device: str = "cpu", seed: int = 0, recognizer=None):
        folder = Path(str(files("difiqa_hf") / "checkpoints" / "difiqa_r")) if checkpoint is None else checkpoint
        if checkpoint is None and not (folder / "config.json").exists():
            raise FileNotFoundError(f"this installation has no default checkpoint at {folder}; reinstall, or name one")
        self.device = device
        self.model = load_strictly(folder)
        if not isinstance(self.model, DifFIQARegressor):
            raise ValueError(f"{folder} holds a {type(self.model).__name__}, not a DifFIQARegressor")
        self.model.requires_grad_(False).eval().to(device)
        self.revision = weights_revision(self.model)
        self.fingerprint = f"difiqa-r {recognizer_fingerprint(self.model)}"
        self._percentiles = read_percentiles(self.model.config)

    def score(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values.to(self.device)).quality

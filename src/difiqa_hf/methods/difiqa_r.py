"""DifFIQA(R) behind the common interface."""

from importlib.resources import files
from pathlib import Path

from torch import nn

from difiqa_hf.methods.base import NetworkMethod
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor


class DifFIQARegression(NetworkMethod):
    """A recogniser with a quality head, distilled from DifFIQA's scores: one network call an image (Section 3.6).

    Args:
        checkpoint: folder or Hub repository of a `DifFIQARegressor`, or the model; None for the shipped one.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect, the regressor has its own backbone.
    """

    name = "difiqa-r"
    kind = "regression"
    paper = "Babnik et al., DifFIQA, IJCB 2023, Section 3.6"
    code_license = "MIT"
    weights_license = "shipped ones: research use only (see their card)"
    parity = "retrained, no official weights obtainable; their converter was checked on rule-made weights"

    def load(self, checkpoint) -> nn.Module:
        folder = Path(str(files("difiqa_hf") / "checkpoints" / "difiqa_r")) if checkpoint is None else checkpoint
        if checkpoint is None and not (folder / "config.json").exists():
            raise FileNotFoundError(f"this installation has no default checkpoint at {folder}; reinstall, or name one")
        model = super().load(folder)
        if not isinstance(model, DifFIQARegressor):
            held = "the checkpoint is" if isinstance(checkpoint, nn.Module) else f"{checkpoint} holds"
            raise ValueError(f"{held} a {type(model).__name__}, not a DifFIQARegressor")
        return model

"""PFE: a recogniser that says how uncertain each number of its embedding is (Shi and Jain, ICCV 2019)."""

from torch import Tensor

from difiqa_hf.methods.base import NetworkMethod

# reduction -> lowest and highest possible score
REDUCTIONS = {"mean": (None, 0.0), "harmonic": (None, 0.0), "log": (None, None)}


class PFE(NetworkMethod):
    """Certainty of a probabilistic embedding: its variances, reduced and with the sign turned (Shi, Jain, ICCV 2019).

    Args:
        checkpoint: folder or Hub repository of a `PFEModel`, or the model.
        reduction: of the variances sigma^2 over the dimensions: "mean", "harmonic" (mean) or "log" (the geometric one,
            in logarithms). The paper of DifFIQA does not say which it compared with.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "pfe"
    kind = "model"
    score_range = REDUCTIONS["mean"]
    input_contract = "official: 112 x 96, (x - 127.5) / 128; here the backbone's own"
    paper = "Shi and Jain, Probabilistic Face Embeddings, ICCV 2019"
    code_license = "MIT"
    weights_license = "official: the repository's, MIT"
    parity = (
        "retrained, no official weights obtainable (TensorFlow checkpoints, for which there is no converter); formula "
        "checked against closed forms"
    )

    def __init__(self, checkpoint=None, reduction: str = "mean", device: str = "cpu", seed: int = 0, recognizer=None):
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, found {reduction!r}")
        super().__init__(checkpoint, device)
        self.reduction, self.score_range = reduction, REDUCTIONS[reduction]
        self.fingerprint += f" reduction={reduction}"
        self._set_apart(reduction=reduction)

    def score(self, pixel_values: Tensor) -> Tensor:
        log_variance = getattr(self.network(pixel_values.to(self.device)), "log_variance", None)
        if log_variance is None:
            raise ValueError(f"pfe needs a network with a log_variance, {type(self.model).__name__} has none")
        return pfe_quality(log_variance, self.reduction)


def pfe_quality(log_variance: Tensor, reduction: str = "mean") -> Tensor:
    """Minus the mean, harmonic mean or log geometric mean (batch,) of sigma^2, from log sigma^2 (batch, dim)."""
    if reduction == "log":
        return -log_variance.float().mean(1)
    variance = log_variance.float().exp()
    return -(variance.mean(1) if reduction == "mean" else 1 / (1 / variance).mean(1))

"""The error-versus-discard figures as a torchmetrics metric (extra `torchmetrics`), for use inside training loops.

`from difiqa_hf.torch_metric import ErrorDiscard`: the class exists once torchmetrics can be imported.
"""

from functools import cache
from typing import Any


def __getattr__(name: str):
    if name == "ErrorDiscard":
        return _metric_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _metric_class() -> type:
    try:
        from torchmetrics import Metric
    except ImportError as error:
        raise ImportError("ErrorDiscard needs torchmetrics: pip install 'difiqa-hf[torchmetrics]'") from error
    import torch
    from torch import Tensor

    from difiqa_hf.metrics import ErrorDiscardResult, error_discard

    class ErrorDiscard(Metric):
        """pAUC of the error-versus-discard curve; lower is better.

        Args:
            limit: largest discard fraction.
            options: of `difiqa_hf.metrics.error_discard`, such as fmr and protocol.
        """

        is_differentiable = False
        higher_is_better = False
        full_state_update = False

        def __init__(self, limit: float = 0.3, options: dict[str, Any] | None = None, **kwargs: Any):
            super().__init__(**kwargs)
            self.limit, self.options = limit, options or {}
            for state in ("similarity", "genuine", "quality"):
                self.add_state(state, default=[], dist_reduce_fx="cat")

        def update(self, similarity: Tensor, genuine: Tensor, quality: Tensor) -> None:
            """Add comparisons: (N,) scores, (N,) labels, (N,) or (N, 2) qualities."""
            self.similarity.append(similarity.detach())
            self.genuine.append(genuine.detach())
            self.quality.append(quality.detach())

        def result(self) -> ErrorDiscardResult:
            """The whole curve of all comparisons so far."""
            states = (self.similarity, self.genuine, self.quality)
            # One process has lists of batches, several have them concatenated; double keeps every score apart.
            joined = (torch.cat(state) if isinstance(state, list) else state for state in states)
            similarity, genuine, quality = (state.double().cpu().numpy() for state in joined)
            return error_discard(similarity, genuine, quality, **self.options)

        def compute(self) -> Tensor:
            """pAUC(limit), a float64 scalar.

            Raises:
                UndefinedAreaError: where it is undefined, see `ErrorDiscardResult.pauc`.
            """
            return torch.tensor(self.result().pauc(self.limit), dtype=torch.float64)

    # pickle finds the class by the name that this module resolves
    ErrorDiscard.__qualname__, ErrorDiscard.__module__ = "ErrorDiscard", __name__
    return ErrorDiscard

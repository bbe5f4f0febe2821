"""What a quality method is: pixels in, one number per image out, and what a user must know about that number."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from difiqa_hf.image_processing import check_pixel_values


class QualityMethod(ABC):
    """Scores batches of aligned faces; the score of an image never depends on its neighbours.

    Attributes:
        name: the registry name.
        kind: "analytical" (perturbs the image, asks the recogniser), "regression", "model" or "baseline".
        higher_is_better: always true; methods whose raw output is an uncertainty turn its sign.
        score_range: lowest and highest possible score, None where there is no bound.
        is_stochastic: whether the seed matters.
        needs_recognizer: whether a face recogniser is part of the method.
        paper: where the method comes from.
        revision: 12 hex digits that identify the weights (SHA-256), or "" where there are none.
        fingerprint: all that a score depends on besides the image, for caches; "" if unknown: never cached.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    score_range: ClassVar[tuple[float | None, float | None]] = (None, None)
    is_stochastic: ClassVar[bool] = False
    needs_recognizer: ClassVar[bool] = False
    paper: ClassVar[str] = ""
    revision: str = ""
    fingerprint: str = ""
    _percentiles: Sequence[float] | None = None

    @abstractmethod
    def score(self, pixel_values: Tensor) -> Tensor:
        """Qualities (batch,) of `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1], on the method's device."""

    def percentile(self, quality: float) -> float | None:
        """Percentile (0 to 100) of a score on the checkpoint's reference set, or None where there is none."""
        if self._percentiles is None:
            return None
        return float(np.interp(quality, self._percentiles, np.linspace(0, 100, len(self._percentiles))))

    def __call__(self, pixel_values: Tensor) -> Tensor:
        """Check the input, score it without gradients, return float32 qualities (batch,) on the CPU.

        Args:
            pixel_values: (batch, 3, height, width), RGB in [-1, 1], aligned faces; 112 x 112 for every shipped network.

        Raises:
            ValueError: for a wrong shape, dtype or range, with what was found.
        """
        check_pixel_values(pixel_values)
        with torch.no_grad():
            return self.score(pixel_values).detach().float().cpu()


def read_percentiles(config) -> Sequence[float] | None:
    """The reference quantiles (0 to 100 %, evenly spaced) that a checkpoint's configuration carries, or None."""
    return dict(config.items() if hasattr(config, "items") else vars(config)).get("reference_quantiles") or None

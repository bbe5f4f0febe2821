"""`BatchScorer`: a column of batches scored by processes on one or many machines, such as those of Ray Data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from difiqa_hf.devices import hide_loading_bars, pick_device
from difiqa_hf.scoring.scorer import FaceScorer, check_columns

ADDED = ("status", "quality", "percentile", "reason", "method", "revision")


class BatchScorer:
    """A class for `Dataset.map_batches` of Ray Data (extra `ray`): one row out for every row in, in their order.

    Every process of Ray makes one, and loads the weights once. It needs nothing of Ray itself.

    Args:
        column: of the batch; each value is the bytes of a file, a path that all machines can read, or an array
            (height, width[, 3]) uint8 RGB.
        keep: whether the column stays in the result; false spares the transport of bytes that nobody needs again.
        device: "auto" is the GPU that Ray gave to the process, or the CPU.
        **options: of `FaceScorer`: method, detect, min_size, max_megapixels, batch_size and those of `create_method`.

    Raises:
        ValueError: for options that `FaceScorer` refuses, or a device that is not there.

    Example:
        >>> batch = BatchScorer("image", method="random")({"image": np.zeros((2, 112, 112, 3), np.uint8)})
        >>> batch["status"].tolist()
        ['ok', 'ok']
    """

    def __init__(self, column: str = "bytes", *, keep: bool = True, device: str = "auto", **options: Any):
        hide_loading_bars()
        self.column, self.keep = column, keep
        if isinstance(options.get("method", ""), str):
            options["device"] = pick_device(device)
        elif device != "auto":
            raise ValueError(f"device {device!r} is for the name of a method; give it to the method itself")
        self._scorer = FaceScorer(**options)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with the columns of `ADDED`; of several faces the largest counts.

        `quality` and `percentile` are float64, NaN where there is none: the type of a column must not depend on what
        is in one batch. `reason` says why there is none.

        Raises:
            ValueError: if the batch lacks the column, or has one that would be overwritten.
        """
        check_columns(batch, self.column, ADDED)
        rows = self._scorer.many(list(batch[self.column]))  # grey images of one size come as an array of three axes
        kept = {name: values for name, values in batch.items() if self.keep or name != self.column}
        return kept | {name: _values(name, [getattr(row, name) for row in rows]) for name in ADDED}


def _values(name: str, values: list) -> np.ndarray:
    return np.array(values, dtype=float if name in ("quality", "percentile") else object)  # None becomes NaN

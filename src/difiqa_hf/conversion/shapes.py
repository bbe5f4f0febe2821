"""The size of a published network, read from the names and shapes of its tensors."""

import math
import re

from difiqa_hf.conversion.checkpoint import StateDict


def iresnet_size(state: StateDict) -> dict:
    """Arguments of `IResNetConfig`: blocks and widths of the stages, stem, embedding and image size."""
    blocks = _numbers(state, r"layer(\d+)\.(\d+)\.conv2\.weight")
    layers = [sum(stage == s for stage, _ in blocks) for s in sorted({stage for stage, _ in blocks})]
    widths = [len(state[f"layer{s}.0.conv2.weight"]) for s in range(1, len(layers) + 1)]
    embedding_size, features = state["fc.weight"].shape
    return dict(
        layers=layers,
        widths=widths,
        stem_width=len(state["conv1.weight"]),
        embedding_size=embedding_size,
        image_size=_image_size(features, widths[-1], len(layers)),
    )


def ir_size(state: StateDict, head: str) -> dict:
    """Arguments of `IRConfig`; `head` is the weight of the layer on the flattened map."""
    units = [unit for (unit,) in _numbers(state, r"body\.(\d+)\.res_layer\.1\.weight")]
    # a stage begins with the first unit, and wherever the width changes, because then the shortcut has weights
    starts = [unit for unit in units if unit == 0 or f"body.{unit}.shortcut_layer.0.weight" in state]
    layers = [end - start for start, end in zip(starts, [*starts[1:], len(units)], strict=True)]
    widths = [len(state[f"body.{unit}.res_layer.1.weight"]) for unit in starts]
    outputs, features = state[head].shape
    return dict(
        layers=layers,
        widths=widths,
        stem_width=len(state["input_layer.0.weight"]),
        middle_batch_norm="body.0.res_layer.5.weight" in state,
        embedding_size=outputs,
        image_size=_image_size(features, widths[-1], len(layers)),
    )


def _image_size(features: int, width: int, halvings: int) -> int:
    """Side of the image from the length of the flattened last map."""
    side = math.isqrt(features // width)
    if side * side * width != features:
        raise ValueError(f"{features} features are no square map of {width} channels")
    return side * 2**halvings


def _numbers(state: StateDict, pattern: str) -> list[tuple[int, ...]]:
    """The numbers in all names that fit, in ascending order."""
    found = [match.groups() for key in state if (match := re.fullmatch(pattern, key))]
    return sorted(tuple(map(int, groups)) for groups in found)

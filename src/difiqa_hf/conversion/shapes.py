"""The size of a published network, read from the names and shapes of its tensors."""

import math
import re

from difiqa_hf.conversion.checkpoint import StateDict


def iresnet_size(state: StateDict, prefix: str = "") -> dict:
    """Arguments of `IResNetConfig`: blocks and widths of the stages, stem, embedding and image size.

    `prefix` stands before the names of the iResNet.
    """
    blocks = numbers(state, re.escape(prefix) + r"layer(\d+)\.(\d+)\..+")
    stages = range(1, max((stage for stage, _ in blocks), default=0) + 1)
    widths = [shape_of(state, f"{prefix}layer{s}.0.conv2.weight", 4)[0] for s in stages]
    embedding_size, features = shape_of(state, f"{prefix}fc.weight", 2)
    return dict(
        layers=[max(block for stage, block in blocks if stage == s) + 1 for s in stages],
        widths=widths,
        stem_width=shape_of(state, f"{prefix}conv1.weight", 4)[0],
        embedding_size=embedding_size,
        image_size=_image_size(features, widths),
    )


def ir_size(state: StateDict, head: str) -> dict:
    """Arguments of `IRConfig`; `head` is the weight of the layer on the flattened map."""
    units = max((unit for (unit,) in numbers(state, r"body\.(\d+)\..+")), default=-1) + 1
    # a stage begins with the first unit, and wherever the width changes, because then the shortcut has weights
    changes = {unit for (unit,) in numbers(state, r"body\.(\d+)\.shortcut_layer\..+")}
    starts = sorted({0} | changes)
    widths = [shape_of(state, f"body.{unit}.res_layer.1.weight", 4)[0] for unit in starts]
    embedding_size, features = shape_of(state, head, 2)
    return dict(
        layers=[end - start for start, end in zip(starts, [*starts[1:], units], strict=True)],
        widths=widths,
        stem_width=shape_of(state, "input_layer.0.weight", 4)[0],
        middle_batch_norm=any(key.startswith("body.0.res_layer.5.") for key in state),
        embedding_size=embedding_size,
        image_size=_image_size(features, widths),
    )


def shape_of(state: StateDict, key: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that must be there and have so many dimensions."""
    if key not in state:
        raise ValueError(f"{key} is missing")
    if state[key].ndim != dimensions:
        raise ValueError(f"{key} has shape {tuple(state[key].shape)}, not {dimensions} dimensions")
    return tuple(state[key].shape)


def _image_size(features: int, widths: list[int]) -> int:
    """Side of the image from the length of the flattened last map; every stage halves it."""
    side = math.isqrt(features // max(widths[-1], 1))
    if side * side * widths[-1] != features:
        raise ValueError(f"{features} features are no square map of {widths[-1]} channels")
    return side * 2 ** len(widths)


def numbers(state: StateDict, pattern: str) -> list[tuple[int, ...]]:
    """The numbers in all names that fit."""
    found = [match.groups() for key in state if (match := re.fullmatch(pattern, key))]
    return [tuple(map(int, groups)) for groups in found]

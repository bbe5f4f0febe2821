"""Released recognisers in foreign layouts -> our models; the layout is recognised by its keys."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetRecognizer

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One foreign checkpoint layout.

    Attributes:
        name: what the error messages call it.
        marker: keys that only this layout has.
        model_class: our class of the network.
        config: arguments of its configuration: architecture and input contract.
        rename: foreign state dict -> our names and shapes.
    """

    name: str
    marker: tuple[str, ...]
    model_class: type[PreTrainedModel]
    config: dict
    rename: Callable[[StateDict], StateDict]


def substitute(state: StateDict, rules: list[tuple[str, str]]) -> StateDict:
    """Rename every key by the first (pattern, replacement) whose pattern matches its beginning; others stay."""
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            found, count = re.subn(f"^{pattern}", replacement, key)
            if count:
                key = found
                break
        renamed[key] = value
    return renamed


# layers.{0,1} stem, {2..16} blocks, 17 and 18 the last two convolutions; in each, .0 is the convolution, .1 the PReLU
_WEBFACE600K = [
    (r"layers\.([01])\.0\.", r"stem.\1.conv."),
    (r"layers\.([01])\.1\.", r"stem.\1.activation."),
    (r"layers\.17\.0\.", "last.conv."),
    (r"layers\.17\.1\.", "last.activation."),
    (r"layers\.18\.0\.", "reduce.conv."),
    (r"layers\.18\.1\.", "reduce.activation."),
    (r"features\.", "norm."),
]


def _rename_webface600k(state: StateDict) -> StateDict:
    rules = list(_WEBFACE600K)
    for block in range(15):
        for i, layer in enumerate(("expand", "depthwise", "project")):
            rules.append((rf"layers\.{block + 2}\.layers\.{i}\.0\.", f"blocks.{block}.{layer}.conv."))
            rules.append((rf"layers\.{block + 2}\.layers\.{i}\.1\.", f"blocks.{block}.{layer}.activation."))
    return substitute(state, rules)


LAYOUTS = (
    Layout(
        name="insightface w600k_mbf (MobileFaceNet, BatchNorm folded)",
        marker=("layers.2.layers.0.0.weight", "layers.18.1.weight", "fc.weight"),
        model_class=MobileFaceNetRecognizer,
        config=dict(
            stem_width=128,
            stem_groups=64,
            stages=[(1, 128, 5, 2), (2, 256, 1, 2), (1, 256, 6, 1), (2, 256, 1, 2), (1, 256, 2, 1)],
            head="flatten",
            embedding_size=512,
            batch_norm=False,
        ),
        rename=_rename_webface600k,
    ),
)


def convert_recognizer(path: str | Path) -> PreTrainedModel:
    """Read a released recogniser (.safetensors) into our model, in float32 and eval mode.

    Raises:
        ValueError: for an unknown layout, a missing or unexpected key or a wrong shape, with what was found.
    """
    state = load_file(path)
    layout = next((layout for layout in LAYOUTS if all(key in state for key in layout.marker)), None)
    if layout is None:
        raise ValueError(
            f"{path} holds no known recogniser: {len(state)} keys, first {sorted(state)[:3]}; "
            f"known layouts: {'; '.join(layout.name for layout in LAYOUTS)}"
        )
    model = layout.model_class(layout.model_class.config_class(**layout.config))
    try:
        model.load_state_dict({key: to_float32(value) for key, value in layout.rename(state).items()}, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path} looks like {layout.name}, but does not fit it: {error}") from error
    return model.eval()


def to_float32(value: Tensor) -> Tensor:
    """Half-precision storage back to float32; integers (counters) as they are."""
    return value.to(torch.float32) if value.is_floating_point() else value

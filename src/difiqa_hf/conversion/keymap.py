"""Names in foreign checkpoints <-> names in our models, as one table that reads both ways."""

import re
from collections.abc import Sequence

from difiqa_hf.conversion.checkpoint import StateDict


class KeyMap:
    """Renames the keys of state dicts by templates.

    Args:
        pairs: (foreign, ours); each the beginning of a key up to a dot, or a whole key, in which {i}, {j} stand for
            numbers. The longest beginning that fits is replaced, the rest of the key stays. A key without a template is
            an error, in both directions.
        name: of the foreign layout, for messages.

    Example:
        >>> KeyMap([("downs.{i}.0", "down_blocks.{i}.resnet1")], "a UNet").rename("downs.3.0.weight")
        'down_blocks.3.resnet1.weight'
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], name: str):
        self.name = name
        self._forward = [(_pattern(foreign), ours) for foreign, ours in _longest_first(pairs, 0)]
        self._backward = [(_pattern(ours), foreign) for foreign, ours in _longest_first(pairs, 1)]

    def rename(self, key: str, back: bool = False) -> str | None:
        """The key's other name, None if no template fits."""
        for pattern, template in self._backward if back else self._forward:
            if match := pattern.fullmatch(key):
                return template.format(**match.groupdict()) + key[match.start("rest") :]
        return None

    def forward(self, state: StateDict) -> StateDict:
        """Foreign names -> ours."""
        return self._apply(state, back=False)

    def backward(self, state: StateDict) -> StateDict:
        """Our names -> foreign ones."""
        return self._apply(state, back=True)

    def _apply(self, state: StateDict, back: bool) -> StateDict:
        names = {key: self.rename(key, back) for key in state}
        unknown = [key for key, name in names.items() if name is None]
        if unknown:
            raise ValueError(f"{len(unknown)} keys do not belong to {self.name}, the first are {unknown[:3]}")
        renamed = {names[key]: value for key, value in state.items()}
        if len(renamed) != len(state):
            raise ValueError(f"{self.name}: two keys get the same name")
        return renamed


class HeadKeyMap(KeyMap):
    """A `KeyMap` for networks whose embedding layer is a 1x1 convolution, or has no bias; ours is linear with one.

    Args:
        pairs, name: as for `KeyMap`.
        head: our name of the layer.
        convolution: whether theirs is one.
        bias: whether theirs has one; zeros take its place in ours.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], name: str, head: str, convolution: bool, bias: bool):
        super().__init__(pairs, name)
        self._weight, self._bias, self._convolution = f"{head}.weight", None if bias else f"{head}.bias", convolution

    def forward(self, state: StateDict) -> StateDict:
        ours = super().forward(state)
        weight = ours[self._weight].flatten(1)
        zeros = {} if self._bias is None else {self._bias: weight.new_zeros(len(weight))}
        return ours | {self._weight: weight} | zeros

    def backward(self, state: StateDict) -> StateDict:
        weight = state[self._weight]
        state = state | {self._weight: weight[:, :, None, None] if self._convolution else weight}
        return super().backward({key: value for key, value in state.items() if key != self._bias})


def _longest_first(pairs: Sequence[tuple[str, str]], side: int) -> list[tuple[str, str]]:
    return sorted(pairs, key=lambda pair: -len(pair[side]))


def _pattern(template: str) -> re.Pattern:
    """A regular expression with a group for each number, and `rest` for what follows a dot."""
    return re.compile(re.sub(r"\\{(\w)\\}", r"(?P<\1>\\d+)", re.escape(template)) + r"(?P<rest>$|\..*)")

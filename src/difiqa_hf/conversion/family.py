"""What every published state dict goes through: recognise, rename, load strictly, write, compare."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import (
    StateDict,
    check_fit,
    describe,
    first,
    is_counter,
    is_state_dict,
    read_checkpoint,
    sha256,
)
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.network import SAME_CODE, fill, probe_difference, usage, write_network
from difiqa_hf.conversion.registry import suggestion
from difiqa_hf.conversion.result import Conversion, Origin, largest_difference, write_card

AS_PUBLISHED = "so it is changed or damaged; take the file as its authors published it"


@dataclass(frozen=True)
class Family:
    """A converter for one family of published checkpoints.

    Attributes:
        kind: as in `KINDS`.
        origin: for the card.
        markers: names of tensors that the family has.
        foreign: names of tensors that it has not, where another family has the same markers.
        build: official state dict -> fresh model of ours of the size that its shapes tell.
        keys: official names <-> ours; None where we use the official ones.
        within: entries of the file that may hold the state dict, the first that is there counts; "" is the file itself.
        prefixes: what may stand before all official names, where a training script wrapped the network.
        dropped: beginnings of names beside a wrapped network that only training needs.
        method: the quality method that the network is for, None for a recogniser.
    """

    kind: str
    origin: Origin
    markers: tuple[str, ...]
    build: Callable[[StateDict], PreTrainedModel]
    foreign: tuple[str, ...] = ()
    keys: KeyMap | None = None
    within: tuple[str, ...] = ("",)
    prefixes: tuple[str, ...] = ("module.",)
    dropped: tuple[str, ...] = ()
    method: str | None = None

    @property
    def title(self) -> str:
        """For messages."""
        return self.origin.title

    def translate(self, state: StateDict) -> StateDict:
        """Official names -> ours."""
        return state if self.keys is None else self.keys.forward(state)

    def restore(self, state: StateDict) -> StateDict:
        """Our names -> official ones."""
        return state if self.keys is None else self.keys.backward(state)

    def state_of(self, content: Any) -> StateDict:
        """The state dict in a file's content without wrappers; {} if there is none. No stray name vanishes."""
        places = (content if not place else content.get(place) for place in self.within if isinstance(content, dict))
        state = next((found for found in places if is_state_dict(found)), {})
        prefix = next((prefix for prefix in self.prefixes if prefix + self.markers[0] in state), None)
        if prefix is None:
            return state
        kept = {key: value for key, value in state.items() if not key.startswith(self.dropped)}
        bare = {key.removeprefix(prefix): value for key, value in kept.items()}
        return bare if len(bare) == len(kept) else kept

    def recognises(self, content: Any) -> bool:
        """Whether a file's content is of this family."""
        state = self.state_of(content)
        return all(key in state for key in self.markers) and not any(key in state for key in self.foreign)

    def network(self, content: Any) -> tuple[PreTrainedModel, StateDict]:
        """Model with the weights in a file's content, in float32 and eval mode, and the official state dict.

        Raises:
            ValueError: if it is something else, or does not fit in any name, shape or type of number.
        """
        state = self.state_of(content)
        if not self.recognises(content):
            lacking = [key for key in self.markers if key not in state]
            fault = f"no {first(lacking)}" if lacking else first([key for key in self.foreign if key in state])
            place = f" in its {self.within[0]!r}" if "" not in self.within else ""
            found = f"{describe(content)}{suggestion(content, self.kind)}"
            raise ValueError(f"this is not {self.title}: it has {fault}{place}; found {found}")
        try:
            model = self.build(state)
            check_fit(state, self.restore(model.state_dict()))
        except ValueError as error:
            raise ValueError(f"this looks like {self.title} but does not fit, {AS_PUBLISHED}: {error}") from error
        return fill(model, self.translate(state)), state

    def write(self, content: Any, path: Path, output: Path) -> Conversion:
        """Convert the content of `path` into the folder `output`."""
        model, state = self.network(content)
        written = write_network(model, output, self.method)
        back = self.restore(written.state_dict())
        back = {key: value for key, value in back.items() if key in state or not is_counter(key)}
        difference = largest_difference(state, back)
        probe = probe_difference(model, written)
        result = Conversion(self.kind, output, len(state), difference, probe, SAME_CODE, sha256(path))
        write_card(path, self.origin, result, usage(self.method))
        return result

    def __call__(self, path: Path, output: Path) -> Conversion:
        """Convert `path` into the folder `output`."""
        return of_file(path, self.write, path, output)


@dataclass(frozen=True)
class Choice:
    """A kind that comes in several networks, told apart by the names of their tensors."""

    title: str
    families: tuple[Family, ...]

    def recognises(self, content: Any) -> bool:
        """Whether a file's content is one of them."""
        return any(family.recognises(content) for family in self.families)

    def family_of(self, content: Any) -> Family:
        """The family that recognises the content, or the one of which it has most."""

        def likeness(family: Family) -> tuple:
            state = family.state_of(content)
            return family.recognises(content), sum(key in state for key in family.markers) / len(family.markers)

        found = max(self.families, key=likeness)
        if not any(likeness(found)):
            titles = ", ".join(family.title for family in self.families)
            hint = suggestion(content, self.families[0].kind)
            raise ValueError(f"this is not {self.title} ({titles}); found {describe(content)}{hint}")
        return found

    def network(self, content: Any) -> tuple[PreTrainedModel, StateDict]:
        """As `Family.network`."""
        return self.family_of(content).network(content)

    def write(self, content: Any, path: Path, output: Path) -> Conversion:
        """As `Family.write`."""
        return self.family_of(content).write(content, path, output)

    def __call__(self, path: Path, output: Path) -> Conversion:
        """Convert `path` into the folder `output`."""
        return of_file(path, self.write, path, output)


def of_file(path: str | Path, use: Callable, *arguments: Any) -> Any:
    """`use(content of the checkpoint, *arguments)`; its errors name the file."""
    content = read_checkpoint(path)
    try:
        return use(content, *arguments)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error

"""What a ranking of the versions should look like, and where it does not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from difiqa_hf.demo.versions import Version


@dataclass(frozen=True)
class Expectation:
    """Something that should hold for each of `count` cases, and the cases for which it does not, in words."""

    text: str
    count: int
    exceptions: tuple[str, ...]

    def __str__(self) -> str:
        held = f"{self.count - len(self.exceptions)} of {self.count} {self.text}"
        return f"{held}; these do not:" if self.exceptions else held


def check_expectations(versions: Sequence[Version], qualities: Sequence[float]) -> tuple[Expectation, Expectation]:
    """Is every degraded version below the original, and every step below the milder one of its kind?

    Args:
        versions: the original first, then kinds with growing steps, as `make_versions` returns them.
        qualities: one for each, higher is better.
    """
    scored = list(zip(versions, qualities, strict=True))
    original = qualities[0]
    not_below = [
        f"{version.name} ({quality - original:+.3g})" for version, quality in scored[1:] if not quality < original
    ]
    pairs = [(a, b) for a, b in pairwise(scored) if a[0].kind == b[0].kind]
    not_falling = [
        f"{harder.name} ({worse - better:+.3g} to {milder.detail})"
        for (milder, better), (harder, worse) in pairs
        if not worse < better
    ]
    return (
        Expectation("degraded versions score below the original", len(versions) - 1, tuple(not_below)),
        Expectation("steps score below the milder step of their kind", len(pairs), tuple(not_falling)),
    )


def rank(qualities: Sequence[float]) -> list[int]:
    """Indices of the versions, best first; equal ones in their order."""
    return sorted(range(len(qualities)), key=lambda i: -qualities[i])

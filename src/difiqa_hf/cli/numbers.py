"""Numbers on the command line, within bounds: a wrong one is wrong usage, found before anything is loaded."""

import argparse
import math
import operator
from collections.abc import Callable

_BOUNDS = {
    "least": (operator.ge, "at least"),
    "above": (operator.gt, "above"),
    "most": (operator.le, "at most"),
    "below": (operator.lt, "below"),
}

_LARGEST = 2**63 - 1


def number(**bounds: float) -> Callable[[str], float]:
    """A type for argparse: a finite number within `bounds`: least, above, most, below."""
    return _bounded(float, "a number", bounds)


def whole(**bounds: int) -> Callable[[str], int]:
    """As `number`, of whole numbers, and of those that 64 bits can hold."""
    return _bounded(int, "a whole number", bounds | {"most": bounds.get("most", _LARGEST)})


def _bounded(kind: type, what: str, bounds: dict[str, float]) -> Callable:
    checks = [(*_BOUNDS[name], bound) for name, bound in bounds.items()]
    wanted = " and ".join(f"{words} {bound:g}" for _, words, bound in checks if bound != _LARGEST)
    wanted = f"{what} {wanted}".rstrip()

    def parse(text: str) -> float:
        try:
            value = kind(text)
            good = math.isfinite(value) and all(holds(value, bound) for holds, _, bound in checks)
        except (ValueError, OverflowError):  # no number, or one of hundreds of digits
            good = False
        if not good:
            raise argparse.ArgumentTypeError(f"must be {wanted}, found {text!r}")
        return value

    return parse

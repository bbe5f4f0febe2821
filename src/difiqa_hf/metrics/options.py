"""The options of the protocols, by the names that the field uses."""

from fractions import Fraction
from typing import Any

from difiqa_hf.metrics.thresholds import RULES, exact

# protocol -> option -> default; every option may be set for either
PROTOCOLS: dict[str, dict[str, Any]] = {
    "paper": {
        "fmr_rule": "lt",
        "threshold_update": "recompute",
        "unit": "pair",
        "grid_step": 0.05,
        "ties": None,  # of the grid: "stable"
        "normalisation": "fnmr0_range",
        "subtract_best": False,
    },
    "edc": {
        "fmr_rule": "lt",
        "threshold_update": "fixed",
        "unit": "mated_pair",
        "grid_step": "exact",
        "ties": None,  # of exact steps: "together"
        "normalisation": "fnmr0_range",
        "subtract_best": False,
    },
}
CHOICES: dict[str, tuple] = {
    "fmr_rule": tuple(RULES),
    "threshold_update": ("recompute", "fixed"),
    "unit": ("pair", "mated_pair", "image"),
    "normalisation": ("none", "fnmr0", "fnmr0_range"),
    "subtract_best": (False, True),
}


def checked_options(protocol: str, fmr: float, options: dict[str, Any]) -> tuple[Fraction, dict[str, Any]]:
    """The exact false match rate, and the options with their defaults filled in.

    Raises:
        ValueError: for a protocol, option or value that does not exist, or values that exclude each other.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    fmr_exact = _fraction(fmr)
    if not 0 < fmr_exact < 1:
        raise ValueError(f"fmr must be in (0, 1), found {fmr}")
    for name, value in options.items():
        if name not in PROTOCOLS[protocol]:
            raise ValueError(f"there is no option {name!r}; known: {', '.join(PROTOCOLS[protocol])}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} must be one of {', '.join(map(str, CHOICES[name]))}, found {value!r}")
    resolved = PROTOCOLS[protocol] | options
    exact_steps = resolved["grid_step"] == "exact"
    if not exact_steps and not 0 < _fraction(resolved["grid_step"]) <= 1:
        raise ValueError(f"grid_step must be in (0, 1] or 'exact', found {resolved['grid_step']}")
    ties = ("together",) if exact_steps else ("stable", "skip")
    resolved["ties"] = resolved["ties"] or ties[0]
    if resolved["ties"] not in ties:
        raise ValueError(f"ties must be {' or '.join(ties)} with grid_step {resolved['grid_step']!r}")
    if resolved["threshold_update"] == "recompute" and (exact_steps or resolved["unit"] == "mated_pair"):
        why = "exact steps" if exact_steps else "unit 'mated_pair', which discards no impostor,"
        raise ValueError(f"{why} need threshold_update='fixed'")
    return fmr_exact, resolved


def _fraction(value: Any) -> Fraction:
    """0, which no option takes, for what is no number: NaN, infinity, a word."""
    try:
        return exact(value)
    except (ValueError, ZeroDivisionError):
        return Fraction(0)

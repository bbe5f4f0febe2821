"""List the quality methods: what each is, what it needs, how to read its score, its options, whose it is.

seed: the score depends on --seed. recogniser: takes --recognizer. gradients: differentiates the recogniser.
weights: "shipped", or "to name": --method NAME=FOLDER, a checkpoint that you trained or converted, or for "calibrate" a
calibration on your images for your recogniser (see `FROQ.calibrate`).
"""

import argparse
import json

from difiqa_hf.cli.common import FLAGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `difiqa methods`."""
    parser.add_argument("--kind", choices=("analytical", "regression", "model", "baseline"), help="only of this kind")
    parser.add_argument("--json", action="store_true", help="everything that a method declares, for programs")


def run(args: argparse.Namespace) -> int:
    """Print tables of what the methods need, of their options and of where they come from."""
    from difiqa_hf.methods.registry import describe_methods

    methods = describe_methods(args.kind)
    if args.json:
        print(json.dumps(methods, indent=1, ensure_ascii=False))
        return 0
    needs = [("name", "kind", "score range", "seed", "recogniser", "gradients", "weights", "what it is")]
    for row in methods:
        flags = (row["is_stochastic"], row["needs_recognizer"], row["needs_gradients"])
        marks = ("yes" if flag else "-" for flag in flags)
        needs.append((row["name"], row["kind"], _range(row["score_range"]), *marks, _weights(row), row["summary"]))
    origin = [("name", "paper", "code", "weights", "input", "parity")]
    fields = ("name", "paper", "code_license", "weights_license", "input_contract", "parity")
    origin += [tuple(row[field] for field in fields) for row in methods]
    options = [("name", "options (--option KEY=VALUE) and their defaults")]
    for row in methods:
        own = {name: value for name, value in row["options"].items() if name not in FLAGS}
        options += [(row["name"], ", ".join(f"{name}={value}" for name, value in own.items()))] if own else []
    print(_table(needs), _table(options), _table(origin), sep="\n\n")
    return 0


def _range(bounds) -> str:
    low, high = (none if bound is None else f"{bound:g}" for bound, none in zip(bounds, ("-inf", "inf"), strict=True))
    return f"[{low}, {high}]"


def _weights(row: dict) -> str:
    if not row["has_weights"]:
        return "-"
    if not row["needs_training"]:
        return "calibrate"
    return "shipped" if row["weights_license"].startswith("shipped") else "to name"


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

"""List the quality methods: what each is, what it needs, how to read its score."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `difiqa methods`."""
    parser.add_argument("--kind", choices=("analytical", "regression", "model", "baseline"), help="only of this kind")


def run(args: argparse.Namespace) -> int:
    """Print one line per method."""
    from difiqa_hf.methods import list_methods
    from difiqa_hf.methods.registry import method_class

    row = "{:<10} {:<11} {:<14} {:<7} {:<11} {}"
    print(row.format("name", "kind", "score range", "seed", "recogniser", "what it is"))
    for name in list_methods(args.kind):
        method = method_class(name)
        low, high = (
            none if bound is None else f"{bound:g}"
            for bound, none in zip(method.score_range, ("-inf", "inf"), strict=True)
        )
        seed, recognizer = ("yes" if flag else "-" for flag in (method.is_stochastic, method.needs_recognizer))
        summary = (method.__doc__ or "").split("\n")[0]
        print(row.format(name, method.kind, f"[{low}, {high}]", seed, recognizer, summary))
    return 0

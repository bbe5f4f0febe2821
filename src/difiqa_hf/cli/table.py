"""A table in the form of the paper from the results of `difiqa evaluate`, and its curves."""

import argparse
from pathlib import Path

from difiqa_hf.cli.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The forms are those of the paper's tables."""
    parser.add_argument("results", type=Path, metavar="DIR", help="folder with result files, or one file")
    parser.add_argument("--like", default="paper-table-2", metavar="TABLE", help="paper-table-2[-at-0.2]")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the curves with bands into it (extra plots)")
    parser.add_argument("--kind", default="svg", choices=("svg", "png"), help="of the plots")


def run(args: argparse.Namespace) -> int:
    """Read, print."""
    from difiqa_hf.benchmarks.paper_tables import format_like, read_results

    if args.plots is not None:
        check_folder(args.plots)
    results = read_results(args.results)
    print(format_like(results, args.like))
    if args.plots is not None:
        from difiqa_hf.benchmarks.curves import draw_results

        print(*(f"drawn: {path}" for path in draw_results(results, args.plots, args.kind)), sep="\n")
    return 0

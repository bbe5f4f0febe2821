"""A table in the form of the paper from the results of `difiqa evaluate`."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The forms are those of the paper's tables."""
    parser.add_argument("results", type=Path, metavar="DIR", help="folder with result files, or one file")
    parser.add_argument("--like", default="paper-table-2", metavar="TABLE", help="paper-table-2[-at-0.2]")


def run(args: argparse.Namespace) -> int:
    """Read, print."""
    from difiqa_hf.benchmarks.paper_tables import format_like, read_results

    print(format_like(read_results(args.results), args.like))
    return 0

"""Write a dataset for the Hub, without images: result tables from DIR, or the pair list of a benchmark."""

import argparse
from pathlib import Path

from difiqa_hf.cli.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Either a folder of results or a benchmark."""
    parser.add_argument("results", nargs="?", type=Path, metavar="DIR", help="results of difiqa evaluate, or one file")
    parser.add_argument("--benchmark", metavar="NAME", help="pair list of this benchmark, as in difiqa evaluate")
    parser.add_argument("--root", metavar="PATH", help="zip, folder or .bin file of the benchmark")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT_DIR", help="then: difiqa push OUT_DIR")


def run(args: argparse.Namespace) -> int:
    """Read, write, say where."""
    from difiqa_hf.benchmarks import load_benchmark
    from difiqa_hf.benchmarks.publish import read_result_files, write_pairs, write_results

    if (args.results is None) == (args.benchmark is None) or (args.benchmark and not args.root):
        raise ValueError("name either a folder of results, or --benchmark and --root")
    check_folder(args.output)
    if args.results is not None:
        print(f"wrote {write_results(read_result_files(args.results), args.output)}")
    else:
        print(f"wrote {write_pairs(load_benchmark(args.benchmark, args.root), args.output)}")
    return 0

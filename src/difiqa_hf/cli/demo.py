"""Score NASA's portrait of Eileen Collins (public domain, from scikit-image) and its degraded versions, offline.

Prints the ranking and where it is not as expected, and writes it with the pictures to one HTML file.
"""

import argparse
import sys
import time
from pathlib import Path

from difiqa_hf.cli.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, methods = parser.add_argument, ["difiqa", "difiqa-r"]
    add("-o", "--output", default="demo_output", type=Path, metavar="DIR", help="folder for the HTML file")
    add("--method", nargs="+", default=methods, metavar="NAME", help="quality methods; the first one ranks")
    add("--num-repeats", type=int, default=4, metavar="N", help="noise draws per image, method difiqa only")


def run(args: argparse.Namespace) -> int:
    start = time.perf_counter()
    from tqdm import tqdm

    from difiqa_hf.demo.ranking import check_expectations
    from difiqa_hf.demo.sheet import render_sheet
    from difiqa_hf.demo.versions import make_versions
    from difiqa_hf.image_processing import FaceImageProcessor
    from difiqa_hf.methods import create_method
    from difiqa_hf.scoring import hide_loading_bars

    check_folder(args.output)
    hide_loading_bars()
    repeats = {"difiqa": {"num_repeats": args.num_repeats}}
    methods = [create_method(name, **repeats.get(name, {})) for name in args.method]
    versions = make_versions()
    pixel_values = FaceImageProcessor()([version.image for version in versions]).pixel_values
    qualities = {}
    for method in methods:
        print(f"scoring {len(versions)} versions by {method.name} on the CPU …", flush=True)
        parts = tqdm(pixel_values.split(4), file=sys.stderr, disable=None, leave=False)
        qualities[method.name] = [quality for part in parts for quality in method(part).tolist()]

    print()
    _print_table(versions, qualities, {method.name: method.percentile for method in methods})
    for name, values in qualities.items():
        print(f"\n{name}")
        for expectation in check_expectations(versions, values):
            print(f"  {expectation}")
            for exception in expectation.exceptions:
                print(f"    {exception}")
    args.output.mkdir(parents=True, exist_ok=True)
    sheet = args.output / "demo.html"
    revisions = ", ".join(f"{method.name} {method.revision}".rstrip() for method in methods)
    sheet.write_text(render_sheet(versions, qualities, revisions), encoding="utf-8")
    print(f"\n{sheet} written, {time.perf_counter() - start:.0f} s")
    return 0


def _print_table(versions: list, qualities: dict[str, list[float]], percentiles: dict) -> None:
    """Rank, version and a column per method, best of the first method on top; with percentiles where there are some."""
    from difiqa_hf.demo.ranking import rank

    width = max(len(version.name) for version in versions)
    cells = {name: [_cell(quality, percentiles[name]) for quality in values] for name, values in qualities.items()}
    widths = {name: max(map(len, (name, *column))) for name, column in cells.items()}
    print("rank", "version".ljust(width), *(name.rjust(widths[name]) for name in cells), sep="  ")
    for place, i in enumerate(rank(next(iter(qualities.values()))), 1):
        scores = (column[i].rjust(widths[name]) for name, column in cells.items())
        print(f"{place:4d}", versions[i].name.ljust(width), *scores, sep="  ")


def _cell(quality: float, percentile) -> str:
    place = percentile(quality)
    return f"{quality:.4f}" if place is None else f"{quality:.4f} ({place:3.0f} %)"

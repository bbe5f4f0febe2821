"""Arguments and steps that the commands on images share."""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from difiqa_hf.cli.files import check_output, refuse_input
from difiqa_hf.cli.numbers import number, whole

WORKERS = 256  # more processes than any machine has use for
FLAGS = {  # options of a method that are not for --option
    "recognizer": "--recognizer",
    "seed": "--seed",
    "device": "--device",
    "num_repeats": "--num-repeats",
    "preset": "--preset",
    "checkpoint": "--method NAME=FOLDER",
}


def add_inputs(parser: argparse.ArgumentParser, detect: bool = False) -> None:
    """PATHs, and how they are read. `detect`: what is not an aligned crop is the default."""
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="images, folders, zips, videos, quoted wildcards (** is any depth); - reads a list of paths from stdin",
    )
    add("-z", "--null", action="store_true", help="the list on stdin is separated by NUL, as by find -print0")
    kind = parser.add_mutually_exclusive_group()
    by_default, silent = "; the default", argparse.SUPPRESS
    aligned = "images are aligned crops" + by_default * (not detect)
    photographs = "images are photographs: find the faces and align them" + by_default * detect
    kind.add_argument("--aligned", dest="detect", action="store_false", default=silent, help=aligned)
    kind.add_argument("--detect", action="store_true", default=silent, help=photographs)
    parser.set_defaults(detect=detect)
    add("--min-size", type=number(least=0), default=20, metavar="PIXELS", help="smaller crops or faces are too_small")
    add(
        "--max-megapixels",
        type=number(above=0),
        default=100,
        metavar="MP",
        help="larger images are unreadable; reading one takes 6 to 20 bytes a pixel",
    )
    add(
        "--fps",
        type=number(least=0),
        default=2,
        metavar="N",
        help="frames that are read of a second of video; 0 for all",
    )
    workers = whole(least=0, most=WORKERS)
    add(
        "--workers", type=workers, default=1, metavar="N", help="processes that read and align images ahead; 0 for none"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """Where rows go."""
    add = parser.add_argument
    add("-o", "--output", default="-", metavar="FILE", help=".csv, .jsonl or .parquet file; - for stdout")
    add("--format", choices=("csv", "jsonl", "parquet"), help="if the name of the output does not say it")
    add("--restart", action="store_true", help="throw away what an interrupted run has left")


def check_rows(output: str) -> None:
    """Refuse an output that is no place for rows, see `check_output`."""
    check_output(output, (".csv", ".jsonl", ".ndjson", ".parquet"), starts=(b"path,", b'{"path"', b"PAR1"))


def add_method(parser: argparse.ArgumentParser) -> None:
    """The quality method and where it runs."""
    add = parser.add_argument
    add("--method", default="difiqa-r", metavar="NAME", help="see `difiqa methods`; NAME=FOLDER names a checkpoint")
    add("--recognizer", metavar="R", help="recogniser of the method: folder, file or repository")
    add(
        "--num-repeats",
        type=whole(least=1),
        metavar="N",
        help="noise repeats of a stochastic method, if not its default",
    )
    add("--preset", metavar="NAME", help="of method difiqa: paper (its default), fast, fastest, careful")
    add(
        "--option",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another option of the method, such as epsilon=.002; may be given again; `difiqa methods` lists them",
    )
    add("--seed", type=whole(), default=0, help="of a stochastic method")
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto is cuda where there is one")
    text = "faces scored at once; changes speed, and the last digits of scores"
    add("--batch-size", type=whole(least=1), default=32, metavar="N", help=text)
    add("--calibration", type=Path, metavar="JSON", help="percentiles by this file of `difiqa calibrate`")


def key_value(text: str) -> tuple[str, Any]:
    """ "epsilon=.002" -> ("epsilon", .002): a number, true, false or none where the value reads as one, else text."""
    key, equals, value = text.partition("=")
    key = key.replace("-", "_")
    if not (equals and key.isidentifier()):
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, found {text!r}")
    if key in FLAGS:
        raise argparse.ArgumentTypeError(f"{key} has a flag of its own: {FLAGS[key]}")
    words = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return key, words[value.lower()]
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return key, kind(value)
    return key, value


def make_method(args: argparse.Namespace, repeats_elsewhere: bool = False):
    """The method, and what it says of itself on stderr; with `repeats_elsewhere` --num-repeats is not for it."""
    from difiqa_hf.methods import create_method
    from difiqa_hf.methods.registry import method_class
    from difiqa_hf.scoring import hide_loading_bars, pick_device

    warnings.filterwarnings("ignore", module="PIL")  # about odd but legible files
    hide_loading_bars()
    device = pick_device(args.device)
    chosen = method_class(args.method)
    if args.recognizer and not chosen.needs_recognizer:
        say(f"note: {args.method} has no use for --recognizer")
    names = [name for name, _ in args.option]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"--option gives {', '.join(sorted(twice))} more than once")
    options = dict(args.option) | {"recognizer": args.recognizer, "seed": args.seed, "device": device}
    if args.num_repeats is not None and not repeats_elsewhere:
        options["num_repeats"] = args.num_repeats
    if args.preset is not None:
        options["preset"] = args.preset
    method = create_method(args.method, **options)
    method.check_ready()
    images = "photographs, whose faces are found" if args.detect else "aligned crops"
    say(f"method {method.name} {method.revision}".rstrip() + f", device {device}; images are {images}")
    return method


def make_detector(args: argparse.Namespace):
    """The face detector, or None for aligned crops."""
    from difiqa_hf.detection import FaceDetector

    return FaceDetector(min_size=args.min_size) if args.detect else None


def list_files(args: argparse.Namespace) -> tuple[list[Path], bool]:
    """Every file once, in order, and whether every PATH is there and holds an image; those that do not are named.

    Raises:
        ValueError: if the output is one of the PATHs, or the list on stdin is separated otherwise than was said.
    """
    from difiqa_hf.scoring import allowed, find_images, named_paths

    named = list(named_paths(args.paths, sys.stdin.buffer, b"\0" if args.null else b"\n"))
    if any("\0" in str(path) for path in named):
        raise ValueError("the list on stdin is separated by NUL, as by find -print0: give -z too")
    if args.null and len(named) == 1 and "\n" in str(named[0]) and not allowed(named[0].exists):
        raise ValueError("the list on stdin is not separated by NUL: leave out -z, or make it by find -print0")
    refuse_input(args.output, named)
    files, barren = {}, []
    for path in named:
        found = list(find_images([path]))
        files.update(dict.fromkeys(found))
        barren += [] if found else [str(path)]
    if barren:
        more = f" and {len(barren) - 5} more" if len(barren) > 5 else ""
        say(f"note: no image in {', '.join(barren[:5])}{more} (zips and videos are read only if they are named)")
    return list(files), bool(files) and not barren and all(allowed(path.exists) for path in named)


def read_sources(args: argparse.Namespace, files: list[Path]) -> Iterator[Any]:
    """The images in the files, with a progress bar over the files on stderr."""
    from tqdm import tqdm

    from difiqa_hf.scoring import expand

    with contextlib.closing(tqdm(files, unit="file", file=sys.stderr, disable=None)) as bar:
        yield from expand(bar, args.fps or None)


def chosen_card(args: argparse.Namespace, method):
    """The card of --calibration, if it belongs to the method, else the method's own, else None."""
    if args.calibration is None:
        return method.threshold_card()
    from difiqa_hf.metrics import ThresholdCard

    return ThresholdCard.load(args.calibration).checked(method.name, method.revision)


def card_bands(limits: list[str] | None, card):
    """`Bands` of what was typed: scores, or percentiles of the reference set such as "5%"."""
    if limits is None:
        return None
    from difiqa_hf.scoring import Bands

    bands = Bands(*(parse_limit(limit, card) for limit in limits))
    for limit in (bands.fail, bands.accept):
        if card is not None and not card.scores[0] <= limit <= card.scores[-1]:
            say(
                f"note: the limit {limit:g} lies outside of the reference scores, {card.scores[0]:.4g} to "
                f"{card.scores[-1]:.4g}; a percentile is written with its sign, such as 5%"
            )
    return bands


def parse_limit(text: str, card) -> float:
    """ "0.8" -> .8; "5%" -> the score at the 5th percentile of the card's reference set."""
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError(f"a limit is a score such as 0.8 or a percentile such as 5%, found {text!r}") from None
    if not text.endswith("%"):
        return number
    if card is None:
        raise ValueError(f"{text} needs a reference set, and this method has none: make one by difiqa calibrate")
    return card.score_at(number)


def run_settings(args: argparse.Namespace, method) -> dict[str, Any]:
    """All that rows depend on besides the images: what an interrupted run must have in common with its continuation."""
    from difiqa_hf import __version__

    names = ("detect", "min_size", "max_megapixels", "fps", "seed", "num_repeats", "preset", "device", "batch_size")
    chosen = {name: getattr(args, name) for name in (*names, "option")}
    chosen["calibration"] = args.calibration and args.calibration.read_text(encoding="utf-8")
    return chosen | {"method": method.name, "weights": method.fingerprint or method.revision, "version": __version__}


def say(text: str) -> None:
    """To the person, not into the data."""
    print(text, file=sys.stderr)


def say_row(row) -> None:
    """Why a row has no quality, above the progress bar."""
    from tqdm import tqdm

    if row.quality is None:
        tqdm.write(f"{row.status}: {str(row.path)!r}: {row.reason}", file=sys.stderr)

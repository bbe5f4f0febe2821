"""Score face images: one CSV row per face, a status for every file, and no bad file stops it.

Folders are searched recursively for avif, bmp, gif, jpeg, png, ppm, tiff and webp files. The status is ok,
several_faces (one row per face, 0 is the largest), no_face, too_small or unreadable; the reason stands on stderr.
A path that a spreadsheet would run as a formula is written with "./" before it. The exit code is 0 whatever the
images, and 1 if a PATH does not exist or holds no image.
"""

import argparse
import contextlib
import csv
import inspect
import sys
from collections import Counter
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="image files and folders")
    add("-o", "--output", default="-", metavar="FILE", help="CSV file; - for stdout")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--aligned", action="store_true", help="the images are aligned face crops; the default")
    kind.add_argument("--detect", action="store_true", help="the images are photographs: find the faces, align them")
    add("--method", default="difiqa-r", metavar="NAME", help="see `difiqa methods`; NAME=FOLDER names a checkpoint")
    add("--recognizer", metavar="R", help="recogniser of the method: folder, file or repository")
    add("--num-repeats", type=int, metavar="N", help="noise repeats of a stochastic method, if not its default")
    add("--seed", type=int, default=0, help="of a stochastic method")
    add("--device", default="auto", help="cpu, cuda, cuda:1, mps; auto is cuda where there is one")
    add("--batch-size", type=int, default=32, metavar="N", help="faces scored at once; changes speed, not scores")
    add("--min-size", type=float, default=20, metavar="PIXELS", help="smaller crops or faces are too_small")
    add("--max-megapixels", type=float, default=100, metavar="MP", help="larger images are unreadable")


def run(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from difiqa_hf import scoring

    method, device = _create_method(args)
    _say(f"method {method.name} {method.revision}".rstrip() + f", device {device}")
    detector = _create_detector(args)
    paths = list(dict.fromkeys(scoring.find_images(args.paths)))
    bar = tqdm(paths, unit="file", file=sys.stderr, disable=None)
    counts, rows = Counter(), 0
    with _output(args.output) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(scoring.COLUMNS)
        for row in scoring.score_files(bar, method, detector, args.min_size, args.max_megapixels, args.batch_size):
            writer.writerow(row.cells())
            rows += 1
            counts[row.status] += not row.face  # of every file exactly one row has face 0 or none
            if row.quality is None:
                tqdm.write(f"{row.status}: {str(row.path)!r}: {row.reason}", file=sys.stderr)
    bar.close()
    found = ", ".join(f"{counts[status]} {status}" for status in scoring.STATUSES if counts[status])
    where = "" if args.output == "-" else f" in {args.output}"
    _say(f"{len(paths)} files: {found or 'nothing to score'}; {rows} rows{where}")
    return 0 if paths and all(path.exists() for path in args.paths) else 1


def _create_method(args: argparse.Namespace):
    from difiqa_hf.methods import create_method
    from difiqa_hf.methods.registry import method_class
    from difiqa_hf.scoring import hide_loading_bars, pick_device

    hide_loading_bars()
    device = pick_device(args.device)
    chosen = method_class(args.method)
    if args.recognizer and not chosen.needs_recognizer:
        _say(f"note: {args.method} has no use for --recognizer")
    options = {"recognizer": args.recognizer, "seed": args.seed, "device": device}
    if args.num_repeats is not None:
        if "num_repeats" not in inspect.signature(chosen).parameters:
            raise ValueError(f"{args.method} has no repeats; leave out --num-repeats")
        options["num_repeats"] = args.num_repeats
    return create_method(args.method, **options), device


def _create_detector(args: argparse.Namespace):
    from difiqa_hf.detection import FaceDetector

    return FaceDetector(min_size=args.min_size) if args.detect else None


def _output(name: str):
    from difiqa_hf.scoring import open_output

    if name != "-":
        return open_output(Path(name))
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    return contextlib.nullcontext(sys.stdout)


def _say(text: str) -> None:
    print(text, file=sys.stderr)

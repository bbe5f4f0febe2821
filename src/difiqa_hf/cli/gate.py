"""Decide about images for a gallery: accept, review or reject, with reasons; one row per file.

Rejected: unreadable, no face, too small, or a quality below the first of --bands. To be reviewed: a quality below the
second, several faces, or a limit missed that you set. All limits are yours; nothing is rejected by a default. Exit
codes: 0 done; 1 failed, or a PATH does not exist or holds no image; 2 wrong usage; with --strict 3 if anything was not
accepted; 130 interrupted.
"""

import argparse

from difiqa_hf.cli import common
from difiqa_hf.cli.numbers import number

# option -> (unit, largest limit that makes sense, what is measured)
OPTIONS = {
    "min_eye_distance": ("PIXELS", None, "distance between the eyes in the photograph"),
    "max_yaw": ("DEGREES", 180, "head turned to a side, estimated"),
    "max_pitch": ("DEGREES", 180, "head turned up or down, estimated"),
    "max_roll": ("DEGREES", 180, "head tilted"),
    "min_sharpness": ("V", None, "variance of the Laplacian in the aligned face; see difiqa explain"),
    "max_dark": ("PERCENT", 100, "nearly black pixels of the face"),
    "max_bright": ("PERCENT", 100, "nearly white pixels of the face"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    common.add_inputs(parser, detect=True)
    common.add_output(parser)
    add(
        "--bands",
        nargs=2,
        required=True,
        metavar=("REJECT", "ACCEPT"),
        help="qualities below REJECT are rejected, from ACCEPT on accepted; scores, or percentiles as 5%%",
    )
    for name, (unit, most, meaning) in OPTIONS.items():
        kind = number(least=0) if most is None else number(least=0, most=most)
        add(f"--{name.replace('_', '-')}", type=kind, metavar=unit, help=f"review what misses it: {meaning}")
    add("--allow-several", action="store_true", help="images with several faces pass by their largest")
    add("--strict", action="store_true", help="exit code 3 if anything was not accepted")
    common.add_method(parser)


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.scoring import in_chunks, open_output
    from difiqa_hf.scoring.run import chunk_cutter, score_crops
    from difiqa_hf.selection.gate import COLUMNS, Limits, judge

    common.check_rows(args.output)
    method, detector = common.make_method(args), common.make_detector(args)
    card = common.chosen_card(args, method)
    measured = {name: limit for name in OPTIONS if (limit := getattr(args, name)) is not None}
    limits = Limits(common.card_bands(args.bands, card), measured, not args.allow_several)
    files, complete = common.list_files(args)
    settings = common.run_settings(args, method) | {"limits": repr(limits)}
    cut = chunk_cutter(detector, args.min_size, args.max_megapixels, method.landmarks)
    with open_output(args.output, COLUMNS, args.format, settings, args.restart) as output:
        chunks = output.remaining(in_chunks(common.read_sources(args, files), args.batch_size))
        for chunk, crops in cut(chunks, args.workers):
            largest = [crop for crop in crops if not crop.face]
            rows = score_crops(largest, method, args.batch_size, card and card.percentile)
            output.write(chunk, [judge(row, crop, limits) for row, crop in zip(rows, largest, strict=True)])
    counts = output.progress.files
    common.say(", ".join(f"{counts[name]} {name}" for name in ("accept", "review", "reject")))
    if not complete:
        return 1
    return 3 if args.strict and counts["review"] + counts["reject"] else 0

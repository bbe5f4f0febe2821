"""Score face images: one row per face, a status for every file, and no bad file stops it.

Folders are searched recursively for avif, bmp, gif, jpeg, png, ppm, tiff and webp files; zips and videos are read if
they are named. The status is ok, several_faces (one row per face, 0 is the largest), no_face, too_small or unreadable;
the reason stands on stderr. A path that a spreadsheet would run as a formula is written with "./" before it.

A run that was interrupted, by a power cut too, goes on when the same command is given again; the file is then the same
as that of a run that was not. Exit codes: 0 done, whatever the images; 1 failed, or a PATH does not exist or holds no
image; 2 wrong usage; 130 interrupted.
"""

import argparse

from difiqa_hf.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    common.add_inputs(parser)
    add("-o", "--output", default="-", metavar="FILE", help=".csv, .jsonl or .parquet file; - for stdout")
    add("--format", choices=("csv", "jsonl", "parquet"), help="if the name of the output does not say it")
    add("--restart", action="store_true", help="throw away what an interrupted run has left")
    common.add_method(parser)
    add(
        "--bands",
        nargs=2,
        metavar=("FAIL", "PASS"),
        help="add a column band: below FAIL is FAIL, from PASS on PASS, between REVIEW; scores, or percentiles as 5%%",
    )


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.scoring import COLUMNS, in_chunks, open_output, score_chunks

    method = common.make_method(args)
    detector, card = common.make_detector(args), common.chosen_card(args, method)
    bands = card_bands(args.bands, card)
    files, complete = common.list_files(args)
    columns = (*COLUMNS, "band") if bands else COLUMNS
    with open_output(args.output, columns, args.format, _settings(args, method, bands), args.restart) as output:
        chunks = output.remaining(in_chunks(common.read_sources(args, files), args.batch_size))
        options = args.min_size, args.max_megapixels, args.batch_size, args.workers, card and card.percentile, bands
        for chunk, rows in score_chunks(chunks, method, detector, *options):
            output.write(chunk, rows)
            for row in rows:
                common.say_row(row)
    _summarise(output.progress, args.output)
    return 0 if complete else 1


def card_bands(limits: list[str] | None, card):
    """`Bands` of what was typed: scores, or percentiles of the reference set such as "5%"."""
    if limits is None:
        return None
    from difiqa_hf.scoring import Bands

    return Bands(*(parse_limit(limit, card) for limit in limits))


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


def _settings(args: argparse.Namespace, method, bands) -> dict:
    """All that rows depend on besides the images: what an interrupted run must have in common with its continuation."""
    from difiqa_hf import __version__

    names = ("detect", "min_size", "max_megapixels", "fps", "seed", "num_repeats", "device", "batch_size")
    chosen = {name: getattr(args, name) for name in names}
    chosen["calibration"] = args.calibration and args.calibration.read_text(encoding="utf-8")
    chosen["bands"] = bands and [bands.fail, bands.accept]
    return chosen | {"method": method.name, "weights": method.fingerprint or method.revision, "version": __version__}


def _summarise(progress, output: str) -> None:
    from difiqa_hf.scoring import STATUSES

    found = ", ".join(f"{progress.files[status]} {status}" for status in STATUSES if progress.files[status])
    where = "" if output == "-" else f" in {output}"
    before = f" ({progress.resumed} batches of an interrupted run were kept)" if progress.resumed else ""
    count = sum(progress.files.values())
    common.say(f"{count} files: {found or 'nothing to score'}; {progress.rows} rows{where}{before}")

"""An HTML page about a file of scores: worst and best, histogram, statuses, thresholds, ranking.

Readable for someone who has never heard of face image quality; one file, with the pictures in it, nothing loaded from
elsewhere. Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_output
from difiqa_hf.cli.numbers import number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("scores", type=Path, metavar="SCORES", help="CSV, JSON lines or Parquet of `difiqa score`")
    add("-o", "--output", default="report.html", type=Path, metavar="FILE", help="the page")
    add("--title", help="what was scored; if not the name of the file")
    add("--root", default=".", type=Path, metavar="DIR", help="where relative paths of SCORES begin")
    add("--detect", action="store_true", help="SCORES were made with --detect: show the faces, not the photographs")
    add("--no-pictures", action="store_true", help="names and numbers only")
    add("--calibration", type=Path, metavar="JSON", help="the card of `difiqa calibrate` that SCORES were made with")
    add("--min-size", type=number(least=0), default=20, metavar="PIXELS", help="as SCORES were made with")
    add("--max-megapixels", type=number(above=0), default=100, metavar="MP", help="as SCORES were made with")
    add("--fps", type=number(least=0), default=2, metavar="N", help="as SCORES were made with")


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.report import render_report, summarise
    from difiqa_hf.scoring.read_back import read_rows

    check_output(args.output, (".html", ".htm"), [args.scores])
    if not args.root.is_dir():
        raise ValueError(f"no folder {args.root}; --root is where relative paths of {args.scores} begin")
    summary = summarise(read_rows(args.scores))
    card = _card(args, summary)
    pictures = {} if args.no_pictures else _pictures(args, summary)
    page = render_report(summary, args.title or args.scores.name, pictures, card)
    args.output.write_text(page, encoding="utf-8")
    common.say(f"{args.output}: {len(summary.qualities)} faces, {len(pictures)} pictures")
    return 0


def _pictures(args: argparse.Namespace, summary) -> dict:
    """The pictures of both ends of the ranking, as far as the files are still there."""
    from difiqa_hf.report.page import wanted
    from difiqa_hf.scoring.recall import cut_picture, recall

    detector, places = common.make_detector(args), {}
    for entry in wanted(summary):
        places.setdefault(args.root / entry.path, set()).add((entry.path, entry.face))
    pictures = {
        key: cut_picture(image, detector, key[1], side=192)
        for name, image in recall(places, args.fps or None, args.max_megapixels)
        for key in places[name]
    }
    missing = [key for keys in places.values() for key in keys if key not in pictures]
    if missing:
        common.say(
            f"note: {len(missing)} of {len(missing) + len(pictures)} pictures could not be read any more, "
            f"{args.root / missing[0][0]} for one; --root is where relative paths begin, now {args.root}"
        )
    return pictures


def _card(args: argparse.Namespace, summary):
    """The card of the percentiles: of --calibration, or of the shipped method behind the scores; None if neither."""
    if len(summary.scorers) != 1:
        if args.calibration is not None:
            raise ValueError(f"--calibration is for scores of one method, found {', '.join(summary.scorers) or 'none'}")
        return None
    name, _, revision = summary.scorers[0].partition(" ")
    if args.calibration is not None:
        from difiqa_hf.metrics import ThresholdCard

        card = ThresholdCard.load(args.calibration).checked(name, revision)
        if not _fits(card, summary):
            raise ValueError(f"the percentiles of {args.scores} are not those of {args.calibration}; leave it out")
        return card
    card = _shipped_card(name, revision)
    if card is not None and not _fits(card, summary):
        common.say("note: the percentiles are not those of the shipped card; name theirs by --calibration")
        return None
    return card


def _fits(card, summary) -> bool:
    """Whether percentiles of the rows, which have one decimal, are those of the card."""
    entries = [entry for entry in (*summary.worst, *summary.best) if entry.percentile is not None]
    return all(abs(card.percentile(entry.quality) - entry.percentile) <= 0.1 for entry in entries)


def _shipped_card(name: str, revision: str):
    """The card of a method's shipped weights, if they are those of the revision."""
    from difiqa_hf.methods import create_method
    from difiqa_hf.methods.registry import method_class
    from difiqa_hf.scoring import hide_loading_bars

    hide_loading_bars()
    try:
        if not method_class(name).has_weights:
            return None
        card = create_method(name).threshold_card()
    except (OSError, ValueError):  # weights of the user's own, or none that this package knows
        return None
    return card if card is not None and card.revision == revision else None

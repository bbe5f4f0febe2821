"""What a score means, and which threshold does what you want: the threshold card of a method, or an answer from it.

Without a question the card is printed. With one, the threshold stands alone on stdout, and what it does on stderr. FNMR
is the false non-match rate of the named recogniser when comparisons with a side below the threshold are discarded.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.numbers import number, whole

DEFAULT = "difiqa-r"
SHOWN = (0, 1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 90)  # percentiles of the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--method", metavar="NAME", help="see `difiqa methods`; NAME=FOLDER names a checkpoint; if nothing is named, "
        f"{DEFAULT}, or that of --calibration")  # fmt: skip
    add("--calibration", type=Path, metavar="JSON", help="a card of `difiqa calibrate` instead of the method's own")
    question = parser.add_mutually_exclusive_group()
    question.add_argument(
        "--discard", type=number(least=0, below=1), metavar="RATE", help="discard this share of the reference, 0.05 say"
    )
    question.add_argument(
        "--max-fnmr", type=number(least=0, most=1), metavar="RATE", help="the lowest threshold with at most this FNMR"
    )
    question.add_argument("--score", type=number(), metavar="Q", help="what this score means")
    add("--against", metavar="NAME", help="recogniser or comparisons of the card, if it has several; its first")
    add(
        "--min-genuine",
        type=whole(least=1),
        default=100,
        metavar="N",
        help="genuine comparisons that must be left for --max-fnmr",
    )


def run(args: argparse.Namespace) -> int:
    card = _card(args)
    errors = card.errors_of(args.against) if card.errors or args.against or args.max_fnmr is not None else None
    if args.discard is not None:
        score = card.threshold_for_discard(args.discard)
    elif args.max_fnmr is not None:
        score = card.threshold_for_fnmr(args.max_fnmr, errors, args.min_genuine)
    elif args.score is not None:
        score = args.score
    else:
        print(*_table(card, errors), sep="\n")
        return 0
    print(f"{score:.6g}")
    common.say("\n".join(_meaning(card, errors, score)))
    return 0


def _card(args: argparse.Namespace):
    """The card of --calibration, which must be for --method if one is named, or the method's own."""
    from difiqa_hf.methods import create_method
    from difiqa_hf.metrics import ThresholdCard
    from difiqa_hf.scoring import hide_loading_bars

    if args.calibration is not None and args.method is None:
        return ThresholdCard.load(args.calibration)
    hide_loading_bars()
    name = args.method or DEFAULT
    card = common.chosen_card(args, create_method(name))
    if card is None:
        raise ValueError(f"{name} has no reference set: make one by difiqa calibrate, name it by --calibration")
    return card


def _meaning(card, errors, score: float) -> list[str]:
    lines = [f"{card.percentile(score):.1f} % of the reference lie below: {card.reference}"]
    if errors is None:
        return [*lines, "what that does to a recogniser's errors is not known: the card has no comparisons"]
    point = card.point(score)
    setting = f"{errors.recognizer}, {errors.comparisons}, FMR {errors.fmr:g}"
    lines.append(f"FNMR {_rate(errors, 0)} with nothing discarded ({setting})")
    lines.append(f"FNMR {_rate(errors, point)} with all below discarded, {_left(errors, point)}")
    return lines


def _table(card, errors) -> list[str]:
    lines = [f"{card.method or 'any method'} {card.revision}".rstrip() + f"; reference: {card.reference}"]
    if errors is not None:
        lines.append(
            f"FNMR of {errors.recognizer} on {errors.comparisons} at FMR {errors.fmr:g}, similarity "
            f"{errors.similarity_threshold:.6g} ({errors.n_genuine} genuine, {errors.n_impostor} impostor comparisons)"
            f", {100 * errors.confidence:g} % interval by {errors.resampled}"
        )
    lines.append("below %       score" + ("" if errors is None else "   FNMR of what is left"))
    for percent in SHOWN:
        score = card.score_at(percent)
        point = card.point(score)
        left = "" if errors is None else f"   {_rate(errors, point)}, {_left(errors, point)}"
        lines.append(f"{percent:7d}  {score:10.6g}{left}")
    return lines


def _rate(errors, point: int) -> str:
    values = errors.percent_at(point)
    return "undefined" if values is None else "{:.3f} % [{:.3f}, {:.3f}]".format(*values)


def _left(errors, point: int) -> str:
    return f"{errors.remaining[point]:.0f} of {errors.n_genuine} genuine comparisons left"

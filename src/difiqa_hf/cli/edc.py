"""Error-versus-discard figures of scored comparisons in a CSV file, for any recogniser and quality measure.

Columns: similarity, genuine (1 or 0), and quality (of the comparison) or quality_1 and quality_2 (of its sides);
person_1 and person_2 give intervals by identity too. Other names than quality: --quality.
"""

import argparse
import json
from pathlib import Path

from difiqa_hf.cli.files import check_output
from difiqa_hf.cli.numbers import number, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `difiqa edc`."""
    parser.add_argument("pairs", type=Path, metavar="CSV", help="scored comparisons, one a line")
    parser.add_argument("--fmr", type=number(above=0, below=1), default=1e-3, help="target false match rate")
    parser.add_argument("--protocol", default="paper", choices=("paper", "edc"), help="figures differ between them")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the protocol, such as fmr_rule=le"
    )
    parser.add_argument(
        "--limits", type=number(above=0, most=1), nargs="+", default=[0.2, 0.3], help="largest discard fractions"
    )
    parser.add_argument("--quality", default="quality", metavar="NAME", help="column, or NAME_1 and NAME_2")
    parser.add_argument("--against", metavar="NAME", help="another quality: is the first better?")
    parser.add_argument("--lower-is-better", action="store_true", help="qualities are uncertainties")
    parser.add_argument(
        "--resamples", type=whole(least=0), default=1000, metavar="N", help="of the interval; 0 for none"
    )
    parser.add_argument("--seed", type=whole(least=0), default=0, help="of the interval")
    parser.add_argument("-o", "--output", type=Path, metavar="JSON", help="figures and curve")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the curve as .png or .svg (extra plots)")


def run(args: argparse.Namespace) -> int:
    """Read, compute, print; write what was asked for."""
    from difiqa_hf.comparison_files import difference, read_comparisons, summary
    from difiqa_hf.metrics.options import PROTOCOLS

    check_output(args.output, [".json"], [args.pairs])
    check_output(args.plot, [".png", ".svg"], [args.pairs])
    if args.resamples == 1 or (args.against and not args.resamples):
        least = "2 with --against" if args.against else "2, or 0 for no interval"
        raise ValueError(f"--resamples must be at least {least}, found {args.resamples}")
    comparisons, options = read_comparisons(args.pairs, args.quality), dict(map(parse_option, args.option))
    if unknown := [name for name in options if name not in PROTOCOLS[args.protocol]]:
        raise ValueError(f"there is no --option {unknown[0]}; known: {', '.join(PROTOCOLS[args.protocol])}")
    options |= {"higher_is_better": not args.lower_is_better}
    options |= {"fmr": args.fmr, "protocol": args.protocol}
    result, figures = summary(comparisons, args.limits, args.resamples, args.seed, **options)
    if args.against:
        other, draws = read_comparisons(args.pairs, args.against), {"num_resamples": args.resamples, "seed": args.seed}
        figures["against"] = difference(comparisons, other, args.limits[-1], **draws, **options)
    if args.output:
        args.output.write_text(json.dumps(figures, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if args.plot:
        from difiqa_hf.plots import plot_edc, save

        save(plot_edc({args.pairs.stem: result}), args.plot)
    print("\n".join(report(result, figures, args)))
    return 0


def report(result, figures: dict, args: argparse.Namespace) -> list[str]:
    """The lines on the screen."""
    options = ", ".join(f"{name} {value}" for name, value in result.options.items())
    lines = [
        f"{result.n_genuine} genuine and {result.n_impostor} impostor comparisons, FMR {result.fmr:g}; "
        f"protocol {result.protocol}: {options}",
        f"FNMR(0) {100 * result.fnmr0:.3f} %, threshold {result.threshold[0]:.6g}, k {result.k[0]}",
    ]
    lines += [f"pAUC({limit}) {_number(figure)}" for limit, figure in figures["pauc"].items()]
    lines += [f"  95 % interval by {interval['resampled']}: {_ends(interval)}" for interval in figures["intervals"]]
    if against := figures.get("against"):
        lines.append(
            f"{args.quality} minus {args.against}: {_number(against['difference'])}, 95 % interval by "
            f"{against['resampled']} {_ends(against)}, p {against['p_value']:.3f}"
        )
    return lines + ([figures["undefined"]] if figures["undefined"] else [])


def _ends(interval: dict) -> str:
    return f"[{_number(interval['low'])}, {_number(interval['high'])}]"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def parse_option(text: str) -> tuple[str, object]:
    """ "grid_step=0.01" -> ("grid_step", 0.01); numbers and truth values as in JSON, all else is a word."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--option must be NAME=VALUE, found {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value

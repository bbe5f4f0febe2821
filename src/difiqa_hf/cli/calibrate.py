"""Make a threshold card: what the scores of a method mean on images like yours.

From SCORES, a file of `difiqa score`: percentiles among those images. From SCORES with the columns similarity, genuine
and quality, or quality_1 and quality_2 (see `difiqa edc`): also the FNMR that is left when everything below a score is
discarded. From --benchmark, --root, --recognizer and --method: the same, computed here; a checkpoint's own reference
set stays the reference. A card that is there already gets further comparisons; the scores of its reference can be
replaced only while it has none.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_output
from difiqa_hf.cli.numbers import number, whole

# what has an effect on each kind of SCORES; the rest is for --benchmark
USED = {"scores": {"reference", "method"}}
USED["comparisons"] = USED["scores"] | {"fmr", "resamples", "recognizer", "seed"}
DEFAULTS = {"fmr": 1e-3, "resamples": 1000, "parts": 0, "seed": 0, "device": "cpu", "batch_size": 32}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("scores", nargs="?", type=Path, metavar="SCORES", help="CSV, JSON lines or Parquet")
    add("-o", "--output", required=True, type=Path, metavar="JSON", help="for --calibration; in a checkpoint's folder "
        "it is called thresholds.json")  # fmt: skip
    add("--reference", metavar="TEXT", help="the reference images in words, for the card; if not the file's name")
    add("--fmr", type=number(above=0, below=1), help="target false match rate of the comparisons")
    add("--resamples", type=whole(least=2), metavar="N", help="of the intervals of FNMR")
    add("--benchmark", metavar="NAME", help="as in difiqa evaluate")
    add("--root", metavar="PATH", help="of the benchmark")
    add("--recognizer", nargs="+", metavar="R", help="that compares the faces; with SCORES only a name for the card")
    add("--method", metavar="NAME", help="of the scores")
    add("--num-repeats", type=whole(least=1), metavar="N", help="noise draws per image, method difiqa only")
    add("--pairs", type=whole(least=1), metavar="N", help="only N comparisons of the benchmark")
    add("--parts", type=whole(least=0), metavar="N", help="difiqa: also the parts that explain shows, on N images")
    add("--seed", type=whole(least=0), help="of the method and of the intervals")
    add("--device", help="cpu, cuda, cuda:1, mps")
    add("--batch-size", type=whole(least=1), metavar="N", help="images at once")
    add("--cache", metavar="DIR", help="keep embeddings and qualities here between calls")
    parser.set_defaults(**DEFAULTS)


def run(args: argparse.Namespace) -> int:
    if (args.scores is None) == (args.benchmark is None):
        raise ValueError("give either SCORES or --benchmark")
    check_output(args.output, [".json"], [] if args.scores is None else [args.scores])
    card = _from_benchmark(args) if args.benchmark else _from_file(args)
    card.save(args.output)
    entries = "; ".join(map(_entry, card.errors)) or "no comparisons"
    common.say(f"{args.output}: {len(card.scores)} points on {card.reference}; {entries}")
    return 0


def _entry(entry) -> str:
    match = f"FMR {entry.fmr:g} from similarity {entry.similarity_threshold:.6g} on"
    return f"FNMR of {entry.recognizer} on {entry.comparisons}, {match}"


def _earlier(args: argparse.Namespace, method: str, revision: str):
    """The card that is there already, None if there is none; "" is a method or revision that is not known.

    Raises:
        ValueError: for a card of another method or revision, or a file that is no card.
    """
    from difiqa_hf.metrics import ThresholdCard

    if not args.output.exists() or not args.output.stat().st_size:
        return None
    card = ThresholdCard.load(args.output)
    try:
        return card.checked(method or card.method, revision or card.revision)
    except ValueError as error:
        raise ValueError(f"{args.output}: {error}; name another output, or delete it first") from None


def _from_file(args: argparse.Namespace):
    from difiqa_hf.comparison_files import has_comparisons, read_comparisons
    from difiqa_hf.metrics import ErrorsAbove, ThresholdCard

    reference = args.reference or args.scores.name
    comparisons = has_comparisons(args.scores)
    _refuse_unused(args, "comparisons" if comparisons else "scores")
    if not comparisons:
        return _from_scores(args, reference)
    data, method = read_comparisons(args.scores), args.method or ""
    card = _earlier(args, method, "") or ThresholdCard.from_scores(data.quality, reference=reference, method=method)
    names = {"comparisons": args.scores.name, "recognizer": " ".join(args.recognizer or ["unnamed"])}
    options = {"fmr": args.fmr, "num_resamples": args.resamples, "seed": args.seed, "persons": data.persons}
    entry = ErrorsAbove.measure(data.similarity, data.genuine, data.quality, card.scores, **names, **options)
    return card.with_errors(entry)


def _refuse_unused(args: argparse.Namespace, kind: str) -> None:
    """Refuse options that have no effect on SCORES of this kind."""
    given = {name for name, value in vars(args).items() if value != DEFAULTS.get(name)} - {"scores", "output"}
    if unused := sorted(f"--{name.replace('_', '-')}" for name in given - USED[kind]):
        raise ValueError(f"{args.scores} holds {kind}, for which {', '.join(unused)} does nothing; leave it out")


def _from_scores(args: argparse.Namespace, reference: str):
    """The card of a file of `difiqa score`; faces without a quality are no part of the reference."""
    from difiqa_hf.metrics import ThresholdCard
    from difiqa_hf.scoring.read_back import read_rows

    rows = [row for row in read_rows(args.scores) if row["quality"] is not None]
    scorers = {(row.get("method") or args.method or "", row.get("revision") or "") for row in rows}
    if len(scorers) != 1:
        raise ValueError(f"{args.scores} must hold scores of one method and revision, found {sorted(scorers)}")
    ((method, revision),) = scorers
    if args.method not in (None, method):
        raise ValueError(f"{args.scores} holds scores of {method}, not of --method {args.method}")
    earlier = _earlier(args, method, revision)
    if earlier is not None and earlier.errors:
        known = ", ".join(f"{entry.recognizer} on {entry.comparisons}" for entry in earlier.errors)
        raise ValueError(
            f"{args.output} knows FNMR ({known}) at the scores of its reference, {earlier.reference}, which would be "
            f"lost: name another output for {args.scores}, and calibrate on the comparisons after it"
        )
    if len(rows) < 100:
        common.say(f"note: {len(rows)} faces: a percentile is known to about {100 / len(rows):.0f}; take some hundreds")
    text = f"{len(rows)} faces of {reference}"
    names = {"reference": text, "method": method, "revision": revision}
    card = ThresholdCard.from_scores([row["quality"] for row in rows], **names)
    return card if earlier is None else replace(card, parts=earlier.parts, parts_reference=earlier.parts_reference)


def _from_benchmark(args: argparse.Namespace):
    from difiqa_hf.benchmarks import load_benchmark
    from difiqa_hf.benchmarks.card import measure_card
    from difiqa_hf.methods import create_method
    from difiqa_hf.recognizers import load_recognizer
    from difiqa_hf.scoring import hide_loading_bars

    missing = [f"--{name}" for name in ("root", "recognizer", "method") if getattr(args, name) is None]
    if missing:
        raise ValueError(f"--benchmark needs {', '.join(missing)} too")
    hide_loading_bars()
    repeats = {} if args.num_repeats is None else {"num_repeats": args.num_repeats}
    method = create_method(args.method, seed=args.seed, device=args.device, recognizer=None, **repeats)
    card = _earlier(args, method.name, method.revision) or method.quantile_card(args.reference)
    benchmark = load_benchmark(args.benchmark, args.root, seed=args.seed, pairs=args.pairs)
    recognizers = {Path(name).stem: load_recognizer(name, device=args.device) for name in args.recognizer}
    options = {"fmr": args.fmr, "num_resamples": args.resamples, "seed": args.seed, "device": args.device}
    options |= {"batch_size": args.batch_size, "cache_dir": args.cache}
    card = measure_card(benchmark, recognizers, method, card=card, **options)
    return _with_parts(card, benchmark, method, args.parts) if args.parts else card


def _with_parts(card, benchmark, method, count: int):
    """The parts of DifFIQA's shortfall on `count` of the benchmark's images, evenly spread."""
    import numpy as np

    from difiqa_hf.explanation import reference_parts
    from difiqa_hf.image_processing import FaceImageProcessor

    if method.name != "difiqa":
        raise ValueError(f"--parts is for the method difiqa, found {method.name}")
    chosen = np.unique(np.linspace(0, len(benchmark.images) - 1, count).astype(int))
    processor = FaceImageProcessor()
    batches = (processor(benchmark.load_image(i)).pixel_values for i in chosen)
    parts = reference_parts(method.pipeline, batches)
    return replace(card, parts=parts, parts_reference=f"{len(chosen)} images of {benchmark.name}")

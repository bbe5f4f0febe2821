"""Error-versus-discard figures of quality methods on benchmarks: a table on the screen, all else in files.

One benchmark by --benchmark, --root and --method, or many by --experiment, a JSON file with "benchmarks"
(name, root), "recognizers" (name: file, folder or repository, null for the shipped one) and "methods".
Processes of `accelerate launch` share the images through the folder of --cache.
"""

import argparse
import json
from pathlib import Path

from difiqa_hf.cli.files import check_folder, check_output
from difiqa_hf.cli.numbers import number, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Benchmarks and methods are checked when they are loaded, so that --help imports no network."""
    parser.add_argument("--experiment", type=Path, metavar="JSON", help="instead of all below up to --device")
    parser.add_argument(
        "--benchmark",
        metavar="NAME",
        help="lfw, xqlfw, calfw, cplfw, cfp-ff, cfp-fp, adience, ijb-c, folder, dataset, lfw-xq-synthetic (one side "
        "degraded); most also with -all-pairs",
    )
    parser.add_argument("--root", metavar="PATH", help="zip, folder or .bin file with the benchmark, faces aligned")
    many = {"nargs": "+", "action": "extend"}
    parser.add_argument("--method", metavar="NAME", help="quality methods: see difiqa methods", **many)
    parser.add_argument("--recognizer", metavar="R", help="of the comparisons: file, folder, repo or shipped", **many)
    parser.add_argument("--method-recognizer", metavar="R", help="for methods that need one, instead of their own")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="PATH", help="results file; with --experiment a folder"
    )
    parser.add_argument("--fmr", type=number(above=0, below=1), default=1e-3, help="target false match rate")
    parser.add_argument("--protocol", default="paper", choices=("paper", "edc"), help="figures differ between them")
    parser.add_argument(
        "--pairs", type=whole(least=1), metavar="N", help="only N comparisons, balanced and spread over the folds"
    )
    parser.add_argument(
        "--template-quality", default="mean", choices=("mean", "min", "max", "median"), help="ijb-c: of its images"
    )
    parser.add_argument(
        "--seed", type=whole(least=0), default=0, help="of methods, drawn comparisons, degradation and bootstrap"
    )
    parser.add_argument(
        "--num-repeats", type=whole(least=1), metavar="N", help="noise draws per image, method difiqa only"
    )
    parser.add_argument("--batch-size", type=whole(least=1), default=32, metavar="N", help="images at once")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--cache", metavar="DIR", help="keep embeddings, qualities and figures here between calls")
    parser.add_argument("--scores", metavar="DIR", help="keep scores image by image here, to publish or to go on from")


def run(args: argparse.Namespace) -> int:
    """Load, evaluate, print the tables, write the files."""
    if args.experiment is not None:
        return run_experiment_file(args)
    missing = [f"--{name}" for name in ("benchmark", "root", "method") if getattr(args, name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} or --experiment is needed")
    check_output(args.output, [".json"], [Path(args.root)])
    from difiqa_hf.benchmarks import load_benchmark
    from difiqa_hf.benchmarks.means import without_samples
    from difiqa_hf.benchmarks.runner import evaluate_benchmark
    from difiqa_hf.benchmarks.tables import format_results
    from difiqa_hf.methods import create_method
    from difiqa_hf.processes import process_state
    from difiqa_hf.recognizers import load_recognizer

    state = process_state()  # first: it chooses the device of this process
    benchmark = load_benchmark(
        args.benchmark, args.root, pairs=args.pairs, seed=args.seed, template_quality=args.template_quality
    )
    common = {"recognizer": args.method_recognizer, "seed": args.seed, "device": args.device}
    repeats = {} if args.num_repeats is None else {"num_repeats": args.num_repeats}
    methods = [
        create_method(name, **common, **(repeats if name.partition("=")[0] == "difiqa" else {})) for name in args.method
    ]
    recognizers = named(args.recognizer or ["shipped"])
    results = evaluate_benchmark(
        benchmark,
        {name: load_recognizer(source, device=args.device) for name, source in recognizers.items()},
        methods,
        fmr=args.fmr,
        protocol=args.protocol,
        seed=args.seed,
        batch_size=args.batch_size,
        device=args.device,
        cache_dir=args.cache,
        scores_dir=args.scores,
    )
    if state is None or state.is_main_process:
        results["means"] = without_samples(results["means"])
        args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(format_results(results))
    return 0


def run_experiment_file(args: argparse.Namespace) -> int:
    """Every benchmark of the experiment, its table as soon as it is there."""
    from difiqa_hf.benchmarks.experiment import MEANS, Experiment, run_experiment
    from difiqa_hf.benchmarks.tables import format_results
    from difiqa_hf.processes import process_state

    check_folder(args.output)
    for path, result in run_experiment(Experiment.read(args.experiment), args.output, args.cache, args.scores):
        if (state := process_state()) is None or state.is_main_process:
            print(f"{format_results(result)}\nwritten: {path}\n")
    first = (state := process_state()) is None or state.is_main_process
    if first and (means := args.output / MEANS).exists():
        print(f"written: {means}, the means over recognisers and benchmarks")
    return 0


def named(sources: list[str]) -> dict[str, str | None]:
    """Short name -> source, None for "shipped"; the name is the whole source where short names would be equal."""
    short = [Path(source).name.removesuffix(".safetensors") for source in sources]
    names = [name if short.count(name) == 1 else source for name, source in zip(short, sources, strict=True)]
    return {name: None if name == "shipped" else source for name, source in zip(names, sources, strict=True)}

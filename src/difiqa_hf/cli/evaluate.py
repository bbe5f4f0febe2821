"""Error-versus-discard figures of quality methods on a benchmark: a table on the screen, all else in the file."""

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Benchmarks and methods are checked when they are loaded, so that --help imports no network."""
    parser.add_argument(
        "--benchmark", required=True, metavar="NAME", help="lfw, cfp-ff, cfp-fp or lfw-xq-synthetic (one side degraded)"
    )
    parser.add_argument("--root", required=True, metavar="PATH", help="zip or folder with the benchmark, faces aligned")
    many = {"nargs": "+", "action": "extend"}
    parser.add_argument("--method", required=True, metavar="NAME", help="quality methods: see difiqa methods", **many)
    parser.add_argument("--recognizer", metavar="R", help="of the comparisons: file, folder, repo or shipped", **many)
    parser.add_argument("--method-recognizer", metavar="R", help="for methods that need one, instead of their own")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="JSON", help="results file")
    parser.add_argument("--fmr", type=float, default=1e-3, help="target false match rate")
    parser.add_argument("--protocol", default="paper", choices=("paper", "edc"), help="figures differ between them")
    parser.add_argument("--pairs", type=int, metavar="N", help="only N comparisons, balanced and spread over the folds")
    parser.add_argument("--seed", type=int, default=0, help="of methods, synthetic degradation and bootstrap")
    parser.add_argument("--num-repeats", type=int, metavar="N", help="noise draws per image, method difiqa only")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images at once")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
    parser.add_argument("--cache", metavar="DIR", help="keep embeddings and qualities here between calls")


def run(args: argparse.Namespace) -> int:
    """Load, evaluate, print the table, write the file."""
    if not args.output.parent.is_dir():
        raise FileNotFoundError(f"no folder {args.output.parent} to write {args.output.name} to")
    from difiqa_hf.benchmarks import load_benchmark
    from difiqa_hf.benchmarks.runner import evaluate_benchmark
    from difiqa_hf.benchmarks.tables import format_results
    from difiqa_hf.methods import create_method
    from difiqa_hf.recognizers import load_recognizer

    benchmark = load_benchmark(args.benchmark, args.root, pairs=args.pairs, seed=args.seed)
    common = {"recognizer": args.method_recognizer, "seed": args.seed, "device": args.device}
    repeats = {} if args.num_repeats is None else {"num_repeats": args.num_repeats}
    methods = [create_method(name, **common, **(repeats if name == "difiqa" else {})) for name in args.method]
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
    )
    args.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(format_results(results))
    return 0


def named(sources: list[str]) -> dict[str, str | None]:
    """Short name -> source, None for "shipped"; the name is the whole source where short names would be equal."""
    short = [Path(source).name.removesuffix(".safetensors") for source in sources]
    names = [name if short.count(name) == 1 else source for name, source in zip(short, sources, strict=True)]
    return {name: None if name == "shipped" else source for name, source in zip(names, sources, strict=True)}

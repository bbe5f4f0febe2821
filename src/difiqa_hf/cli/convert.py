"""Turn a published checkpoint into a folder for the Hub: configuration, safetensors, processor and card."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kinds are listed at the end of --help."""
    from difiqa_hf.conversion.registry import KINDS

    width = max(map(len, KINDS))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "kinds:\n" + "\n".join(f"  {kind:<{width}}  {what}" for kind, (_, what) in KINDS.items())
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help="what the file is, see below")
    parser.add_argument("file", type=Path, metavar="FILE", help="the authors' file")
    parser.add_argument("output", type=Path, metavar="OUT_DIR", help="folder to write, new or empty")
    parser.add_argument("--weights", choices=("raw", "ema"), help="kind difiqa: as released (raw, default) or average")
    parser.add_argument(
        "--recognizer", metavar="R", help="kind difiqa: store this recogniser too: file, folder or repo"
    )


def run(args: argparse.Namespace) -> int:
    """Convert, print the differences."""
    from difiqa_hf.conversion import convert_checkpoint
    from difiqa_hf.scoring import hide_loading_bars

    hide_loading_bars()
    options = {} if args.weights is None else {"weights": args.weights}
    if args.recognizer is not None:
        options["recognizer"] = args.recognizer
    if options and args.kind != "difiqa":
        raise ValueError(f"--{next(iter(options))} is for the kind difiqa, not {args.kind}")
    if args.recognizer is not None:
        from difiqa_hf.recognizers import load_recognizer

        options["recognizer"] = load_recognizer(args.recognizer)
    print(convert_checkpoint(args.kind, args.file, args.output, **options))
    return 0

"""Write a quality method or a recogniser as an ONNX file, compared with its original before it is kept.

WHAT is a method (difiqa-r, difiqa), one with its checkpoint (difiqa-r=FOLDER, difiqa=FOLDER, magface=FOLDER), or a
recogniser (recognizer, recognizer=FOLDER). The file then stands for a checkpoint: difiqa score --method difiqa-r=FILE.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli.files import check_output
from difiqa_hf.cli.numbers import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="see above")
    parser.add_argument("output", type=Path, metavar="FILE", help="the ONNX file, FILE.onnx")
    parser.add_argument("--recognizer", metavar="R", help="inside difiqa: folder, file or repository")
    parser.add_argument(
        "--num-repeats", type=whole(least=1), metavar="N", help="of difiqa: what the file's user gets by default"
    )
    parser.add_argument(
        "--int8", nargs="+", type=Path, metavar="PATH",
        help="compute in 8 bits, calibrated on these aligned faces (files, folders): a hundred or more",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Export, compare, say how far apart the two are."""
    from difiqa_hf.export import export_int8, export_onnx
    from difiqa_hf.methods import create_method
    from difiqa_hf.recognizers import load_recognizer
    from difiqa_hf.scoring import hide_loading_bars

    if args.output.suffix != ".onnx":
        raise ValueError(f"the output {args.output} must end in .onnx: by that --method NAME=FILE knows it")
    check_output(args.output, [".onnx"], args.int8 or [])
    hide_loading_bars()
    name, _, checkpoint = args.what.partition("=")
    if name == "recognizer":
        if args.num_repeats is not None or args.recognizer is not None:
            raise ValueError("--num-repeats and --recognizer are for difiqa: leave them out")
        source = load_recognizer(checkpoint or None)
    else:
        repeats = {} if args.num_repeats is None else {"num_repeats": args.num_repeats}
        source = create_method(args.what, recognizer=args.recognizer, **repeats)
    if args.int8:
        print(export_int8(source, args.output, args.int8))
    else:
        print(export_onnx(source, args.output))
    return 0

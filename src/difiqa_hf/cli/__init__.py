"""`difiqa`: parse, call, print. Every subcommand imports what it needs only when it runs."""

import argparse
import importlib
import os
import sys
import warnings

from difiqa_hf import __version__

# subcommand -> module under difiqa_hf.cli that defines `add_arguments(parser)` and `run(args) -> int`
COMMANDS = {
    "score": "score face images: a folder in, one row per face out",
    "threshold": "what a score means, and which threshold does what you want",
    "best": "the best faces of folders, photographs and videos",
    "gate": "accept, review or reject images for a gallery, with reasons",
    "report": "an HTML page about a file of scores",
    "explain": "why a face scores as it does: one sheet and JSON",
    "calibrate": "percentiles and thresholds on your own images",
    "evaluate": "error-versus-discard figures of quality methods on a benchmark",
    "edc": "error-versus-discard figures of scored comparisons in a CSV file",
    "table": "a table in the form of the paper from the results of difiqa evaluate",
    "convert": "turn a published checkpoint into a folder for the Hub",
    "export": "write a quality method or a recogniser as an ONNX file",
    "dataset": "write result tables or a pair list as a dataset for the Hub, without images",
    "push": "publish a folder on the Hugging Face Hub: weights, tables or the evaluate module",
    "methods": "list the quality methods",
    "app": "a page in the browser: drop photographs, see scores and why",
    "demo": "score a real photograph and its degraded versions with the shipped weights",
}

# what torch says -> what helps
REMEDIES = {
    "out of memory": "try a smaller --batch-size",
    "DataLoader worker": "a process that reads images died, most often because memory was short: give the same command "
    "again to go on, perhaps with fewer --workers or a lower --max-megapixels",
}


def build_parser() -> argparse.ArgumentParser:
    """The top-level parser; the subcommands' own arguments are added by `main`, one module only."""
    parser = argparse.ArgumentParser(
        prog="difiqa", description="Face image quality: how well can a recogniser use this image?"
    )
    parser.add_argument("--version", action="version", version=f"difiqa_hf {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        subparsers.add_parser(name, help=summary, description=summary, add_help=False)
    return parser


def command_parser(command: str) -> argparse.ArgumentParser:
    """The parser of what follows the name of a subcommand."""
    module = importlib.import_module(f"difiqa_hf.cli.{command}")
    parser = argparse.ArgumentParser(prog=f"difiqa {command}", description=module.__doc__, formatter_class=_Formatter)
    module.add_arguments(parser)
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells only defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        silent = action.default is None or isinstance(action.default, bool | list)
        return action.help if silent else super()._get_help_string(action)


def _say_warning(message: Warning | str, *place: object) -> None:
    """A warning as words to the person, without the line of code that it came from."""
    print(f"warning: {message}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # a GPU would round convolutions; its scores are to be a CPU's
    command = build_parser().parse_args(argv[:1]).command
    module = importlib.import_module(f"difiqa_hf.cli.{command}")
    args = command_parser(command).parse_args(argv[1:])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say_warning
            return module.run(args)
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, ImportError) as error:
        print(f"difiqa {command}: {error}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        remedy = next((text for sign, text in REMEDIES.items() if sign in str(error)), None)
        if remedy is None:
            raise
        print(f"difiqa {command}: {error}; {remedy}", file=sys.stderr)
        return 1

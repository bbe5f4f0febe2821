"""How every script starts and ends: what a user can mend is said in a line, a mistake of ours keeps its traceback."""

import argparse
import atexit
import sys
from collections.abc import Callable
from pathlib import Path

from difiqa_hf.processes import leave


class RunStopped(RuntimeError):
    """A run that cannot go on, for a reason that its message names together with what to do."""


def start(main: Callable[[], None]) -> None:
    """Run `main`; the end of the program leaves the other processes.

    Exit codes: 0 done, 1 for input, files and settings that will not do, 130 interrupted.
    """
    atexit.register(leave)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, ValueError, ImportError, RunStopped) as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def count(text: str) -> int:
    """The value of a flag that is 0 or more."""
    return _at_least(0, text)


def positive(text: str) -> int:
    """The value of a flag that is 1 or more."""
    return _at_least(1, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, found {text}")
    return value

"""Whether this is one of several processes of `accelerate launch`."""

import atexit
import os
from datetime import timedelta

import torch

PATIENCE = timedelta(days=2)  # of a process that waits for the others


def process_state():
    """accelerate's `PartialState` if this is one of several processes, else None; it chooses the process's device.

    When the program ends, it leaves the others.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # Without `cpu`, accelerate takes several processes on a machine without accelerator for one each.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    atexit.unregister(leave)  # once, however often this is asked
    atexit.register(leave)
    return PartialState(cpu=cpu, timeout=PATIENCE)


def leave() -> None:
    """Close the connection to the other processes, if any, while the interpreter is whole.

    gloo's threads may still hold tensors; one that they let go of later aborts a process that had done all its work
    (pytorch #179291).
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

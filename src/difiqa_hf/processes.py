"""Whether this is one of several processes of `accelerate launch`."""

import os
from datetime import timedelta

import torch

PATIENCE = timedelta(days=2)  # of a process that waits for the others


def process_state():
    """accelerate's `PartialState` if this is one of several processes, else None; it chooses the process's device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    # Without `cpu`, accelerate takes several processes on a machine without accelerator for one each.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=PATIENCE)

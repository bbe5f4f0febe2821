"""What training loops share: the learning rate of a step, checkpoints and logs that survive a kill."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor

from start import RunStopped

REMEDY = "Lower the learning rate, or leave out --mixed_precision, in a new folder"


def learning_rate(step: int, peak: float, warmup: int, total: int, schedule: str = "cosine") -> float:
    """Learning rate of a 0-based step: linear warm-up, then constant or half a cosine down to a fiftieth."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    return peak * warm * (1.0 if schedule == "constant" else 0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)


def resume(accelerator: Accelerator, output: Path) -> int:
    """Load the newest complete checkpoint, if any; returns the number of steps done."""
    last = last_checkpoint(output)
    if last["step"]:
        accelerator.load_state(str(output / last["folder"]))
    return last["step"]


def new_accelerator(mixed_precision: str, **options: Any) -> Accelerator:
    """An accelerator that leaves schedules to us.

    Raises:
        ValueError: for float16 on a CPU, where accelerate would leave it out in silence.
    """
    accelerator = Accelerator(mixed_precision=mixed_precision, step_scheduler_with_optimizer=False, **options)
    if mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("--mixed_precision fp16 needs an accelerator, this is a CPU; bf16 and no work here")
    return accelerator


def check_gradient(accelerator: Accelerator, norm: Tensor | None, step: int, output: Path, remedy: str = REMEDY):
    """Stop before a gradient that is not finite reaches the weights; float16's scaler skips such steps by itself.

    Raises:
        RunStopped: with what is still good.
    """
    if norm is not None and accelerator.scaler is None and not torch.isfinite(norm):
        raise RunStopped(f"the gradient of step {step} is {norm.item()}; {what_is_left(output)}. {remedy}")


def last_checkpoint(output: Path) -> dict:
    """Step and folder of the newest complete checkpoint; step 0 if there is none."""
    marker = output / "last_checkpoint.json"
    return json.loads(marker.read_text()) if marker.exists() else {"step": 0}


def what_is_left(output: Path) -> str:
    """In words: the newest complete checkpoint."""
    step = last_checkpoint(output)["step"]
    return f"the last checkpoint in {output}, of step {step}, is intact" if step else "no checkpoint was written yet"


def save_state(accelerator: Accelerator, output: Path, step: int) -> dict:
    """Write the training state into one of two folders that take turns; returns the marker for `finish_checkpoint`."""
    folder = "state-1" if last_checkpoint(output).get("folder") == "state-0" else "state-0"
    accelerator.wait_for_everyone()  # until all have read which one is free
    with named_write_errors(output, step):
        accelerator.save_state(str(output / folder))
    return {"step": step, "folder": folder}


@contextmanager
def named_write_errors(output: Path, step: int) -> Iterator[None]:
    """A full disk, in words: what could not be written, how much room there is, what is still good.

    Raises:
        RunStopped: instead of whatever the writer raised.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        free = shutil.disk_usage(output).free / 1e6
        raise RunStopped(
            f"cannot write the checkpoint of step {step} to {output} ({free:.0f} MB free): {error}; "
            f"{what_is_left(output)}. Make room and give the same command again"
        ) from error


def finish_checkpoint(output: Path, marker: dict) -> None:
    """Point to a checkpoint once everything of it is written: a kill before that leaves the previous one valid."""
    pending = output / "last_checkpoint.json.tmp"
    pending.write_text(json.dumps(marker))
    pending.replace(output / "last_checkpoint.json")


def publish(written: Path, place: Path) -> None:
    """Move the files of the folder `written` to `place`, each in one step: a kill leaves no half-written file."""
    place.mkdir(parents=True, exist_ok=True)
    for file in sorted(written.iterdir()):
        file.replace(place / file.name)
    written.rmdir()


def continue_log(path: Path, step: int, key: str = "step") -> TextIO:
    """Open a log of one JSON object a line for more, without the lines after `step` that a killed run left behind."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)[key] <= step]
    pending = path.with_suffix(".tmp")
    pending.write_text("".join(kept))
    pending.replace(path)
    return path.open("a")

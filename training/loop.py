"""What training loops share: the learning rate of a step, checkpoints that survive a kill."""

import json
import math
from pathlib import Path

from accelerate import Accelerator


def learning_rate(step: int, peak: float, warmup: int, total: int, schedule: str = "cosine") -> float:
    """Learning rate of a 0-based step: linear warm-up, then constant or half a cosine down to a fiftieth."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    return peak * warm * (1.0 if schedule == "constant" else 0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)


def resume(accelerator: Accelerator, output: Path) -> int:
    """Load the newest complete checkpoint, if any; returns the number of steps done."""
    marker = output / "last_checkpoint.json"
    if not marker.exists():
        return 0
    last = json.loads(marker.read_text())
    accelerator.load_state(str(output / last["folder"]))
    return last["step"]


def save_state(accelerator: Accelerator, output: Path, step: int, every: int) -> dict:
    """Write the training state into one of two folders that take turns; returns the marker for `finish_checkpoint`."""
    folder = f"state-{step % (2 * every)}"
    accelerator.save_state(str(output / folder))
    return {"step": step, "folder": folder}


def finish_checkpoint(output: Path, marker: dict) -> None:
    """Point to a checkpoint once everything of it is written: a kill before that leaves the previous one valid."""
    pending = output / "last_checkpoint.json.tmp"
    pending.write_text(json.dumps(marker))
    pending.replace(output / "last_checkpoint.json")

"""Where a result comes from: what was compared, with which versions, on which machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from difiqa_hf import __version__
from difiqa_hf.benchmarks.available import Available

NAMED = 1000  # comparisons: of all pairs, one missing image takes thousands along


def describe(available: Available) -> dict[str, Any]:
    """What was compared, and what could not be: every image, how many comparisons, and the first of them."""
    kept = available.benchmark
    return {
        "name": kept.name,
        "recipe": kept.recipe,
        "content": available.content,
        "n_images": len(kept.images),
        "n_comparisons": len(kept.pairs),
        "n_genuine": int(kept.genuine.sum()),
        "n_impostor": int((~kept.genuine).sum()),
        "n_persons": kept.persons and len(set(kept.persons)),
        "folds": np.unique(kept.folds).tolist(),
        "skipped": {
            "n_comparisons": len(available.skipped),
            "comparisons": [list(names) for names in available.skipped[:NAMED]],
            "images": available.problems,
        },
    }


def versions() -> dict[str, str]:
    """Of everything that a figure may depend on."""
    packages = ("diffusers", "numpy", "pillow", "torch", "transformers")
    return {"difiqa_hf": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}


def hardware(device: str) -> dict[str, Any]:
    """The machine, as far as the system says; the seconds of a result mean nothing without it."""
    accelerator = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "accelerator": accelerator,
        "system": platform.system(),
    }


def processor() -> str:
    """Its name; Linux keeps it in a file."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

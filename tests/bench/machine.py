"""What the benchmarks share: where they ran, how long something takes, faces to measure with."""

import io
import os
import platform
import time
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from difiqa_hf.image_processing import FaceImageProcessor


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and how busy the machine was: a loaded machine gives other seconds."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model.split(":")[1].strip(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    }


def versions(*packages: str) -> dict[str, str]:
    """Of Python, this package and others."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("difiqa-hf", *packages)}


def forget_peak() -> None:
    """`peak_resident` counts from now on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_resident() -> int:
    """Largest resident size of this process so far, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def fastest(work: Callable[[], Any], repeats: int) -> tuple[Any, float, float]:
    """What `work` returns, least CPU seconds, and the seconds of that run."""
    runs = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        found = work()
        runs.append((time.process_time() - cpu, time.perf_counter() - start))
    return found, *min(runs)


def read_faces(source: Path, count: int, spread: bool = False) -> Tensor:
    """The first `count` pictures of a zip, or as many all over it, as pixel values."""
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".png")))
        chosen = np.unique(np.linspace(0, len(names) - 1, count).astype(int)) if spread else range(count)
        images = [Image.open(io.BytesIO(archive.read(names[i]))).convert("RGB") for i in chosen]
    return FaceImageProcessor()(images).pixel_values

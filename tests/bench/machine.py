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
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from difiqa_hf import __version__
from difiqa_hf.image_processing import FaceImageProcessor


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, memory and how busy the machine was: a loaded machine gives other seconds. And the GPU."""
    model = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model.split(":")[1].strip(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 1e9, 1),
        "load_average_at_start": round(os.getloadavg()[0], 2),
    } | ({"accelerator": torch.cuda.get_device_name(device)} if on_gpu(device) else {})


def on_gpu(device: str) -> bool:
    return device.startswith("cuda")


def versions(*packages: str) -> dict[str, str]:
    """Of Python, this package and others."""
    return (
        {"python": platform.python_version()} | {"difiqa-hf": __version__} | {name: version(name) for name in packages}
    )


def forget_peak(device: str = "cpu") -> None:
    """`peak_memory` counts from now on."""
    if on_gpu(device):
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: str = "cpu") -> int:
    """Most bytes so far: of this process (Linux), or that torch held on a GPU."""
    if on_gpu(device):
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def fastest(work: Callable[[], Any], repeats: int, device: str = "cpu") -> tuple[Any, float, float]:
    """What `work` returns, its least seconds, by the CPU's clock or on a GPU the wall's, and the wall's of that run."""
    runs = []
    for _ in range(repeats):
        start, cpu = time.perf_counter(), time.process_time()
        found = work()
        if on_gpu(device):
            torch.cuda.synchronize(device)
        wall = time.perf_counter() - start
        runs.append((wall if on_gpu(device) else time.process_time() - cpu, wall))
    return found, *min(runs)


def matrix_product(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """GFLOP a second of a large matrix product: the peak that anything else can be held against."""
    side = 8192 if on_gpu(device) else 1024
    matrix = torch.randn(side, side, device=device, dtype=dtype)
    _, seconds, _ = fastest(lambda: matrix @ matrix, 20, device)
    return 2 * side**3 / seconds / 1e9


class Operations(TorchDispatchMode):
    """Counts floating-point operations, backward passes too; torch's own counter fails on gradients of the input."""

    gflop = 0.0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        if count := flop_registry.get(function.overloadpacket):
            self.gflop += count(*args, **(kwargs or {}), out_val=found) / 1e9
        return found


def read_faces(source: Path, count: int, spread: bool = False) -> Tensor:
    """The first `count` pictures of a zip, or as many all over it, as pixel values."""
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".png")))
        chosen = np.unique(np.linspace(0, len(names) - 1, count).astype(int)) if spread else range(count)
        images = [Image.open(io.BytesIO(archive.read(names[i]))).convert("RGB") for i in chosen]
    return FaceImageProcessor()(images).pixel_values

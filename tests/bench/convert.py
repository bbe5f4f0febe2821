"""Time and peak memory of converting an R100 and the full released UNet: `python tests/bench/convert.py OUTPUT.json`.

Not a test. Weights are made by rule, in the published layouts and sizes; every conversion runs in its own process.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "conversion")]


def published(kind: str) -> dict:
    """The content of a checkpoint in its published size."""
    import official
    import torch

    from rules import made_by_rule

    if kind == "cosface":
        return made_by_rule(official.iresnet_shapes((3, 13, 30, 3), (64, 128, 256, 512), 64, 512))
    from difiqa_hf.conversion.difiqa_released import UNET_KEYS, make_scheduler
    from difiqa_hf.diffusion import alphas_cumprod
    from difiqa_hf.models.unet_released import ReleasedUNet2DModel

    with torch.device("meta"):
        names = UNET_KEYS.backward(ReleasedUNet2DModel().state_dict())
    unet = made_by_rule({key: value.shape for key, value in names.items()})
    process = {f"model.{key}": value for key, value in unet.items()}
    return {"step": 0, "model": process | {"alphas_cumprod": alphas_cumprod(make_scheduler()).float()}}


def measure(kind: str, file: str, output: str) -> dict:
    """Convert in this process; seconds by the clock and of the processor, peak memory before and after."""
    import torch

    from difiqa_hf.conversion import convert_checkpoint
    from difiqa_hf.conversion.registry import converter

    converter(kind)  # imports are not what is measured
    before = peak_memory()
    start, worked = time.perf_counter(), time.process_time()
    result = convert_checkpoint(kind, file, output)
    return {
        "kind": kind,
        "file_mb": round(Path(file).stat().st_size / 1e6, 1),
        "seconds": round(time.perf_counter() - start, 2),
        "processor_seconds": round(time.process_time() - worked, 2),
        "peak_memory_mb": round(peak_memory(), 1),
        "peak_memory_before_mb": round(before, 1),
        "tensors": result.tensors,
        "tensor_difference": result.tensor_difference,
        "probe_difference": result.probe_difference,
        "threads": torch.get_num_threads(),
    }


def peak_memory() -> float:
    """Of this process so far, in MB; the pages of the mapped source file count."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def cpu() -> str:
    """Its name, as far as the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, metavar="OUTPUT.json")
    parser.add_argument("--note", default="", help="what else ran on the machine, say")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "FILE", "OUT_DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        args.output.write_text(json.dumps(measure(*args.one)))
        return
    import diffusers
    import torch
    import transformers

    conversions = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("cosface", "difiqa"):
            file, one = Path(folder) / f"{kind}.pt", Path(folder) / f"{kind}.json"
            torch.save(published(kind), file)
            command = [sys.executable, __file__, str(one), "--one", kind, str(file), str(Path(folder) / kind)]
            subprocess.run(command, check=True)
            conversions.append(json.loads(one.read_text()))
            file.unlink()
    versions = {module.__name__: module.__version__ for module in (torch, diffusers, transformers)}
    result = {
        "command": "python tests/bench/convert.py",
        "hardware": {"cpu": cpu(), "cores": os.cpu_count(), "load_average": round(os.getloadavg()[1], 1)},
        "versions": {"python": platform.python_version(), **versions},
        "note": args.note,
        "conversions": conversions,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(args.output.read_text())


if __name__ == "__main__":
    main()

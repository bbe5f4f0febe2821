"""What every quality method costs an image (the paper's Table 3): `make bench-methods`.

CPU time of a batch of aligned faces in memory, on a GPU the wall clock's, after a first batch; reading and aligning are
not in it. The methods are those of an experiment of `difiqa evaluate`, with their checkpoints; and DifFIQA: one repeat,
the paper's ten, `fast`. The peak is how many floating-point operations a large matrix product does in that time.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from machine import (
    Operations,
    fastest,
    forget_peak,
    hardware,
    matrix_product,
    on_gpu,
    peak_memory,
    read_faces,
    versions,
)
from torch import Tensor

from difiqa_hf.benchmarks.experiment import Experiment
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.methods.registry import method_class

COMPARED = 8  # faces
DIFIQA = (
    {"name": "difiqa", "num_repeats": 1},
    {"name": "difiqa", "num_repeats": 10, "label": "difiqa, 10 repeats"},  # the paper's
    {"name": "difiqa", "preset": "fast", "label": "difiqa, fast"},
)


def with_weights(entry: str | dict, runs: Path) -> dict | None:
    """The entry; with weights of `runs/LABEL` where the experiment recalls scores, None where there are none."""
    entry = {"name": entry} if isinstance(entry, str) else dict(entry)
    if "recall" not in entry or not method_class(entry["name"]).has_weights:
        return {key: value for key, value in entry.items() if key != "recall"}
    folder = runs / entry.get("label", entry["name"])
    found = next(filter(Path.exists, (folder / "model", folder)), None)
    if found is None:
        print(f"left out {folder.name}: no weights in {folder}", file=sys.stderr)
        return None
    return {key: value for key, value in entry.items() if key != "recall"} | {"checkpoint": found}


def measure(entry: dict, faces: Tensor, repeats: int, device: str, peak: float) -> dict:
    """Milliseconds an image of one method, that run counting which took the least; operations and share of the peak."""
    entry = dict(entry)
    label, name = entry.pop("label", entry["name"]), entry.pop("name")
    method: QualityMethod = create_method(name, device=device, **entry)
    few = faces[:2]
    with Operations() as counter:  # the first call allocates, too
        method(few)
    gflop = counter.gflop / len(few)
    if on_gpu(device):  # which chooses its algorithms by the size of a batch
        method(faces)
    forget_peak(device)
    _, seconds, wall = fastest(lambda: method(faces), repeats, device)
    row = {
        "method": label,
        "revision": method.revision,
        "ms": round(1000 * seconds / len(faces), 3),
        "wall_ms": round(1000 * wall / len(faces), 3),
        "peak_gb": round(peak_memory(device) / 1e9, 2),
        "gflop": round(gflop, 3),
        "share_of_matrix_product": round(gflop * len(faces) / seconds / peak, 3),
    }
    return row | (agreement(entry, name, method, faces[:COMPARED]) if on_gpu(device) else {})


def agreement(entry: dict, name: str, method: QualityMethod, faces: Tensor) -> dict:
    """How far a GPU's scores are from the CPU's, in float32 and in what torch takes for it by default (TF32)."""
    expected, found = create_method(name, **entry)(faces), {}
    for label, rounded in (("float32", False), ("tf32", True)):
        torch.backends.cudnn.allow_tf32 = rounded
        found[label] = float(f"{(method(faces) - expected).abs().max():.2g}")
    torch.backends.cudnn.allow_tf32 = False
    return {"largest_difference_from_cpu": found, "cpu_spread": float(f"{expected.std():.2g}")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", type=Path, required=True, help="whose methods are measured")
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"), help="where training/README puts weights")
    parser.add_argument("--batch_size", type=int, default=32, help="faces at once, and all that are measured")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the quickest counts")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--difiqa", action=argparse.BooleanOptionalAction, default=True, help="DifFIQA as well")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    machine, faces = hardware(args.device), read_faces(args.faces, args.batch_size)
    torch.backends.cudnn.allow_tf32 = False  # which rounds like half precision: all figures are of float32
    peak, results = matrix_product(args.device), []
    entries = (with_weights(entry, args.runs) for entry in Experiment.read(args.experiment).methods)
    for entry in [*filter(None, entries), *(DIFIQA if args.difiqa else ())]:
        results.append(measure(entry, faces, args.repeats, args.device, peak))
        print(results[-1], file=sys.stderr, flush=True)
    result = {
        "what": __doc__.split("\n")[0],
        "batch_size": args.batch_size,
        "device": args.device,
        "clock": "wall" if on_gpu(args.device) else "processor",
        "matrix_product_gflops": round(peak, 1),
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch"),
        "results": results,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

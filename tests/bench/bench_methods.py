"""What every quality method costs an image (the paper's Table 3): `make bench-methods`.

CPU time of a batch of aligned faces in memory, after a first batch; reading and aligning are not in it. The methods are
those of an experiment of `difiqa evaluate`, with their checkpoints; and DifFIQA: one repeat, the paper's ten, `fast`.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from machine import fastest, forget_peak, hardware, peak_resident, read_faces, versions
from torch import Tensor

from difiqa_hf.benchmarks.experiment import Experiment
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.methods.registry import method_class

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


def measure(entry: dict, faces: Tensor, repeats: int) -> dict:
    """CPU and wall milliseconds an image of one method, that run counting which took the least CPU time."""
    entry = dict(entry)
    label = entry.pop("label", entry["name"])
    method: QualityMethod = create_method(entry.pop("name"), **entry)
    method(faces[:2])  # the first call allocates
    forget_peak()
    _, cpu, seconds = fastest(lambda: method(faces), repeats)
    return {
        "method": label,
        "revision": method.revision,
        "ms": round(1000 * cpu / len(faces), 3),
        "wall_ms": round(1000 * seconds / len(faces), 3),
        "peak_gb": round(peak_resident() / 1e9, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", type=Path, required=True, help="whose methods are measured")
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--runs", type=Path, default=Path("training/runs"), help="where training/README puts weights")
    parser.add_argument("--batch_size", type=int, default=32, help="faces at once, and all that are measured")
    parser.add_argument("--repeats", type=int, default=3, help="that with the least CPU time counts")
    parser.add_argument("--difiqa", action=argparse.BooleanOptionalAction, default=True, help="DifFIQA as well")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    machine, faces = hardware(), read_faces(args.faces, args.batch_size)
    results = []
    entries = (with_weights(entry, args.runs) for entry in Experiment.read(args.experiment).methods)
    for entry in [*filter(None, entries), *(DIFIQA if args.difiqa else ())]:
        results.append(measure(entry, faces, args.repeats))
        print(results[-1], file=sys.stderr, flush=True)
    result = {
        "what": __doc__.split("\n")[0],
        "batch_size": args.batch_size,
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch"),
        "results": results,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

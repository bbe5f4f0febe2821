"""What the approximations of DifFIQA cost in rank: `make bench-presets`.

The reference is the mean of 100 repeats, as in the paper's procedure but ten times as many. Every approximation is
scored with several other seeds; Spearman's coefficient with the reference is that of one seed, as a user gets it. Each
call is kept in --work, so a killed run goes on; hours on one core.
"""

import argparse
import json
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from machine import hardware, read_faces, versions
from scipy.stats import spearmanr
from torch import Tensor

from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import PRESETS, DifFIQA

REFERENCE = 100  # repeats
FIRST_SEED = 1000  # of the reference; approximations have seeds from 0 on
APPROXIMATIONS = {
    "10 repeats (paper)":              {"num_repeats": 10},
    "4 repeats":                       {"num_repeats": 4},
    "4 repeats, antithetic":           {"num_repeats": 4, "noise": "antithetic"},
    "2 repeats, antithetic":           {"num_repeats": 2, "noise": "antithetic"},
    "2 antithetic, two steps":         {"num_repeats": 2, "noise": "antithetic", "steps": 2},
    "2 antithetic, one step (fast)":   PRESETS["fast"],
    "1 repeat":                        {"num_repeats": 1},
    "1 repeat, bfloat16":              {"num_repeats": 1, "unet_dtype": "bfloat16"},
    "1 repeat, shared":                {"num_repeats": 1, "noise": "shared"},
    "1 shared, two steps":             {"num_repeats": 1, "noise": "shared", "steps": 2},
    "1 shared, one step (fastest)":    PRESETS["fastest"],
    "antithetic until .0002 (careful)": PRESETS["careful"],
}  # fmt: skip
SEEDS = 2


def kept(file: Path, work) -> dict[str, np.ndarray]:
    """What `work` returns, from the file if it is there."""
    if not file.exists():
        found = work()
        with file.with_suffix(".partial").open("wb") as partial:
            np.savez(partial, **found)
        file.with_suffix(".partial").rename(file)
    with np.load(file) as stored:
        return dict(stored)


@cache
def method_of(options: str) -> DifFIQA:
    return create_method("difiqa", **json.loads(options))


def score(faces: Tensor, name: str, options: dict, seed: int, work: Path) -> dict[str, np.ndarray]:
    """Scores, errors, repeats and seconds of one call; kept under all that they depend on."""

    def scored() -> dict[str, np.ndarray]:
        start = time.process_time()
        out = method.pipeline(faces, **method.options | {"seed": seed})
        seconds = np.array(time.process_time() - start)
        error, repeats = out.standard_error.numpy(), out.num_repeats.numpy()
        return {"quality": out.quality.numpy(), "error": error, "repeats": repeats, "seconds": seconds}

    method = method_of(json.dumps(options))
    settings = "-".join(f"{key}={value}" for key, value in sorted(options.items()))
    return kept(work / f"{name}-{len(faces)}-{method.revision}-{settings}-{seed}.npz", scored)


def reference(faces: Tensor, name: str, repeats: int, work: Path) -> np.ndarray:
    """Scores (repeats, images), one repeat each."""
    runs = []
    for seed in range(FIRST_SEED, FIRST_SEED + repeats):
        runs.append(score(faces, name, {"num_repeats": 1}, seed, work)["quality"])
        print(name, "reference", seed, file=sys.stderr, flush=True)
    return np.stack(runs)


def compare(faces: Tensor, name: str, label: str, expected: np.ndarray, work: Path) -> dict:
    """One approximation on one set of faces, `SEEDS` times."""
    options = APPROXIMATIONS[label]
    runs = [score(faces, name, options, seed, work) for seed in range(SEEDS)]
    print(name, label, file=sys.stderr, flush=True)
    quality = np.stack([run["quality"] for run in runs])
    ranks = [spearmanr(one, expected).statistic for one in quality]
    repeats = float(np.mean([run["repeats"] for run in runs]))
    steps = options.get("steps") or 5
    return {
        "faces": name,
        "approximation": label,
        "repeats": round(repeats, 2),
        "denoiser_calls": round(2 * steps * repeats, 1),
        "spearman": round(float(np.mean(ranks)), 4),
        "spearman_low": round(float(np.min(ranks)), 4),
        "deviation": round(float(np.sqrt(quality.var(0, ddof=1).mean())), 5),  # of a score, over the seeds
        "shift": round(float((quality.mean(0) - expected).mean()), 5),
        "cpu_ms": round(1000 * float(np.min([run["seconds"] for run in runs])) / len(faces), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", nargs="+", type=Path, required=True, help="zips of aligned 112 x 112 faces")
    parser.add_argument("--images", type=int, default=50, help="of each zip")
    parser.add_argument("--repeats", type=int, default=REFERENCE, help="of the reference")
    parser.add_argument("--work", type=Path, required=True, help="folder for what was computed")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    machine, results, sets = hardware(), [], []
    for source in args.faces:
        faces, name = read_faces(source, args.images, spread=True), source.stem.partition("_")[0]
        runs = reference(faces, name, args.repeats, args.work)
        halves = [runs[i::2].mean(0) for i in range(2)]
        expected = runs.mean(0)
        sets.append(
            {
                "faces": name,
                "images": len(faces),
                "repeats": len(runs),
                "spread": round(float(expected.std(ddof=1)), 5),
                "deviation_of_a_repeat": round(float(np.sqrt(runs.var(0, ddof=1).mean())), 5),
                "spearman_of_halves": round(float(spearmanr(*halves).statistic), 4),
            }
        )
        results += [compare(faces, name, label, expected, args.work) for label in APPROXIMATIONS]
    result = {
        "what": __doc__.split("\n")[0],
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch"),
        "reference": sets,
        "results": results,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

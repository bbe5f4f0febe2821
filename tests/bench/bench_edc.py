"""Time and memory of the error-versus-discard curves: `make bench-edc`, or `python tests/bench/bench_edc.py --help`.

Every figure comes from a process of its own. Inputs are like IJB-C's 1:1 protocol: 23,124 templates, one quality each,
one genuine among 800 comparisons; the pair quality (N,) and the similarity (N,) are float64. "plain numpy" is what one
writes without thinking: a stable sort and a partition at each of the six grid points below .3.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from machine import forget_peak, hardware, peak_memory, versions

from difiqa_hf.metrics import bootstrap_pauc, error_discard

IJBC, TEMPLATES, GENUINE_SHARE = 15_658_489, 23_124, 19_557 / 15_658_489
FMR = 1e-3
SIZES = (6_000, 100_000, 1_000_000, IJBC, 50_000_000, 100_000_000)


def made_up(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Similarity, genuine and pair quality (n,); small sets are half genuine, as LFW."""
    rng = np.random.default_rng(seed)
    genuine = rng.random(n, dtype=np.float32) < (0.5 if n <= 6_000 else GENUINE_SHARE)
    template = rng.normal(size=TEMPLATES)
    quality = template[rng.integers(TEMPLATES, size=n, dtype=np.int32)]
    np.minimum(quality, template[rng.integers(TEMPLATES, size=n, dtype=np.int32)], out=quality)
    similarity = 0.12 * rng.normal(size=n)
    similarity[genuine] += 0.5 + 0.08 * quality[genuine]
    return similarity, genuine, quality


def plain_numpy(similarity: np.ndarray, genuine: np.ndarray, quality: np.ndarray) -> list[float]:
    """FNMR at 0, .05, …, .25 of protocol "paper"."""
    order = np.argsort(quality, kind="stable")
    similarity, genuine = similarity[order], genuine[order]
    fnmr = []
    for i in range(6):
        scores, kind = similarity[i * len(order) // 20 :], genuine[i * len(order) // 20 :]
        impostor = scores[~kind]
        position = len(impostor) - 1 - (-(-len(impostor) // 1000) - 1)
        threshold = np.partition(impostor, position)[position]
        fnmr.append(float(np.mean(scores[kind] <= threshold)))
    return fnmr


TASKS = {
    "plain numpy, paper, 6 points": plain_numpy,
    "paper, 20 points": lambda *data: error_discard(*data, fmr=FMR).fnmr.tolist(),
    "edc, exact": lambda *data: error_discard(*data, fmr=FMR, protocol="edc").fnmr.tolist(),
    "pair unit, exact, fixed": lambda *data: error_discard(
        *data, fmr=FMR, grid_step="exact", threshold_update="fixed"
    ).fnmr.tolist(),
    "bootstrap, paper, 1000 resamples": lambda *data: bootstrap_pauc(*data, fmr=FMR).samples.tolist(),
    "bootstrap, edc, 1000 resamples": lambda *data: bootstrap_pauc(*data, fmr=FMR, protocol="edc").samples.tolist(),
}


def measure(task: str, n: int) -> dict:
    """In this process: seconds, and bytes above those that the process had with its inputs."""
    data = made_up(n)
    forget_peak()
    before, start, cpu = peak_memory(), time.perf_counter(), time.process_time()
    values = TASKS[task](*data)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    above = peak_memory() - before
    inputs = sum(values.nbytes for values in data)
    return {
        "task": task, "comparisons": n, "seconds": round(seconds, 4), "cpu_seconds": round(cpu, 4),
        "peak_gb_above_inputs": round(above / 1e9, 3), "inputs_gb": round(inputs / 1e9, 3), "first_values": values[:6],
    }  # fmt: skip


def in_a_process_of_its_own(task: str, n: int) -> dict:
    """`measure`, or why there is no figure."""
    command = [sys.executable, __file__, "--measure", task, "--sizes", str(n)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"killed by signal {-done.returncode}"])[-1]
        return {"task": task, "comparisons": n, "failed": reason}
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="result file")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of comparisons")
    parser.add_argument("--repeats", type=int, default=3, help="that with the least CPU time counts")
    parser.add_argument("--measure", choices=TASKS, help="only this task, in this process")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.sizes[0])))
        return 0
    machine, results = hardware(), []
    for n in args.sizes:
        for task in TASKS:
            if (task.startswith("bootstrap") and n > SIZES[0]) or (task.startswith("plain") and n > IJBC):
                continue
            repeats = args.repeats if n <= IJBC else 1
            runs = [in_a_process_of_its_own(task, n) for _ in range(repeats)]
            results.append(min(runs, key=lambda run: run.get("cpu_seconds", float("inf"))) | {"repeats": repeats})
            print({key: value for key, value in results[-1].items() if key != "first_values"}, file=sys.stderr)
            write(machine, results, args.output)  # a run that is stopped has its results so far
    return 0


def write(machine: dict, results: list[dict], output: Path | None) -> None:
    """The results so far, to the file or to the screen."""
    result = {
        "what": __doc__.split("\n")[0],
        "fmr": FMR,
        "hardware": machine,
        "versions": versions("numpy"),
        "results": results,
    }
    text = json.dumps(result, indent=1) + "\n"
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    sys.exit(main())

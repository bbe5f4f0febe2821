"""Face verification benchmarks in their standard layouts: `load_benchmark(name, root)`."""

from pathlib import Path

from difiqa_hf.benchmarks.base import Benchmark, UnavailableImageError
from difiqa_hf.benchmarks.cfp import load_cfp
from difiqa_hf.benchmarks.degraded import degrade_second
from difiqa_hf.benchmarks.lfw import load_lfw

__all__ = ["BENCHMARKS", "Benchmark", "UnavailableImageError", "load_benchmark"]

# name -> (root, seed) -> Benchmark; the seed matters to synthetic ones only
BENCHMARKS = {
    "lfw":              lambda root, seed: load_lfw(root),
    "cfp-ff":           lambda root, seed: load_cfp(root, "FF"),
    "cfp-fp":           lambda root, seed: load_cfp(root, "FP"),
    "lfw-xq-synthetic": lambda root, seed: degrade_second(load_lfw(root), "lfw-xq-synthetic", seed),
}  # fmt: skip


def load_benchmark(name: str, root: str | Path, *, pairs: int | None = None, seed: int = 0) -> Benchmark:
    """Read a benchmark from the folder or zip that holds its standard layout, inside an extra top folder or not.

    Args:
        name: one of `BENCHMARKS`; "lfw-xq-synthetic" is LFW with the second image of every comparison degraded.
        root: folder or zip.
        pairs: only that many comparisons, half of them genuine, spread evenly over the folds; None for all.
        seed: of the synthetic degradation.

    Raises:
        ValueError: for an unknown name or a number of pairs that the benchmark does not have.
        FileNotFoundError: if the layout is not there.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name](root, seed)
    return benchmark if pairs is None else benchmark.spread(pairs)

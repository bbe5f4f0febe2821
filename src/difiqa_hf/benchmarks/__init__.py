"""Face verification benchmarks in their standard layouts: `load_benchmark(name, root)`."""

from pathlib import Path

from difiqa_hf.benchmarks.adience import load_adience
from difiqa_hf.benchmarks.allpairs import all_pairs
from difiqa_hf.benchmarks.base import Benchmark, UnavailableImageError
from difiqa_hf.benchmarks.cfp import load_cfp
from difiqa_hf.benchmarks.crosslfw import load_cross_lfw
from difiqa_hf.benchmarks.degraded import degrade_second
from difiqa_hf.benchmarks.folder import load_folder
from difiqa_hf.benchmarks.hub import load_dataset_pairs
from difiqa_hf.benchmarks.ijbc import load_ijbc
from difiqa_hf.benchmarks.lfw import load_lfw
from difiqa_hf.benchmarks.packed import load_packed

__all__ = ["BENCHMARKS", "Benchmark", "UnavailableImageError", "all_pairs", "load_benchmark"]

# name -> (root, seed, how image qualities become a template's) -> Benchmark
BENCHMARKS = {
    "lfw":              lambda root, seed, pool: load_lfw(root),
    "xqlfw":            lambda root, seed, pool: load_lfw(root, "xqlfw"),
    "calfw":            lambda root, seed, pool: load_cross_lfw(root, "calfw"),
    "cplfw":            lambda root, seed, pool: load_cross_lfw(root, "cplfw"),
    "cfp-ff":           lambda root, seed, pool: load_cfp(root, "FF"),
    "cfp-fp":           lambda root, seed, pool: load_cfp(root, "FP"),
    "adience":          lambda root, seed, pool: load_adience(root, seed),
    "ijb-c":            lambda root, seed, pool: load_ijbc(root, pool),
    "lfw-xq-synthetic": lambda root, seed, pool: degrade_second(load_lfw(root), "lfw-xq-synthetic", seed),
    "folder":           lambda root, seed, pool: load_folder(root, seed),
    "dataset":          lambda root, seed, pool: load_dataset_pairs(root, seed),
}  # fmt: skip
PACKED = ("lfw", "xqlfw", "calfw", "cplfw", "cfp-ff", "cfp-fp")
ALL_PAIRS = "-all-pairs"


def load_benchmark(
    name: str, root: str | Path, *, pairs: int | None = None, seed: int = 0, template_quality: str = "mean"
) -> Benchmark:
    """Read a benchmark from the folder or zip that holds its standard layout, inside an extra top folder or not.

    Args:
        name: one of `BENCHMARKS`, or that with "-all-pairs": all comparisons between its images, a protocol of our own;
            "lfw-xq-synthetic" is LFW with the second image of every comparison degraded.
        root: folder, zip or, where the community has one, a `.bin` file such as `lfw.bin`.
        pairs: only that many comparisons, half of them genuine, spread evenly over the folds; None for all.
        seed: of the synthetic degradation and of comparisons that are drawn (adience, folder, all pairs).
        template_quality: of ijb-c: "mean", "min", "max" or "median" of a template's images.

    Raises:
        ValueError: for an unknown name or a number of pairs that the benchmark does not have.
        FileNotFoundError: if the layout is not there.
    """
    base = name.removesuffix(ALL_PAIRS)
    if base not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}, and most with {ALL_PAIRS}")
    if Path(root).suffix == ".bin":
        if base not in PACKED:
            raise ValueError(f"{name} does not come as a .bin file; these do: {', '.join(PACKED)}")
        benchmark = load_packed(root, base)
    else:
        benchmark = BENCHMARKS[base](root, seed, template_quality)
    benchmark = all_pairs(benchmark, seed=seed) if name.endswith(ALL_PAIRS) else benchmark
    return benchmark if pairs is None else benchmark.spread(pairs)

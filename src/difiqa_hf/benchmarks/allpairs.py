"""All comparisons between the images of a benchmark: more of them, so tighter thresholds and intervals."""

from dataclasses import replace

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark
from difiqa_hf.benchmarks.drawing import MAX_IMPOSTORS, drawn_pairs


def all_pairs(benchmark: Benchmark, max_impostors: int = MAX_IMPOSTORS, seed: int = 0) -> Benchmark:
    """Every genuine comparison between the images of `benchmark`, and every impostor one or `max_impostors` drawn.

    The result is not the benchmark's official protocol, and its name says so. Comparisons share images and persons
    many times over: give `bootstrap_pauc` the persons.

    Raises:
        ValueError: if the benchmark does not know who is on its images.
    """
    if benchmark.persons is None or benchmark.sides is not benchmark.images:
        raise ValueError(f"{benchmark.name} does not say who is on its images: all pairs cannot be labelled")
    pairs, genuine = drawn_pairs(benchmark.persons, None, max_impostors, np.random.default_rng(seed))
    folds = np.ones(len(pairs), dtype=np.int8)
    return replace(benchmark, name=f"{benchmark.name}-all-pairs", pairs=pairs, genuine=genuine, folds=folds)

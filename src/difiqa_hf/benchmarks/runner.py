"""Error-versus-discard figures of quality methods on a benchmark, for one or more recognisers, with provenance."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from difiqa_hf import __version__
from difiqa_hf.benchmarks.base import Available, Benchmark, leave_out_unavailable
from difiqa_hf.benchmarks.compute import Output, Task, compute_outputs
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.metrics import ErrorDiscardResult, UndefinedAreaError, bootstrap_pauc, error_discard
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.recognizers import embed, recognizer_fingerprint, weights_revision

LIMITS = (0.2, 0.3)
CURVE_GRID = [i / 20 for i in range(20)]


def evaluate_benchmark(
    benchmark: Benchmark,
    recognizers: Mapping[str, Any],
    methods: Sequence[QualityMethod | str],
    *,
    fmr: float = 1e-3,
    protocol: str = "paper",
    seed: int = 0,
    batch_size: int = 32,
    device: str = "cpu",
    cache_dir: str | Path | None = None,
    num_resamples: int = 1000,
) -> dict[str, Any]:
    """Score a benchmark with every method and say how well its order predicts the errors of every recogniser.

    Args:
        benchmark: of `load_benchmark`.
        recognizers: name -> model or callable that compares the faces; see `difiqa_hf.recognizers.embed`.
        methods: quality methods, or names for `create_method`; a method brings its own recogniser, if it needs one, so
            its scores are the same whatever recogniser they are judged by.
        fmr, protocol: as in `error_discard`.
        seed: of methods given by name and of the bootstrap.
        batch_size: images at once.
        device: where the recognisers and the methods given by name run.
        cache_dir: keeps embeddings and qualities between calls; safe to delete.
        num_resamples: of the bootstrap interval.

    Returns:
        A dictionary that `json` can write: benchmark, protocol, one entry per method and recogniser, versions.

    Raises:
        ValueError: if no comparison can be scored or the figures do not exist (see `error_discard`).
    """
    checked_options(protocol, fmr, {})  # before hours of scoring, not after
    methods = [
        create_method(method, recognizer=None, seed=seed, device=device) if isinstance(method, str) else method
        for method in methods
    ]
    available = leave_out_unavailable(benchmark)
    tasks = [_embedding_task(recognizer, device) for recognizer in recognizers.values()]
    tasks += [Task(method, method.fingerprint and f"quality {method.fingerprint}") for method in methods]
    outputs = compute_outputs(available, tasks, batch_size=batch_size, cache_dir=cache_dir)
    embeddings, qualities = outputs[: len(recognizers)], outputs[len(recognizers) :]

    kept, options = available.benchmark, {"fmr": fmr, "protocol": protocol}
    results = []
    for (name, recognizer), embedding in zip(recognizers.items(), embeddings, strict=True):
        revision, similarity = weights_revision(recognizer), cosine_similarity(embedding.values, kept.pairs)
        for method, quality in zip(methods, qualities, strict=True):
            row = {"method": method.name, "method_fingerprint": method.fingerprint, "method_revision": method.revision}
            row |= {"recognizer": name, "recognizer_revision": revision}
            row |= figures(similarity, kept.genuine, quality.values[kept.pairs], seed, num_resamples, **options)
            row["seconds"] = {"quality": _seconds(quality), "embedding": _seconds(embedding)}
            results.append(row)
    return {
        "benchmark": describe(available),
        "protocol": {"name": protocol, "fmr": fmr, "options": checked_options(protocol, fmr, {})[1]},
        "seed": seed,
        "results": results,
        "device": device,
        "versions": versions(),
    }


def _embedding_task(recognizer, device: str) -> Task:
    recognizer = recognizer.to(device) if isinstance(recognizer, torch.nn.Module) else recognizer
    fingerprint = recognizer_fingerprint(recognizer)
    return Task(
        lambda pixel_values: embed(recognizer, pixel_values.to(device)), fingerprint and f"embedding {fingerprint}"
    )


def _seconds(output: Output) -> dict[str, Any]:
    return {"seconds": round(output.seconds, 3), "images": len(output.values), "cached": output.cached}


def cosine_similarity(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Cosine (N,), float64, between the embeddings (images, dim) of the two sides of `pairs` (N, 2)."""
    embeddings = embeddings.astype(np.float64)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.einsum("nd,nd->n", unit[pairs[:, 0]], unit[pairs[:, 1]])


def figures(
    similarity: np.ndarray, genuine: np.ndarray, quality: np.ndarray, seed: int, num_resamples: int, **options: Any
) -> dict[str, Any]:
    """FNMR(0), areas at every limit, interval of the last one, the curve and its counts; None where undefined."""
    result = error_discard(similarity, genuine, quality, **options)
    interval = bootstrap_pauc(
        similarity, genuine, quality, limit=LIMITS[-1], num_resamples=num_resamples, seed=seed, **options
    )
    areas, undefined = _areas(result)
    return {
        "fnmr0": result.fnmr0,
        "pauc": {limit: values and values["normalised"] for limit, values in areas.items()},
        "interval": {
            "limit": LIMITS[-1],
            "confidence": interval.confidence,
            "low": _number(interval.low),
            "high": _number(interval.high),
            "num_resamples": num_resamples,
            "n_undefined": interval.n_undefined,
        },
        "areas": areas,
        "undefined": undefined,
        "n_genuine": result.n_genuine,
        "n_impostor": result.n_impostor,
        "curve": _curve(result),
    }


def _areas(result: ErrorDiscardResult) -> tuple[dict[str, dict | None], str | None]:
    """Limit -> areas, None where undefined, and why."""
    areas, undefined = {}, None
    for limit in LIMITS:
        try:
            areas[str(limit)] = result.areas(limit)
        except UndefinedAreaError as error:
            areas[str(limit)], undefined = None, str(error)
    return areas, undefined


def _curve(result: ErrorDiscardResult) -> dict[str, list]:
    """The staircase at discard 0, .05, …, .95, which are all steps of protocol "paper"."""
    steps = np.searchsorted(result.discard, CURVE_GRID, side="right") - 1
    names = ("fnmr", "threshold", "k", "remaining_genuine", "remaining_impostor")
    return {"discard": CURVE_GRID} | {
        name: [_number(value) for value in getattr(result, name)[steps].tolist()] for name in names
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value  # JSON knows no NaN


def describe(available: Available) -> dict[str, Any]:
    """What was compared, and every comparison that could not be."""
    kept = available.benchmark
    return {
        "name": kept.name,
        "recipe": kept.recipe,
        "content": available.content,
        "n_images": len(kept.images),
        "n_comparisons": len(kept.pairs),
        "n_genuine": int(kept.genuine.sum()),
        "n_impostor": int((~kept.genuine).sum()),
        "folds": np.unique(kept.folds).tolist(),
        "skipped": {
            "n_comparisons": len(available.skipped),
            "comparisons": [list(names) for names in available.skipped],
            "images": available.problems,
        },
    }


def versions() -> dict[str, str]:
    """Of everything that a figure may depend on."""
    packages = ("diffusers", "numpy", "pillow", "torch", "transformers")
    return {"difiqa_hf": __version__, "python": platform.python_version()} | {name: version(name) for name in packages}

"""Error-versus-discard figures of quality methods on a benchmark, for one or more recognisers, with provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.base import Benchmark
from difiqa_hf.benchmarks.compute import Task, compute_outputs
from difiqa_hf.benchmarks.figures import Judge
from difiqa_hf.benchmarks.means import average, compare, without_samples
from difiqa_hf.benchmarks.provenance import describe, hardware, versions
from difiqa_hf.benchmarks.scores import read_scores, write_scores
from difiqa_hf.benchmarks.store import Output
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.processes import process_state
from difiqa_hf.recognizers import embed, recognizer_fingerprint, weights_revision

CHUNK = 2**16  # comparisons whose embeddings are gathered at once: half a gigabyte at 512 dimensions


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
    scores_dir: str | Path | None = None,
    num_resamples: int = 1000,
    options: Mapping[str, Any] | None = None,
    baseline: int | None = None,
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
        cache_dir: keeps embeddings and qualities between calls; safe to delete. Processes of `accelerate launch` share
            the work through it, and each returns the whole result.
        scores_dir: keeps the scores image by image, in files to publish; those that are there are not computed again.
        num_resamples: of the bootstrap intervals; benchmarks of more than 100,000 comparisons get fewer.
        options: of the protocol, see `error_discard`.
        baseline: index of the method that every other is compared with, on the same resamples.

    Returns:
        A dictionary that `json` can write: benchmark, protocol, one entry per method and recogniser ("results"), one
        per method for the mean over the recognisers ("means"), versions. Means have the "samples" of their interval,
        for `difiqa_hf.benchmarks.means`.

    Raises:
        ValueError: if no comparison can be scored or the figures do not exist (see `error_discard`).
    """
    options = dict(options or {})
    resolved = checked_options(protocol, fmr, options)[1]  # before hours of scoring, not after
    methods = [
        create_method(method, recognizer=None, seed=seed, device=device) if isinstance(method, str) else method
        for method in methods
    ]
    available = leave_out_unavailable(benchmark, cache_dir)
    qualities = [read_scores(scores_dir, available, method) if scores_dir else None for method in methods]
    todo = [i for i, quality in enumerate(qualities) if quality is None]
    tasks = [embedding_task(recognizer, device) for recognizer in recognizers.values()]
    tasks += [Task(methods[i], methods[i].fingerprint and f"quality {methods[i].fingerprint}") for i in todo]
    outputs = compute_outputs(available, tasks, batch_size=batch_size, cache_dir=cache_dir)
    embeddings = outputs[: len(recognizers)]
    state = process_state()
    for i, output in zip(todo, outputs[len(recognizers) :], strict=True):
        qualities[i] = output
        if scores_dir and (state is None or state.is_main_process):
            write_scores(scores_dir, available, methods[i], output)

    judge = Judge(available, options | {"fmr": fmr, "protocol": protocol}, seed, num_resamples, cache_dir)
    rows = _rows(judge, list(zip(recognizers.items(), embeddings, strict=True)), methods, qualities)
    judged = [rows[start : start + len(methods)] for start in range(0, len(rows), len(methods))]
    averages = [average(own) for own in zip(*judged, strict=True)]
    for group in (*judged, averages):
        compare(group, baseline)
    return {
        "benchmark": describe(available),
        "protocol": {"name": protocol, "fmr": fmr, "options": resolved},
        "seed": seed,
        "results": without_samples(rows),
        "means": averages,
        "device": device,
        "hardware": hardware(device),
        "versions": versions(),
    }


def _rows(
    judge: Judge,
    embedded: Sequence[tuple[tuple[str, Any], Output]],
    methods: Sequence[QualityMethod],
    qualities: Sequence[Output],
) -> list[dict[str, Any]]:
    """One entry of the results per recogniser and method; processes share them."""
    kept, state = judge.available.benchmark, process_state()
    sides = [kept.side_qualities(quality.values) for quality in qualities]
    numbers = range(len(embedded) * len(methods))
    numbers, rows, similarity = numbers[state.process_index :: state.num_processes] if state else numbers, [], {}
    for number in numbers:
        r, i = divmod(number, len(methods))
        (name, recognizer), embedding = embedded[r]
        if r not in similarity:
            similarity = {r: cosine_similarity(kept.side_embeddings(embedding.values), kept.pairs)}
        row = {"method": methods[i].name, "method_fingerprint": methods[i].fingerprint}
        row |= {"method_revision": methods[i].revision}
        row |= {"recognizer": name, "recognizer_revision": weights_revision(recognizer)}
        row |= judge.figures(similarity[r], sides[i])
        row["thresholds"] = judge.thresholds(similarity[r], sides[i])
        row["seconds"] = {"quality": _seconds(qualities[i]), "embedding": _seconds(embedding)}
        rows.append((number, row))
    if state:
        from accelerate.utils import gather_object

        rows = sorted(gather_object(rows), key=lambda entry: entry[0])
    return [row for _, row in rows]


def embedding_task(recognizer, device: str) -> Task:
    """What embeds the images of a benchmark by a model or callable, for `compute_outputs`."""
    recognizer = recognizer.to(device) if isinstance(recognizer, torch.nn.Module) else recognizer
    fingerprint = recognizer_fingerprint(recognizer)
    return Task(
        lambda pixel_values: embed(recognizer, pixel_values.to(device)), fingerprint and f"embedding {fingerprint}"
    )


def _seconds(output: Output) -> dict[str, Any]:
    return {"seconds": round(output.seconds, 3), "images": len(output.values), "cached": output.cached}


def cosine_similarity(embeddings: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Cosine (N,), float64, between the embeddings (images, dim) of the two sides of `pairs` (N, 2)."""
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = np.empty(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        first, second = pairs[start : start + CHUNK].T
        similarity[start : start + CHUNK] = np.einsum("nd,nd->n", unit[first], unit[second])
    return similarity

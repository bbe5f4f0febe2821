"""The threshold card of a method from the comparisons of a benchmark."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.base import Benchmark
from difiqa_hf.benchmarks.compute import Task, compute_outputs
from difiqa_hf.benchmarks.runner import cosine_similarity, embedding_task
from difiqa_hf.methods import QualityMethod
from difiqa_hf.metrics import ErrorsAbove, ThresholdCard
from difiqa_hf.recognizers import weights_revision


def measure_card(
    benchmark: Benchmark,
    recognizers: Mapping[str, Any],
    method: QualityMethod,
    *,
    card: ThresholdCard | None = None,
    fmr: float = 1e-3,
    num_resamples: int = 1000,
    seed: int = 0,
    batch_size: int = 32,
    device: str = "cpu",
    cache_dir: str | Path | None = None,
) -> ThresholdCard:
    """Measure what discarding by the method's scores leaves of every recogniser's errors.

    Args:
        benchmark: of `load_benchmark`.
        recognizers, fmr, seed, batch_size, device, cache_dir: as in `evaluate_benchmark`.
        method: whose scores; its parameters are those of the card.
        card: gets the entries; its reference scores are the points. None: the benchmark's images are the reference.
        num_resamples: of the intervals, which are by identity where the benchmark knows the persons.
    """
    available = leave_out_unavailable(benchmark, cache_dir)
    kept = available.benchmark
    tasks = [embedding_task(recognizer, device) for recognizer in recognizers.values()]
    tasks.append(Task(method, method.fingerprint and f"quality {method.fingerprint}"))
    *embeddings, quality = compute_outputs(available, tasks, batch_size=batch_size, cache_dir=cache_dir)
    sides = kept.side_qualities(quality.values)
    if card is None:
        reference = f"{len(quality.values)} images of {kept.name}"
        identity = {"method": method.name, "revision": method.revision}
        card = ThresholdCard.from_scores(quality.values, reference=reference, **identity)
    persons = None if kept.persons is None else np.array(kept.persons)[kept.pairs]
    for (name, recognizer), embedding in zip(recognizers.items(), embeddings, strict=True):
        similarity = cosine_similarity(kept.side_embeddings(embedding.values), kept.pairs)
        entry = ErrorsAbove.measure(
            similarity,
            kept.genuine,
            sides,
            card.scores,
            comparisons=kept.name,
            recognizer=name,
            recognizer_revision=weights_revision(recognizer),
            fmr=fmr,
            images=kept.pairs,
            persons=persons,
            num_resamples=num_resamples,
            seed=seed,
        )
        card = card.with_errors(entry)
    return card

"""An experiment is a JSON file: many benchmarks, recognisers and methods in; one result file per benchmark out."""

import inspect
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.runner import evaluate_benchmark
from difiqa_hf.benchmarks.scores import Recalled, recall
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.processes import process_state
from difiqa_hf.recognizers import load_recognizer

BENCHMARK_KEYS = ("fmr", *inspect.signature(load_benchmark).parameters)


@dataclass(frozen=True)
class Experiment:
    """What is evaluated. Paths are relative to the experiment's file.

    Attributes:
        benchmarks: each {"name", "root"} and what else `load_benchmark` takes, such as "pairs"; also "fmr", where it
            differs from that of the others.
        recognizers: name in the results -> file, folder or repository; None for the shipped one.
        methods: names, or {"name"} with what `create_method` takes and a "label" for the tables; or {"name", "recall"}
            for one of which only the scores on file are at hand, see `difiqa_hf.benchmarks.scores.recall`.
        baseline: name or label of the method that every other is compared with, on the same resamples.
        fmr, protocol, options: of `error_discard`.
        seed: of methods, drawn comparisons, synthetic degradation and bootstrap.
        num_resamples, batch_size, device: as in `evaluate_benchmark`.
    """

    benchmarks: list[dict[str, Any]]
    recognizers: dict[str, str | None]
    methods: list[str | dict[str, Any]]
    baseline: str | None = None
    fmr: float = 1e-3
    protocol: str = "paper"
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    num_resamples: int = 1000
    batch_size: int = 32
    device: str = "cpu"

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """Read and check.

        Raises:
            ValueError: for missing or unknown keys, or a protocol that does not exist.
        """
        path = Path(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        known = [f.name for f in fields(cls)]
        wrong = [key for key in content if key not in known]
        missing = [key for key in ("benchmarks", "recognizers", "methods") if not content.get(key)]
        if wrong or missing:
            raise ValueError(f"{path}: unknown keys {wrong}, missing {missing}; known: {', '.join(known)}")
        for benchmark in content["benchmarks"]:
            if not {"name", "root"} <= benchmark.keys():
                raise ValueError(f"{path}: every benchmark needs a name and a root, found {benchmark}")
            if strange := [key for key in benchmark if key not in BENCHMARK_KEYS]:
                raise ValueError(f"{path}: a benchmark knows no {strange}; it takes {', '.join(BENCHMARK_KEYS)}")
            benchmark["root"] = str(path.parent / benchmark["root"])
        content["recognizers"] = {name: _beside(path, source) for name, source in content["recognizers"].items()}
        content["methods"] = [
            entry
            if isinstance(entry, str)
            else entry | {key: _beside(path, entry[key]) for key in ("recognizer", "checkpoint") if key in entry}
            for entry in content["methods"]
        ]
        experiment = cls(**content)
        for benchmark in experiment.benchmarks:
            checked_options(experiment.protocol, benchmark.get("fmr", experiment.fmr), experiment.options)
        if experiment.baseline not in (None, *experiment.labels):
            raise ValueError(f"{path}: baseline {experiment.baseline!r} is none of {', '.join(experiment.labels)}")
        return experiment

    @property
    def labels(self) -> list[str]:
        """What every method is called: its label or its name."""
        return [entry if isinstance(entry, str) else entry.get("label", entry["name"]) for entry in self.methods]


def run_experiment(
    experiment: Experiment,
    output: str | Path,
    cache_dir: str | Path | None = None,
    scores_dir: str | Path | None = None,
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Evaluate benchmark by benchmark; yields every result and its file `output/<benchmark>.json`, once written.

    Run again with the same `cache_dir` or `scores_dir` it computes only what is missing. Of several processes the first
    one writes.
    """
    state = process_state()  # first: it chooses the device of this process
    common = {"seed": experiment.seed, "device": experiment.device}
    entries = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in experiment.methods]
    labels = [entry.pop("label", None) for entry in entries]
    baseline = None if experiment.baseline is None else experiment.labels.index(experiment.baseline)
    methods = [_method(entry, common, scores_dir) for entry in entries]
    recognizers = {
        name: load_recognizer(source, device=experiment.device) for name, source in experiment.recognizers.items()
    }
    Path(output).mkdir(parents=True, exist_ok=True)
    for entry in map(dict, experiment.benchmarks):
        fmr = entry.pop("fmr", experiment.fmr)
        benchmark = load_benchmark(**{"seed": experiment.seed} | entry)
        result = evaluate_benchmark(
            benchmark, recognizers, methods,
            fmr=fmr, protocol=experiment.protocol, options=experiment.options, seed=experiment.seed,
            batch_size=experiment.batch_size, device=experiment.device, cache_dir=cache_dir,
            scores_dir=scores_dir, num_resamples=experiment.num_resamples, baseline=baseline,
        )  # fmt: skip
        result["baseline"] = experiment.baseline
        for row, label in zip(result["results"], labels * len(recognizers), strict=True):
            row |= {"label": label} if label else {}
        path = Path(output) / f"{benchmark.name}.json"
        if state is None or state.is_main_process:
            write_json(path, result)
        yield path, result


def _method(entry: dict[str, Any], common: dict[str, Any], scores_dir: str | Path | None) -> QualityMethod | Recalled:
    if "recall" not in entry:
        return create_method(entry.pop("name"), **common | entry)
    if scores_dir is None:
        raise ValueError(f"{entry['name']} is to be recalled from its scores: say where they lie, by --scores")
    if len(entry) > 2:
        raise ValueError(f"{entry}: what is recalled takes a name, a revision and a label only")
    return recall(scores_dir, entry["name"], entry["recall"])


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def _beside(path: Path, source: str | None) -> str | None:
    """A file or folder beside the experiment, else what it is: the name of a repository, or None."""
    return str(path.parent / source) if source is not None and (path.parent / source).exists() else source

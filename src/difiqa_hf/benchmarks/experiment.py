"""An experiment is a JSON file: many benchmarks, recognisers and methods in; one result file per benchmark out."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.experiment_file import read_content
from difiqa_hf.benchmarks.means import average, compare, without_samples
from difiqa_hf.benchmarks.provenance import versions
from difiqa_hf.benchmarks.runner import evaluate_benchmark
from difiqa_hf.benchmarks.scores import Recalled, recall
from difiqa_hf.methods import QualityMethod, create_method
from difiqa_hf.metrics.options import checked_options
from difiqa_hf.processes import process_state
from difiqa_hf.recognizers import load_recognizer

MEANS = "means.json"


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
        mean: names of the benchmarks whose mean `means.json` shall have, with intervals; all if left out.
        fmr, protocol, options: of `error_discard`.
        seed: of methods, drawn comparisons, synthetic degradation and bootstrap.
        num_resamples, batch_size, device: as in `evaluate_benchmark`.
    """

    benchmarks: list[dict[str, Any]]
    recognizers: dict[str, str | None]
    methods: list[str | dict[str, Any]]
    baseline: str | None = None
    mean: list[str] | None = None
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
            ValueError: for what is no JSON, for missing or unknown keys, values of the wrong kind, two methods of one
                label, or a protocol that does not exist.
        """
        path = Path(path)
        content = read_content(path, [f.name for f in fields(cls)])
        for benchmark in content["benchmarks"]:
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
        twice = sorted({label for label in experiment.labels if experiment.labels.count(label) > 1})
        if twice:
            raise ValueError(f"{path}: several methods are called {', '.join(twice)}; give each a label of its own")
        if experiment.baseline not in (None, *experiment.labels):
            raise ValueError(f"{path}: baseline {experiment.baseline!r} is none of {', '.join(experiment.labels)}")
        names = [benchmark["name"] for benchmark in experiment.benchmarks]
        if len(set(names)) < len(names):
            raise ValueError(
                f"{path}: benchmarks, each with a result file of its name, are called alike: {', '.join(names)}"
            )
        if strange := [name for name in experiment.mean or () if name not in names]:
            raise ValueError(f"{path}: no benchmark {', '.join(strange)} to take the mean of, only {', '.join(names)}")
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
    one writes. At the end `output/means.json` gets the means over `experiment.mean`, where these are several.

    Raises:
        FileNotFoundError: if a benchmark's root is not there, before anything is loaded.
    """
    state = process_state()  # first: it chooses the device of this process
    absent = [b["root"] for b in experiment.benchmarks if not Path(b["root"]).exists()]
    if absent:
        raise FileNotFoundError(f"{len(absent)} of the roots do not exist: {', '.join(absent)}")
    common = {"seed": experiment.seed, "device": experiment.device}
    entries = [{"name": entry} if isinstance(entry, str) else dict(entry) for entry in experiment.methods]
    labels = [entry.pop("label", None) for entry in entries]
    baseline = None if experiment.baseline is None else experiment.labels.index(experiment.baseline)
    methods = [_method(entry, common, scores_dir) for entry in entries]
    recognizers = {
        name: load_recognizer(source, device=experiment.device) for name, source in experiment.recognizers.items()
    }
    Path(output).mkdir(parents=True, exist_ok=True)
    if state is None or state.is_main_process:
        (Path(output) / MEANS).unlink(missing_ok=True)  # of an earlier run, whose figures may have been others
    averages: dict[str, list[dict[str, Any]]] = {}  # benchmark -> a mean over the recognisers for each method
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
        if experiment.mean is None or benchmark.name in experiment.mean:
            averages[benchmark.name] = result["means"]
        result["means"] = without_samples(result["means"])
        for kind, times in (("results", len(recognizers)), ("means", 1)):
            result[kind] = [labelled(row, label) for row, label in zip(result[kind], labels * times, strict=True)]
        path = Path(output) / f"{benchmark.name}.json"
        if state is None or state.is_main_process:
            write_json(path, result)
        yield path, result
    if len(averages) > 1 and (state is None or state.is_main_process):
        means = [average(own) for own in zip(*averages.values(), strict=True)]
        compare(means, baseline)
        means = [labelled(row, label) for row, label in zip(without_samples(means), labels, strict=True)]
        content = {"mean_of": list(averages), "baseline": experiment.baseline, "means": means, "versions": versions()}
        write_json(Path(output) / MEANS, content)


def labelled(row: dict[str, Any], label: str | None) -> dict[str, Any]:
    """The row, with its method's label if it has one."""
    return row | {"label": label} if label else row


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

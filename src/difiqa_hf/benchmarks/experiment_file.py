"""The file of an experiment, read and checked: every value is of the kind that belongs there."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.hub.fetch import read_json

NEEDED = ("benchmarks", "recognizers", "methods")
JSON_NAMES = {list: "a list", dict: "an object", str: "a string", int: "a whole number", float: "a number"}
KINDS = {
    "benchmarks": (list,), "recognizers": (dict,), "methods": (list,), "mean": (list,), "options": (dict,),
    "protocol": (str,), "device": (str,), "fmr": (int, float), "seed": (int,), "num_resamples": (int,),
    "batch_size": (int,),
}  # fmt: skip
BENCHMARK_KINDS = {
    "name": (str,), "root": (str,), "pairs": (int,), "seed": (int,), "template_quality": (str,), "fmr": (int, float),
}  # fmt: skip
BENCHMARK_KEYS = ("fmr", *inspect.signature(load_benchmark).parameters)


def read_content(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """What the file says.

    Args:
        path: of a JSON file.
        known: the keys that it may have.

    Raises:
        ValueError: naming the file and what is wrong in it.
    """
    content = read_json(path)
    wrong = [key for key in content if key not in known]
    missing = [key for key in NEEDED if not content.get(key)]
    if wrong or missing:
        raise ValueError(f"{path}: unknown keys {wrong}, missing {missing}; known: {', '.join(known)}")
    _check_kinds(path, content, KINDS)
    for name in content.get("mean") or ():
        _check_kinds(path, {"mean": name}, {"mean": (str,)})
    for key in ("num_resamples", "batch_size"):
        if content.get(key, 1) < 1:
            raise ValueError(f"{path}: {key} must be at least 1, found {content[key]}")
    for benchmark in content["benchmarks"]:
        _check_benchmark(path, benchmark)
    for entry in content["methods"]:
        if not isinstance(entry, str) and (not isinstance(entry, dict) or not isinstance(entry.get("name"), str)):
            raise ValueError(f"{path}: a method is a name, or an object that has one, found {entry!r}")
        _check_kinds(path, {} if isinstance(entry, str) else entry, {"label": (str,)})
    return content


def _check_kinds(path: Path, content: dict[str, Any], known: dict[str, tuple[type, ...]]) -> None:
    for key, kinds in known.items():
        value = content.get(key)
        if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise ValueError(f"{path}: {key} must be {JSON_NAMES[kinds[-1]]}, found {value!r}")


def _check_benchmark(path: Path, benchmark: Any) -> None:
    if not isinstance(benchmark, dict) or not {"name", "root"} <= benchmark.keys():
        raise ValueError(f"{path}: every benchmark needs a name and a root, found {benchmark!r}")
    if strange := [key for key in benchmark if key not in BENCHMARK_KEYS]:
        raise ValueError(f"{path}: a benchmark knows no {strange}; it takes {', '.join(BENCHMARK_KEYS)}")
    _check_kinds(path, benchmark, BENCHMARK_KINDS)

"""Pair lists and result tables as folders that are datasets on the Hub: names and numbers, never an image."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from difiqa_hf.benchmarks.base import Benchmark, Root
from difiqa_hf.hub.cards import render
from difiqa_hf.hub.fetch import CARD, fetch

PAIRS, RESULTS, CURVES = "pairs.csv", "results.csv", "curves.csv"
PAIR_COLUMNS = ("image_1", "image_2", "genuine", "fold")
PERSON_COLUMNS = ("person_1", "person_2")
RESULT_COLUMNS = (
    "benchmark", "content", "comparisons", "protocol", "fmr", "method", "label", "method_revision", "recognizer",
    "recognizer_revision", "fnmr0", "pauc_0.2", "pauc_0.3", "low", "high",
)  # fmt: skip
CURVE_COLUMNS = ("benchmark", "method", "label", "recognizer", "discard", "fnmr")


def write_pairs(benchmark: Benchmark, folder: str | Path) -> Path:
    """The comparisons of a benchmark as `pairs.csv` and a card; returns the folder.

    Raises:
        ValueError: if its sides are templates of several images, which a pair list cannot say.
    """
    folder, names, persons = Path(folder), benchmark.images, benchmark.persons
    if benchmark.sides != names:
        raise ValueError(f"{benchmark.name} compares templates; a list of pairs of images cannot hold it")
    rows = []
    for (a, b), genuine, fold in zip(benchmark.pairs, benchmark.genuine, benchmark.folds, strict=True):
        rows.append([names[a], names[b], int(genuine), int(fold), *((persons[a], persons[b]) if persons else ())])
    _write(folder / PAIRS, PAIR_COLUMNS + (PERSON_COLUMNS if persons else ()), rows)
    facts = {"name": benchmark.name, "recipe": benchmark.recipe, "images": len(names), "comparisons": len(rows)}
    facts |= {"genuine": int(benchmark.genuine.sum()), "folds": len(set(benchmark.folds.tolist()))}
    (folder / CARD).write_text(render("pairs.md.jinja", **facts), encoding="utf-8")
    return folder


def read_pairs(source: str | Path, root: Root, name: str = "pairs", **options) -> Benchmark:
    """The benchmark of a pair list on images of your own.

    Args:
        source: folder of `write_pairs`, or the dataset's repository.
        root: folder that the image names are relative to.
        name: of the benchmark.
        options: revision, token and others, as in huggingface_hub.

    Raises:
        ValueError: if a column is missing or a row is not a comparison, with the line.
    """
    folder = fetch(source, names=(PAIRS,), repo_type="dataset", **options)
    with (folder / PAIRS).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in PAIR_COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{folder / PAIRS} lacks the column {', '.join(missing)}; found {reader.fieldnames}")
        rows, persons = [], {}
        for row in reader:
            if row["genuine"] not in ("0", "1") or not row["fold"].isdigit():
                raise ValueError(f"line {reader.line_num} of {folder / PAIRS}: genuine is 0 or 1, fold a number")
            rows.append((row["image_1"], row["image_2"], row["genuine"] == "1", int(row["fold"])))
            if set(PERSON_COLUMNS) <= row.keys():
                persons |= {row[f"image_{side}"]: row[f"person_{side}"] for side in (1, 2)}
    return Benchmark.from_rows(name, root, rows, persons.__getitem__ if persons else None)


def read_result_files(folder: str | Path) -> list[dict[str, Any]]:
    """Every result of `difiqa evaluate` in a folder, or in one file, of whatever protocol.

    Raises:
        FileNotFoundError: if there is none.
    """
    files = [Path(folder)] if Path(folder).is_file() else sorted(Path(folder).glob("*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    found = [result for result in found if isinstance(result, dict) and {"benchmark", "protocol"} <= result.keys()]
    if not found:
        raise FileNotFoundError(f"found no result of `difiqa evaluate` in {folder}")
    return found


def write_results(results: Iterable[Mapping[str, Any]], folder: str | Path) -> Path:
    """Results of `evaluate_benchmark` as `results.csv`, `curves.csv` and a card; returns the folder."""
    folder, figures, curves, results = Path(folder), [], [], list(results)
    for result in results:
        benchmark, protocol = result["benchmark"], result["protocol"]
        for row in result["results"]:
            label, pauc, interval = row.get("label", ""), row["pauc"], row["interval"]
            figures.append([
                benchmark["name"], benchmark["content"], benchmark["n_comparisons"], protocol["name"], protocol["fmr"],
                row["method"], label, row["method_revision"], row["recognizer"], row["recognizer_revision"],
                row["fnmr0"], pauc["0.2"], pauc["0.3"], interval["low"], interval["high"],
            ])  # fmt: skip
            which = [benchmark["name"], row["method"], label, row["recognizer"]]
            curves += [[*which, *point] for point in zip(row["curve"]["discard"], row["curve"]["fnmr"], strict=True)]
    _write(folder / RESULTS, RESULT_COLUMNS, figures)
    _write(folder / CURVES, CURVE_COLUMNS, curves)
    facts = {"benchmarks": sorted({row[0] for row in figures}), "protocols": sorted({row[3] for row in figures})}
    facts |= {"rows": len(figures), "versions": json.dumps(results[0]["versions"])}
    (folder / CARD).write_text(render("results.md.jinja", **facts), encoding="utf-8")
    return folder


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])

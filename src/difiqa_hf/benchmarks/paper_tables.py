"""Tables in the form of the paper, from result files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# the columns of Table 2, in its order, under our names; other benchmarks follow
ORDER = ("adience", "calfw", "cfp-fp", "cplfw", "ijb-c", "lfw", "xqlfw")
LIKE = {"paper-table-2": "0.3", "paper-table-2-at-0.2": "0.2"}  # -> limit of the pAUC


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """Every result of `difiqa evaluate` in a folder, or in one file; other JSON files are left alone.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if they do not have one protocol, with one target rate and the same options.
    """
    folder = Path(folder)
    files = [folder] if folder.is_file() else sorted(folder.glob("*.json"))
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}
    results = {name: result for name, result in results.items() if isinstance(result, dict) and "benchmark" in result}
    if not results:
        raise FileNotFoundError(f"found no result of `difiqa evaluate` in {folder}")
    protocols = {name: json.dumps(result["protocol"], sort_keys=True) for name, result in results.items()}
    if len(set(protocols.values())) > 1:
        listed = "; ".join(f"{name}: {protocol}" for name, protocol in protocols.items())
        raise ValueError(f"figures of different protocols do not belong in one table: {listed}")
    return list(results.values())


def format_like(results: Sequence[Mapping[str, Any]], like: str = "paper-table-2") -> str:
    """Markdown: a table per recogniser, methods x benchmarks, the mean last, the best of a column bold.

    A mean over fewer benchmarks than there are is not comparable, so it is left out.

    Raises:
        ValueError: for an unknown form.
    """
    if like not in LIKE:
        raise ValueError(f"unknown table {like!r}; known: {', '.join(LIKE)}")
    limit, protocol = LIKE[like], results[0]["protocol"]
    cells: dict[str, dict[str, dict[str, float | None]]] = {}
    for result in results:
        for row in result["results"]:
            method = row.get("label") or row["method"]
            by_benchmark = cells.setdefault(row["recognizer"], {}).setdefault(method, {})
            by_benchmark[result["benchmark"]["name"]] = row["pauc"][limit]
    names = {result["benchmark"]["name"]: None for result in results}
    columns = [name for name in ORDER if name in names] + [name for name in names if name not in ORDER]
    options = ", ".join(f"{key} {value}" for key, value in protocol["options"].items())
    lines = [f"pAUC({limit}) at FMR {protocol['fmr']:g}, lower is better; protocol {protocol['name']}: {options}"]
    for recognizer, methods in cells.items():
        lines += ["", f"**{recognizer}**", "", *_table(methods, columns)]
    return "\n".join(lines)


def _table(methods: Mapping[str, Mapping[str, float | None]], columns: Sequence[str]) -> list[str]:
    figures = {method: [row.get(name) for name in columns] for method, row in methods.items()}
    figures = {method: [*row, None if None in row else sum(row) / len(row)] for method, row in figures.items()}
    best = [min((v for v in column if v is not None), default=None) for column in zip(*figures.values(), strict=True)]
    lines = [f"| method | {' | '.join([*columns, 'mean'])} |", "|---|" + "---|" * (len(columns) + 1)]
    for method, row in figures.items():
        shown = [_figure(value, value == low) for value, low in zip(row, best, strict=True)]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return lines


def _figure(value: float | None, best: bool) -> str:
    if value is None:
        return "n/a"
    return f"**{value:.3f}**" if best else f"{value:.3f}"

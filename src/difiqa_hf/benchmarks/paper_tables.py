"""Tables in the form of the paper, from result files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from difiqa_hf.metrics.options import PROTOCOLS

# the columns of Table 2, in its order, under our names; other benchmarks follow
ORDER = ("adience", "calfw", "cfp-fp", "cplfw", "ijb-c", "lfw", "xqlfw")
LIKE = {"paper-table-2": "0.3", "paper-table-2-at-0.2": "0.2"}  # -> limit of the pAUC


def read_results(folder: str | Path) -> list[dict[str, Any]]:
    """Every result of `difiqa evaluate` in a folder, or in one file; other JSON files are left alone.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if they do not have one protocol with the same options (target rates may differ), or if two of one
            name are about different comparisons or images.
    """
    folder = Path(folder)
    files = [folder] if folder.is_file() else sorted(folder.glob("*.json"))
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}
    results = {name: result for name, result in results.items() if isinstance(result, dict) and "benchmark" in result}
    if not results:
        raise FileNotFoundError(f"found no result of `difiqa evaluate` in {folder}")
    protocols = {name: _without_rate(result["protocol"]) for name, result in results.items()}
    if len(set(protocols.values())) > 1:
        listed = "; ".join(f"{name}: {protocol}" for name, protocol in protocols.items())
        raise ValueError(f"figures of different protocols do not belong in one table: {listed}")
    first: dict[str, str] = {}  # benchmark -> file
    for file, result in results.items():
        same = first.setdefault(result["benchmark"]["name"], file)
        data = [[results[name]["benchmark"].get(key) for key in ("n_comparisons", "content")] for name in (same, file)]
        if data[0] != data[1]:
            raise ValueError(
                f"{same} and {file} are about different comparisons or images of {result['benchmark']['name']} "
                f"({data[0][0]} and {data[1][0]} comparisons): put them into folders of their own"
            )
    return list(results.values())


def _without_rate(protocol: Mapping[str, Any]) -> str:
    """Name and options; an option that a file does not name, as it was written before there was one, is the default."""
    options = PROTOCOLS[protocol["name"]] | protocol["options"]
    return f"{protocol['name']} {json.dumps(options, sort_keys=True)}"


def format_like(results: Sequence[Mapping[str, Any]], like: str = "paper-table-2") -> str:
    """Markdown: a table per recogniser, methods x benchmarks, the mean last, the best of a column bold.

    A mean over fewer benchmarks than there are is not comparable, so it is left out; and there is no mean over several
    target rates, of which the columns then say which is theirs.

    Raises:
        ValueError: for an unknown form, or where two results have a figure for one cell.
    """
    if like not in LIKE:
        raise ValueError(f"unknown table {like!r}; known: {', '.join(LIKE)}")
    limit, protocol = LIKE[like], results[0]["protocol"]
    rates = sorted({result["protocol"]["fmr"] for result in results})
    cells: dict[str, dict[str, dict[tuple, float | None]]] = {}
    for result in results:
        column = result["benchmark"]["name"], result["protocol"]["fmr"]
        for row in result["results"]:
            method = row.get("label") or row["method"]
            by_benchmark = cells.setdefault(row["recognizer"], {}).setdefault(method, {})
            if column in by_benchmark:
                raise ValueError(
                    f"two figures of {method} on {column[0]} at FMR {column[1]:g} with {row['recognizer']}: "
                    "give the methods labels or put the results into folders of their own"
                )
            by_benchmark[column] = row["pauc"][limit]
    names = list(dict.fromkeys((result["benchmark"]["name"], result["protocol"]["fmr"]) for result in results))
    columns = sorted(names, key=lambda column: ORDER.index(column[0]) if column[0] in ORDER else len(ORDER))
    options = ", ".join(f"{key} {value}" for key, value in protocol["options"].items())
    at = f"FMR {rates[0]:g}" if len(rates) == 1 else f"the FMR of the column, {' or '.join(f'{r:g}' for r in rates)}"
    lines = [f"pAUC({limit}) at {at}, lower is better; protocol {protocol['name']}: {options}"]
    for recognizer, methods in cells.items():
        lines += ["", f"**{recognizer}**", "", *_table(methods, columns, len(rates) > 1)]
    return "\n".join(lines)


def _table(methods: Mapping[str, Mapping[tuple, float | None]], columns: Sequence[tuple], rates: bool) -> list[str]:
    """With `rates` the heads of the columns name their target rates, and there is no mean."""
    figures = {method: [row.get(column) for column in columns] for method, row in methods.items()}
    heads = [f"{name}, FMR {fmr:g}" if rates else name for name, fmr in columns]
    if not rates:
        figures = {method: [*row, None if None in row else sum(row) / len(row)] for method, row in figures.items()}
        heads.append("mean")
    best = [min((v for v in column if v is not None), default=None) for column in zip(*figures.values(), strict=True)]
    lines = [f"| method | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for method, row in figures.items():
        shown = [_figure(value, value == low) for value, low in zip(row, best, strict=True)]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return lines


def _figure(value: float | None, best: bool) -> str:
    if value is None:
        return "n/a"
    return f"**{value:.3f}**" if best else f"{value:.3f}"

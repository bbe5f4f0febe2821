"""Tables of results, from the files that `difiqa evaluate` wrote into `results/`; nothing is typed."""

import json
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = {
    "lfw": "LFW",
    "cfp-ff": "CFP-FF, identities 001-250",
    "cfp-fp": "CFP-FP, identities 001-250",
    "lfw-xq-synthetic": "lfw-xq-synthetic: LFW with one side of every comparison degraded",
}
DOUBT = 0.05  # a paired difference with a larger p value is not called one
PAGE = """# Results

Rendered by `model_cards/render.py` from the files of `difiqa evaluate` in `results/`, which hold curves, intervals by
comparison and by person, thresholds, versions and hashes. [The experiment](experiments/table.json) is one file.

"""
CELLS = (
    "A cell: pAUC(.2) / **pAUC(.3)** [95 % bootstrap interval by comparison], lower is better; scores that say nothing "
    "come out near 1."
)
MARKS = (
    "▲ better, ▼ worse than `{baseline}` at the 5 % level (paired bootstrap by comparison); without mark the data "
    "cannot tell."
)


def read_results(folder: Path = RESULTS) -> list[dict]:
    """One row per (benchmark, recogniser, method), with its protocol and the name of its file."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        if path.name.startswith(("bench-", "groups-")):  # timings, score distributions
            continue
        result = json.loads(path.read_text())
        if "benchmark" not in result:
            continue  # time and memory
        shared = {"benchmark": result["benchmark"]["name"], "fmr": result["protocol"]["fmr"], "file": path.name}
        shared |= {"protocol": result["protocol"]["name"], "comparisons": result["benchmark"]["n_comparisons"]}
        shared |= {"baseline": result.get("baseline")}
        rows += [row | shared for row in result["results"]]
    return rows


def label(row: dict) -> str:
    """Method, and the recogniser inside it where that is not the shipped one."""
    return row.get("label") or row["method"]


def table(rows: list[dict]) -> str:
    """Markdown: one line per method, one column per recogniser, and the mean of their pAUC(.3)."""
    recognizers = list(dict.fromkeys(row["recognizer"] for row in rows))
    methods = list(dict.fromkeys(label(row) for row in rows))
    cells = {(label(row), row["recognizer"]): row for row in rows}
    fnmr = {row["recognizer"]: row["fnmr0"] for row in rows}
    lines = ["| quality | " + " | ".join(recognizers) + " | mean |", "|---|" + "---|" * (len(recognizers) + 1)]
    lines.append("| FNMR(0) | " + " | ".join(f"{100 * fnmr[name]:.2f} %" for name in recognizers) + " | |")
    for method in methods:
        found = [cells.get((method, name)) for name in recognizers]
        lines.append(f"| {method} | " + " | ".join(map(cell, found)) + f" | {average(found)} |")
    return "\n".join(lines)


def cell(row: dict | None) -> str:
    if row is None or row["pauc"]["0.3"] is None:
        return "-"
    interval = row["interval"]
    figures = f"{row['pauc']['0.2']:.3f} / **{row['pauc']['0.3']:.3f}**"
    return f"{figures} [{interval['low']:.2f}, {interval['high']:.2f}]{mark(row)}"


def mark(row: dict) -> str:
    """How the row compares with the experiment's baseline, where that is certain enough."""
    paired = row.get("against_baseline")
    if not paired or paired["p_value"] is None or paired["p_value"] > DOUBT:
        return ""
    return " ▲" if paired["difference"] < 0 else " ▼"


def average(rows: list[dict | None]) -> str:
    """Mean of pAUC(.3) over the recognisers, if none is missing."""
    values = [row and row["pauc"]["0.3"] for row in rows]
    return "-" if None in values else f"{mean(values):.3f}"


def results_section(rows: list[dict]) -> str:
    """All tables, each with its protocol, size and files, and how to read them."""
    baselines = dict.fromkeys(row["baseline"] for row in rows if row.get("baseline"))
    parts = ["\n".join([CELLS, *(MARKS.format(baseline=baseline) for baseline in baselines)])]
    for name, title in BENCHMARKS.items():
        chosen = [row for row in rows if row["benchmark"] == name]
        if chosen:
            first, files = chosen[0], ", ".join(sorted({f"`{row['file']}`" for row in chosen}))
            parts.append(
                f"**{title}**: {first['comparisons']} comparisons, FMR {first['fmr']:g}, protocol "
                f"`{first['protocol']}`; {files}\n\n{table(chosen)}"
            )
    return "\n\n".join(parts)


def summary(rows: list[dict]) -> str:
    """Markdown: one line per method, the best first; pAUC(.3) averaged over the recognisers, a column per benchmark."""
    names = [name for name in BENCHMARKS if any(row["benchmark"] == name for row in rows)]
    found: dict[str, dict[str, list]] = {}
    for row in rows:
        found.setdefault(label(row), {}).setdefault(row["benchmark"], []).append(row["pauc"]["0.3"])
    complete = {
        method: [mean(values[name]) for name in names]
        for method, values in found.items()
        if all(name in values and None not in values[name] for name in names)
    }
    files = {row["benchmark"]: row["file"] for row in rows}
    titles = [f"[{BENCHMARKS[name].split(',')[0].split(':')[0]}](model_cards/results/{files[name]})" for name in names]
    lines = ["| quality | " + " | ".join(titles) + " | mean |", "|---|" + "---:|" * (len(names) + 1)]
    for method, values in sorted(complete.items(), key=lambda item: mean(item[1])):
        lines.append(f"| {method} | " + " | ".join(f"{v:.3f}" for v in values) + f" | **{mean(values):.3f}** |")
    return "\n".join(lines)

"""Tables of results, from the files that `difiqa evaluate` wrote into `results/`; nothing is typed."""

import json
from functools import cache
from math import inf
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parent / "results"
BENCHMARKS = {
    "lfw": "LFW",
    "cfp-ff": "CFP-FF, identities 001-250",
    "cfp-fp": "CFP-FP, identities 001-250",
    "lfw-xq-synthetic": "lfw-xq-synthetic: LFW with one side of every comparison degraded",
}
APART = ("presets", "denoisers", "longer", "ablations", "ablations-steps", "repeats", "repeats-one-step", "released",
         "recipes", "labels", "edc", "fmr")  # fmt: skip
SAME = ("method_revision", "recognizer_revision", "fmr", "content", "fnmr0", "pauc")  # of a row that several files hold
REAL = ("lfw", "cfp-ff", "cfp-fp")
HEADLINE = ("difiqa-r", "difiqa", "norm", "random")  # always in the README's table
DOUBT = 0.05  # a paired difference with a larger p value is not called one
PAGE = """# Results

Rendered by `model_cards/render.py` from the files of `difiqa evaluate` in `results/`, which hold curves, intervals by
comparison and by person, thresholds, versions and hashes; `make table` makes them anew. Experiments:
[shipped.json](experiments/shipped.json), what ships; [methods.json](experiments/methods.json), all other methods;
[inside.json](experiments/inside.json), those that ask a recogniser with four real ones inside. Elsewhere they ask the
shipped one, which is weak, while those that were trained here learnt labels of mobilefacenet_webface600k, one of the
four that compare, and DifFIQA(R) also of edgeface_xs, another: their lead is in part the label makers'. The methods
were trained on people who do not stand in LFW or CFP; the backbone of most, the shipped recogniser, and DifFIQA's
denoiser had seen other photographs of some who do. All stand in [methods](../src/difiqa_hf/methods/README.md). Scores
image by image lie in `results/scores`, from which the experiments recall methods whose weights are not at hand
(DifFIQA: one repeat, and preset fast). `make test-slow` draws a cell at random and computes it from the images once
more (`tests/benchmarks/test_table_cell.py`).

FMR .001 leaves one or two of 1,748 to 3,000 impostor comparisons above the threshold: where one of them is discarded,
the error jumps. [At FMR .01](#at-another-rate) the figures are calmer.

{reading}
## Every method, mean over the recognisers

pAUC(.3), the mean over four recognisers that compare; the mean is of the first three benchmarks, because the synthetic
one is LFW again.

{summary}

![FNMR over the share discarded, a panel for each benchmark and recogniser](pictures/figure-4.svg)

Figure 4 of the paper, with our methods, benchmarks and recognisers (`make figures` draws it). Figure 5, how the scores
are distributed, by DifFIQA and by DifFIQA(R): both tell the profiles of CFP-FP apart, the regressor also the degraded.

![distributions of DifFIQA's scores by benchmark](pictures/figure-5-difiqa.svg)
![distributions of DifFIQA(R)'s scores by benchmark](pictures/figure-5-difiqa-r.svg)

Figure 6: NASA's portrait of Eileen Collins (public domain) and what was done to it, ranked by DifFIQA, whose score
stands above; below, DifFIQA(R)'s.

![a portrait and nine changed versions of it, from the lowest to the highest score](pictures/figure-6.png)

{against}

## By benchmark and recogniser

{tables}

{inside}
{ablations}
{protocols}"""
CELLS = (
    "A cell: pAUC(.2) / **pAUC(.3)** [95 % interval, bootstrap by person], lower is better; scores that say nothing "
    "come out near 1. Mean: of pAUC(.3). ms: CPU milliseconds an image on one core, in batches of 32."
)
BASELINE = "difiqa-r"
MARKS = (
    f"▲ better, ▼ worse than `{BASELINE}` at the 5 % level (paired bootstrap by person); without mark the data "
    "cannot tell; · not compared with it. One comparison in twenty is marked by chance."
)


def read_results(folder: Path = RESULTS) -> list[dict]:
    """One row per (benchmark, recogniser, method), with its protocol and the name of its file.

    What several experiments measured is taken from those in folders of their own: they compare with more methods.
    """
    rows = {}
    for path in sorted(folder.rglob("*.json"), key=lambda path: (-len(path.parts), path)):
        result = json.loads(path.read_text())
        if "protocol" not in result or path.relative_to(folder).parts[0] in APART:
            continue  # time and memory, score distributions, training; what SPEED.md and TRAINING.md show
        shared = {"benchmark": result["benchmark"]["name"], "fmr": result["protocol"]["fmr"]}
        shared |= {"file": path.relative_to(folder).as_posix(), "protocol": result["protocol"]["name"]}
        shared |= {"comparisons": result["benchmark"]["n_comparisons"], "baseline": result.get("baseline")}
        shared |= {"content": result["benchmark"]["content"]}
        for row in result["results"]:
            own = row | shared
            first = rows.setdefault((shared["benchmark"], label(row), row["recognizer"]), own)
            if any(first[key] != own[key] for key in SAME):
                raise ValueError(
                    f"{first['file']} and {own['file']} differ in what {label(row)} is, was asked or found"
                )
    return list(rows.values())


def label(row: dict) -> str:
    """Method, and the recogniser inside it where that is not the shipped one."""
    return row.get("label") or row["method"]


def table(rows: list[dict]) -> str:
    """Markdown: one line per method, the best first, one column per recogniser, and the mean of their pAUC(.3)."""
    recognizers = list(dict.fromkeys(row["recognizer"] for row in rows))
    cells = {(label(row), row["recognizer"]): row for row in rows}
    found = {label(row): [cells.get((label(row), name)) for name in recognizers] for row in rows}
    fnmr = {row["recognizer"]: row["fnmr0"] for row in rows}
    lines = ["| quality | " + " | ".join(recognizers) + " | mean | ms |", "|---|" + "---|" * (len(recognizers) + 2)]
    lines.append("| FNMR(0) | " + " | ".join(f"{100 * fnmr[name]:.2f} %" for name in recognizers) + " | | |")
    for method in sorted(found, key=lambda method: average(found[method])):
        mean_cell = "-" if average(found[method]) == inf else f"{average(found[method]):.3f}"
        lines.append(f"| {method} | " + " | ".join([*map(cell, found[method]), mean_cell, cost(method)]) + " |")
    return "\n".join(lines)


def cell(row: dict | None) -> str:
    if row is None or row["pauc"]["0.3"] is None:
        return "-"
    interval = row["interval_by_identity"]
    figures = f"{row['pauc']['0.2']:.3f} / **{row['pauc']['0.3']:.3f}**"
    return f"{figures} [{interval['low']:.2f}, {interval['high']:.2f}]{mark(row)}"


def change(paired: dict | None) -> str:
    """A paired difference and its interval; nothing where there is none."""
    return f"{paired['difference']:+.3f} [{paired['low']:+.3f}, {paired['high']:+.3f}]" if paired else ""


def short_title(benchmark: str) -> str:
    """What a benchmark is called, without how it was cut or made."""
    return BENCHMARKS[benchmark].split(",")[0].split(":")[0]


def mark(row: dict) -> str:
    """How the row compares with the baseline, where that was tested and is certain enough."""
    if label(row) == BASELINE:
        return ""
    if row.get("baseline") != BASELINE:
        return " ·"
    paired = row["against_baseline"]
    if paired["p_value"] > DOUBT:
        return ""
    return " ▲" if paired["difference"] < 0 else " ▼"


@cache
def costs() -> dict:
    """Method -> CPU milliseconds an image, of `make bench-methods`; with another recogniser inside, of another day."""
    benches = (
        json.loads((RESULTS / f"bench-{name}.json").read_text()) for name in ("inside", "inside-faceqan", "methods")
    )
    return {row["method"]: row["ms"] for bench in benches for row in bench["results"]}


def cost(method: str) -> str:
    if method not in costs():
        return "-"
    ms = costs()[method]
    return f"{ms:,.0f}" if ms >= 1000 else f"{ms:.3g}"


def average(rows: list[dict | None]) -> float:
    """Mean of pAUC(.3) over the recognisers; infinite if one is missing."""
    values = [row and row["pauc"]["0.3"] for row in rows]
    return inf if None in values else mean(values)


def results_section(rows: list[dict]) -> str:
    """All tables, each with its protocol, size and files, and how to read them."""
    parts = [f"{CELLS}\n{MARKS}"]
    for name, title in BENCHMARKS.items():
        chosen = [row for row in rows if row["benchmark"] == name]
        if chosen:
            first, files = chosen[0], ", ".join(sorted({f"`{row['file']}`" for row in chosen}))
            parts.append(
                f"**{title}**: {first['comparisons']} comparisons, FMR {first['fmr']:g}, protocol "
                f"`{first['protocol']}`; {files}\n\n{table(chosen)}"
            )
    return "\n\n".join(parts)


def means(rows: list[dict]) -> dict[str, dict[str, float]]:
    """Method -> benchmark -> mean pAUC(.3) over the recognisers; `overall` is the mean of the real benchmarks.

    Methods with the shipped recogniser inside; what was not evaluated is missing, and so is a mean that lacks it.
    """
    found: dict[str, dict[str, list]] = {}
    for row in rows:
        if "inside" not in label(row):
            found.setdefault(label(row), {}).setdefault(row["benchmark"], []).append(row["pauc"]["0.3"])
    result = {
        method: {name: mean(values) for name, values in by_benchmark.items() if None not in values}
        for method, by_benchmark in found.items()
    }
    for own in result.values():
        if all(name in own for name in REAL):
            own["overall"] = mean(own[name] for name in REAL)
    return result


def summary(rows: list[dict], root: str = "results", methods: tuple[str, ...] | None = None) -> str:
    """Markdown: one line per method (of those named), the best first; a column per benchmark, linked to its file."""
    found = means(rows)
    chosen = sorted(methods or found, key=lambda method: found[method].get("overall", inf))
    files = {row["benchmark"]: row["file"] for row in rows if label(row) == "difiqa"}  # of what ships
    files |= {row["benchmark"]: row["file"] for row in rows if label(row) == "pcnet"}  # of all methods
    titles = [f"[{short_title(name)}]({root}/{files[name]})" for name in BENCHMARKS]
    lines = [
        "| quality | " + " | ".join(titles) + " | mean of the first three | ms |",
        "|---|" + "---:|" * (len(BENCHMARKS) + 2),
    ]
    for method in chosen:
        own = found[method]
        figures = [f"{own[name]:.3f}" if name in own else "-" for name in BENCHMARKS]
        figures += [f"**{own['overall']:.3f}**" if "overall" in own else "-", cost(method)]
        lines.append(f"| {method} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def headline(rows: list[dict]) -> str:
    """The README's table: the five best, what ships, and the baselines."""
    found = means(rows)
    best = sorted(found, key=lambda method: found[method].get("overall", inf))[:5]
    return summary(rows, "model_cards/results", tuple(dict.fromkeys([*best, *HEADLINE])))

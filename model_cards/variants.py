"""Tables of variants that differ in one thing, each compared with the first on the same resamples."""

import json
from pathlib import Path
from statistics import mean

from methods_page import table
from tables import BENCHMARKS, RESULTS

ABLATIONS = """## What DifFIQA's parts are worth

Table 4 of the paper: preset `fastest`, one step of restoration and one repeat, the denoiser that ships, {judge} inside
([the experiment](experiments/ablations.json)). pAUC(.3), the mean over {judges} recognisers, and the difference to the
complete procedure with {judge} comparing [95 % interval, paired bootstrap by person].

{table}

With every step back and two repeats of opposite noise ([the experiment](experiments/ablations-steps.json)):

{steps}

By the number of repeats n ([the experiment](experiments/repeats.json)), every step back, but for `fast`; by rank up to
n = 100: [SPEED.md](SPEED.md), Presets.

{repeats}

{reading}
"""
READING = """As in the paper, on its cross-pose set, flipping counts most for poses (with every step back its interval
includes zero by a hair). Unlike there, the forward pass and t make no difference that these comparisons can tell, and
nothing is better than the mirror image alone. Where one side is degraded, t of 10 to 50 looks better than 5, and the
whole procedure than the mirror image; the intervals do not exclude zero."""


def ablations() -> str:
    """Markdown: the section of DifFIQA's parts, timesteps and repeats."""
    parts, steps, repeats = (evaluated(RESULTS / name) for name in ("ablations", "ablations-steps", "repeats"))
    judges = judges_of(parts)
    return ABLATIONS.format(
        judge=judges[0],
        judges=len(judges),
        table=variants("DifFIQA", parts, judges[0]),
        steps=variants("DifFIQA", steps, judges[0]),
        repeats=variants("DifFIQA", repeats, judges[0]),
        reading=READING,
    )


def evaluated(folder: Path) -> list[dict]:
    """The files of `difiqa evaluate` in a folder."""
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return [result for result in found if "protocol" in result]


def judges_of(results: list[dict]) -> list[str]:
    """The recognisers that compare, the first one first."""
    return list(dict.fromkeys(row["recognizer"] for row in results[0]["results"]))


def variants(head: str, results: list[dict], judge: str) -> str:
    """Markdown: pAUC(.3) by benchmark, a line a variant; `judge` compares for the difference to the first."""
    rows = []
    for label in dict.fromkeys(row["label"] for result in results for row in result["results"]):
        cells = []
        for result in results:
            own = [row for row in result["results"] if row["label"] == label]
            found = next((row.get("against_baseline") for row in own if row["recognizer"] == judge), None)
            change = f" {found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]" if found else ""
            cells.append(f"**{mean_pauc(own)}**{change}" if own else "-")
        rows.append((label, *cells))
    return table((head, *map(title, results)), rows)


def mean_pauc(rows: list[dict]) -> str:
    values = [row["pauc"]["0.3"] for row in rows]
    return "-" if None in values else f"{mean(values):.3f}"


def title(result: dict) -> str:
    return BENCHMARKS[result["benchmark"]["name"]].split(":")[0]

"""Every method against the regressor that ships: on the mean of the benchmarks, and cell by cell."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from methods_page import table
from tables import BASELINE, DOUBT, REAL, RESULTS, change, label, mark

SECTION = """### Against {baseline}

The mean of the first three benchmarks and the recognisers, less that of `{baseline}` [95 % interval, bootstrap by
person; a recogniser more is no new draw]. The verdict is at the 5 % level for all {count} lines together (Holm). Cells:
how many comparisons, one benchmark and recogniser at a time, are better / cannot tell / worse at the 5 % level each;
one in twenty is so by chance. Of 1,000 resamples no p is below .002, so what is far off with a wide tail is not told
either. Every method was trained once: what another seed would give is in none of these
intervals ([file](results/methods/means.json)).

{lines}"""
VERDICTS = {"▲": "better", "": "cannot tell", "▼": "worse"}


def overall(folder: Path = RESULTS / "methods") -> list[dict]:
    """The means of `means.json`, the best first."""
    rows = json.loads((folder / "means.json").read_text())["means"]
    return sorted(rows, key=lambda row: row["pauc"]["0.3"])


def holm(p_values: Mapping[str, float], level: float = DOUBT) -> set[str]:
    """Those that hold when all are asked at once: the smallest p by level / n, the next by level / (n - 1), …"""
    kept: set[str] = set()
    for name in sorted(p_values, key=p_values.get):
        if p_values[name] > level / (len(p_values) - len(kept)):
            break
        kept.add(name)
    return kept


def verdicts(rows: list[dict]) -> dict[str, str]:
    """Method -> better, cannot tell or worse, on the mean."""
    compared = {label(row): row["against_baseline"] for row in rows if "against_baseline" in row}
    sure = holm({name: found["p_value"] for name, found in compared.items()})
    signs = {name: "better" if found["difference"] < 0 else "worse" for name, found in compared.items()}
    return {name: signs[name] if name in sure else "cannot tell" for name in compared}


def against(rows: list[dict]) -> str:
    """Markdown: a line per method. `rows`: of `tables.read_results`."""
    means = overall()
    found, lines = verdicts(means), []
    for row in means:
        name, paired = label(row), row.get("against_baseline")
        if paired is None:
            continue
        own = (cell for cell in rows if label(cell) == name and cell["benchmark"] in REAL)
        cells = Counter(VERDICTS[mark(cell).strip()] for cell in own)
        share = " / ".join(str(cells[verdict]) for verdict in VERDICTS.values())
        lines.append((name, change(paired), f"{paired['p_value']:.3f}", found[name], share))
    head = ("quality", "difference of the mean", "p", "verdict", "cells")
    return SECTION.format(baseline=BASELINE, count=len(lines), lines=table(head, lines))

"""The order of the methods by the exact protocol and at another rate beside the paper's; all from the same scores."""

import numpy as np
from scipy.stats import spearmanr

from against import overall
from methods_page import table
from tables import BASELINE, REAL, RESULTS, change, label, means, read_results

NAMES = {"lfw": "LFW", "cfp-ff": "CFP-FF", "cfp-fp": "CFP-FP", "lfw-xq-synthetic": "xq"}
SECTION = """## By the exact protocol

The same scores by `edc` (ISO/IEC 29794-1: genuine comparisons, one threshold, a step at every distinct quality), which
is another figure: only the order can be compared. pAUC(.3) and place, the mean over the recognisers; xq is
lfw-xq-synthetic. Experiment [edc.json](experiments/edc.json), intervals and all recognisers in `results/edc`.

{lines}

Rank correlation of the two orders: {agreement}.

### At another rate

The paper's protocol at FMR .01, which leaves 17 to 29 impostor comparisons above the threshold
([fmr.json](experiments/fmr.json)): pAUC(.3), the mean over the recognisers, the mean of the three
[95 % interval, 200 resamples by person], its difference to `{baseline}`, and the place here and at FMR .001.

{rates}
"""


def protocols() -> str:
    """Markdown: a line per method in the exact protocol's order on LFW, its figure and place by either protocol."""
    exact, paper = means(read_results(RESULTS / "edc")), means(read_results())
    methods = sorted(exact, key=lambda method: exact[method]["lfw"])
    columns = [[rows[m].get(name) for m in methods] for name in NAMES for rows in (paper, exact)]
    head = " | ".join(f"{title}, paper | {title}, edc" for title in NAMES.values())
    lines = [f"| quality | {head} |", "|---|" + "---:|" * len(columns)]
    for i, method in enumerate(methods):
        lines.append(f"| {method} | " + " | ".join(cell(column, i) for column in columns) + " |")
    agreement = [
        f"{spearmanr(*np.array(columns[2 * i : 2 * i + 2], dtype=float), nan_policy='omit').statistic:.3f} on {title}"
        for i, title in enumerate(NAMES.values())
    ]
    return SECTION.format(lines="\n".join(lines), agreement=", ".join(agreement), baseline=BASELINE, rates=rates(paper))


def rates(paper: dict[str, dict[str, float]]) -> str:
    """Markdown: a line per method at FMR .01, the best first; `paper` are the means at FMR .001."""
    own, before = means(read_results(RESULTS / "fmr")), sorted(paper, key=lambda method: paper[method]["overall"])
    lines = []
    for place, row in enumerate(overall(RESULTS / "fmr"), 1):
        name, interval = label(row), row["interval"]
        figures = [f"{own[name][benchmark]:.3f}" for benchmark in REAL]
        figures.append(f"**{row['pauc']['0.3']:.3f}** [{interval['low']:.2f}, {interval['high']:.2f}]")
        lines.append((name, *figures, change(row.get("against_baseline")), f"{place} ({before.index(name) + 1})"))
    return table(("quality", *(NAMES[name] for name in REAL), "mean", "difference", "place"), lines)


def cell(column: list[float | None], i: int) -> str:
    """The figure and its place among those that were measured."""
    if column[i] is None:
        return "-"
    return f"{column[i]:.3f} ({1 + sum(value is not None and value < column[i] for value in column)})"

"""The order of the methods by the exact protocol beside the paper's; both from the same scores, in `results/`."""

from scipy.stats import spearmanr

from tables import RESULTS, means, read_results

NAMES = {"lfw": "LFW", "cfp-fp": "CFP-FP, identities 001-250"}
SECTION = """## By the exact protocol

The same scores by `edc` (ISO/IEC 29794-1: genuine comparisons, one threshold, a step at every distinct quality), which
is another figure: only the order can be compared. pAUC(.3) and place, the mean over the recognisers;
[the experiment](experiments/edc.json), intervals and all recognisers in `results/edc`.

{lines}

Rank correlation of the two orders: {agreement}.
"""


def protocols() -> str:
    """Markdown: a line per method in the exact protocol's order on LFW, its figure and place by either protocol."""
    exact, paper = means(read_results(RESULTS / "edc")), means(read_results())
    methods = sorted(exact, key=lambda method: exact[method]["lfw"])
    found = {(name, kind): column(rows, name, methods) for name in NAMES for kind, rows in (("p", paper), ("e", exact))}
    head = " | ".join(f"{title}, paper | {title}, edc" for title in NAMES.values())
    lines = [f"| quality | {head} |", "|---|" + "---:|" * 2 * len(NAMES)]
    for i, method in enumerate(methods):
        lines.append(f"| {method} | " + " | ".join(f"{v[i]:.3f} ({place(v, i)})" for v in found.values()) + " |")
    agreement = (f"{spearmanr(found[n, 'p'], found[n, 'e']).statistic:.3f} on {title}" for n, title in NAMES.items())
    return SECTION.format(lines="\n".join(lines), agreement=", ".join(agreement))


def column(rows: dict, name: str, methods: list[str]) -> list[float]:
    """Mean pAUC(.3) of the methods on a benchmark."""
    return [rows[method][name] for method in methods]


def place(values: list[float], i: int) -> int:
    return 1 + sum(value < values[i] for value in values)

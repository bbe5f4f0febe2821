"""Tables of variants that differ in one thing, each compared with the first on the same resamples."""

import json
from pathlib import Path
from statistics import mean

from methods_page import table
from tables import BENCHMARKS, RESULTS, change

ABLATIONS = """## What DifFIQA's parts are worth

Table 4 of the paper: preset `fastest`, one step of restoration and one repeat, the denoiser that ships, {judge} inside
([the experiment](experiments/ablations.json)). pAUC(.3), the mean over {judges} recognisers that compare, {judge} among
them, and its difference to the complete procedure [95 % interval, paired bootstrap by person, all recognisers on the
same resamples].

{table}

With every step back and two repeats of opposite noise ([the experiment](experiments/ablations-steps.json)):

{steps}

By the number of repeats n ([the experiment](experiments/repeats.json)), every step back, but for `fast`; by rank up to
n = 100: [SPEED.md](SPEED.md), Presets.

{repeats}

One step back and edgeface_xs inside, which is cheap enough for more
([the experiment](experiments/repeats-one-step.json)):

{more_repeats}

The procedure as the authors' code has it, with a fifth term and noise one index higher, one repeat
([the experiment](experiments/released.json); its scores depend on the batch, so none are on file, and `make table`
leaves it out):

{released}

{reading} Blend on and off, T of 100 and 1000, averaged and raw weights: [TRAINING.md](TRAINING.md#errors).
"""
READING = """\
Flipping is the part that counts: without it the errors rise on both sets, most where one side is degraded, with one
step the only difference here whose interval excludes zero. In the paper flipping helps on the cross-pose set and
costs a little on XQLFW, and t = 20 errs more on XQLFW; here the forward pass, t, n and what the released code does
otherwise make no difference that these comparisons can tell, and the whole procedure none to the mirror image alone."""
FOLDERS = {"table": "ablations", "steps": "ablations-steps", "repeats": "repeats", "more_repeats": "repeats-one-step",
           "released": "released"}  # fmt: skip


def ablations() -> str:
    """Markdown: the section of DifFIQA's parts, timesteps and repeats."""
    judges = judges_of(evaluated(RESULTS / "ablations"))
    tables = {field: variants("DifFIQA", evaluated(RESULTS / name)) for field, name in FOLDERS.items()}
    return ABLATIONS.format(judge=judges[0], judges=len(judges), reading=READING, **tables)


def evaluated(folder: Path) -> list[dict]:
    """The files of `difiqa evaluate` in a folder."""
    found = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return [result for result in found if "protocol" in result]


def judges_of(results: list[dict]) -> list[str]:
    """The recognisers that compare, the first one first."""
    return list(dict.fromkeys(row["recognizer"] for row in results[0]["results"]))


def variants(head: str, results: list[dict], judge: str | None = None) -> str:
    """Markdown: mean pAUC(.3) by benchmark, one variant a line; difference to the first: of `judge` or the mean."""
    rows = []
    for label in dict.fromkeys(row["label"] for result in results for row in result["results"]):
        cells = []
        for result in results:
            own = [row for row in result["results"] if row["label"] == label]
            compared = [row for row in own if row["recognizer"] == judge] if judge else result["means"]
            found = next((row.get("against_baseline") for row in compared if row["label"] == label), None)
            cells.append(f"**{mean_pauc(own)}** {change(found)}".rstrip() if own else "-")
        rows.append((label, *cells))
    return table((head, *map(title, results)), rows)


def mean_pauc(rows: list[dict]) -> str:
    values = [row["pauc"]["0.3"] for row in rows]
    return "-" if None in values else f"{mean(values):.3f}"


def title(result: dict) -> str:
    return BENCHMARKS[result["benchmark"]["name"]].split(":")[0]

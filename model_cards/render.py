"""Render the model cards and the README's results from data: `python model_cards/render.py [--check]`.

Figures come from `results/*.json` (written by `difiqa evaluate`), training facts from `facts.json`; nothing is typed.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from against import against
from difiqa_hf.hub.cards import Card, Figure, Group, Threshold, card_of
from inside import asked_inside
from inside import inside as inside_section
from methods_page import methods_page
from methods_page import table as markdown
from procedures import curves_section
from protocols import protocols
from reading import reading
from speed_page import speed_page
from tables import BENCHMARKS, PAGE, headline, label, read_results, results_section, summary
from training_page import training_page
from variants import ablations

HERE = Path(__file__).parent
ROOT = HERE.parent
CHECKPOINTS = ROOT / "src" / "difiqa_hf" / "checkpoints"
BEGIN, END = "<!-- results: rendered by model_cards/render.py -->", "<!-- end of results -->"
BEGIN_BENCH, END_BENCH = "<!-- speed: rendered by model_cards/render.py -->", "<!-- end of speed -->"


def card(name: str, fact: dict, facts: dict, rows: list[dict]) -> Card:
    """What the files of a checkpoint, its facts and the results say."""
    folder = CHECKPOINTS / name
    inside = {asked_inside(row) for row in rows if row["method"] == fact["method"]}
    shown = [row for row in rows if row["method"] in (fact["method"], *facts["baselines"])]
    shown = [row for row in shown if asked_inside(row) in inside]
    own = [row for row in rows if label(row) == fact["method"]]  # with the shipped recogniser inside
    own = [row for row in own if row["pauc"]["0.3"] is not None]
    figures = [
        Figure(row["benchmark"], BENCHMARKS[row["benchmark"]], row["recognizer"], row["protocol"], row["fmr"], "0.3",
               row["pauc"]["0.3"])
        for row in own if row["benchmark"] in BENCHMARKS
    ]  # fmt: skip
    found = card_of(folder, fact["title"])
    common = facts["common"] | fact
    found = replace(
        found,
        figures=tuple(figures),
        tables=results_section(shown),
        thresholds_on=f"{fact['measured']['reference_images']} {common['reference']}",
        groups=groups(fact["method"], {row["method_revision"] for row in own}),
        licence="research-only",
        licence_reason=common["licence_reason"],
    )
    measured = [row for row in own if row.get("thresholds")]
    if not measured:
        return found
    row = measured[0]  # of the first benchmark and recogniser
    return replace(
        found,
        thresholds=tuple(Threshold(t["quality"], 100 * t["discard"], t["fnmr"]) for t in row["thresholds"]),
        thresholds_on=f"the images of {BENCHMARKS[row['benchmark']]}, compared by {row['recognizer']} at FMR "
        f"{row['fmr']:g} ({row['comparisons']} comparisons)",
    )


def learning(name: str) -> str:
    """How the weights that ship were learnt, epoch by epoch, if that is on file."""
    path = HERE / "results" / f"training-{name}.json"
    if not path.exists():
        return ""
    head = ("epoch", "training loss", "held-out labels, L1", "Spearman", "seconds since the start")
    keys = ("epoch", "loss", "validation_l1", "validation_spearman", "seconds")
    return markdown(head, ([row[key] for key in keys] for row in json.loads(path.read_text())["log"]))


def groups(method: str, revisions: set[str]) -> tuple[Group, ...]:
    """Score distributions by group of persons (`groups.py`), where a set was scored with these very weights."""
    path = HERE / "results" / f"groups-{method}.json"
    found = json.loads(path.read_text()) if path.exists() else {"revision": "", "groups": []}
    if found["revision"] not in revisions:
        return ()
    return tuple(Group(group["name"], group["count"], tuple(group["quantiles"])) for group in found["groups"])


def render() -> dict[Path, str]:
    """Path -> text of every rendered file."""
    rows, facts = read_results(), json.loads((HERE / "facts.json").read_text())
    files = {}
    for name, fact in facts["checkpoints"].items():
        text = card(name, fact, facts, rows).render(
            f"{name}.md.jinja", HERE, learning=learning(name), **facts["common"] | fact
        )
        files[CHECKPOINTS / name / "README.md"] = text
    readme = (ROOT / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    readme = before + BEGIN + "\n" + headline(rows) + "\n" + END + rest.split(END)[1]
    page = PAGE.format(
        reading=reading(rows),
        summary=summary(rows),
        against=against(rows),
        tables=results_section(rows),
        inside=inside_section(rows),
        ablations=ablations(),
        protocols=protocols(),
    )
    files[HERE / "RESULTS.md"] = page
    before, rest = readme.split(BEGIN_BENCH)
    speed = curves_section(json.loads((HERE / "results" / "bench-edc.json").read_text()))
    files[ROOT / "README.md"] = before + BEGIN_BENCH + "\n" + speed + "\n" + END_BENCH + rest.split(END_BENCH)[1]
    files[ROOT / "src" / "difiqa_hf" / "methods" / "README.md"] = methods_page()
    files[HERE / "SPEED.md"] = speed_page()
    files[HERE / "TRAINING.md"] = training_page()
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a file is not what would be written"
    )
    check = parser.parse_args().check
    stale = [path for path, text in render().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.write_text(render()[path])
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

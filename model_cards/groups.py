"""Score distributions by group of persons, for the cards: `python model_cards/groups.py SCORES ATTRIBUTES --by COLUMN`.

SCORES is what `difiqa score` wrote; ATTRIBUTES a CSV file with a column `path`, as there, and one that names the group.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
QUANTILES = (0.05, 0.5, 0.95)
FEWEST = 30  # images of a group; quantiles of fewer say nothing


def distributions(scores: list[dict], groups: dict[str, str]) -> list[dict]:
    """Name, number of images and quantiles of the scores of every group, in the order of the names.

    Raises:
        ValueError: if no group has enough scored images.
    """
    found: dict[str, list[float]] = {}
    for row in scores:
        if row["status"] == "ok" and row["path"] in groups:
            found.setdefault(groups[row["path"]], []).append(float(row["quality"]))
    large = {name: values for name, values in sorted(found.items()) if len(values) >= FEWEST}
    if not large:
        sizes = {name: len(values) for name, values in found.items()}
        raise ValueError(f"no group has {FEWEST} scored images, found {sizes}; do the paths of the two files agree?")
    return [
        {"name": name, "count": len(values), "quantiles": np.quantile(values, QUANTILES).round(6).tolist()}
        for name, values in large.items()
    ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("attributes", type=Path)
    parser.add_argument("--by", required=True, metavar="COLUMN", help="of the attributes")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder")
    args = parser.parse_args(argv)
    with args.scores.open(newline="") as scores, args.attributes.open(newline="") as attributes:
        rows, persons = list(csv.DictReader(scores)), csv.DictReader(attributes)
        missing = {"path", args.by} - set(persons.fieldnames or ())
        if missing:
            parser.error(f"{args.attributes} lacks the column {', '.join(missing)}; found {persons.fieldnames}")
        groups = {row["path"]: row[args.by] for row in persons}
    scorers = {(row["method"], row["revision"]) for row in rows if row["status"] == "ok"}
    if len(scorers) != 1:
        parser.error(f"{args.scores} must hold the scores of one method and revision, found {sorted(scorers)}")
    ((method, revision),) = scorers
    content = {"method": method, "revision": revision, "by": args.by, "groups": distributions(rows, groups)}
    path = args.output / f"groups-{method}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()

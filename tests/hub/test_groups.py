"""Score distributions by group of persons."""

import csv
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "model_cards"))
import groups


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_quantiles_of_every_group_that_is_large_enough(tmp_path):
    scores = [
        {"path": f"{i}.png", "status": "ok", "quality": i / 100, "method": "difiqa-r", "revision": "abc"}
        for i in range(100)
    ]
    scores.append({"path": "none.png", "status": "no_face", "quality": "", "method": "difiqa-r", "revision": ""})
    people = [{"path": row["path"], "sex": "f" if i < 60 else "m"} for i, row in enumerate(scores)]
    people[99]["sex"] = "unknown"
    files = write(tmp_path / "scores.csv", scores), write(tmp_path / "people.csv", people)
    groups.main([*files, "--by", "sex", "--output", str(tmp_path)])
    found = json.loads((tmp_path / "groups-difiqa-r.json").read_text())
    assert found["revision"] == "abc" and [(g["name"], g["count"]) for g in found["groups"]] == [("f", 60), ("m", 39)]
    assert found["groups"][0]["quantiles"] == pytest.approx([0.0295, 0.295, 0.5605])
    with pytest.raises(ValueError, match=r"do the paths .* agree"):
        groups.distributions(scores, {"elsewhere/0.png": "f"})

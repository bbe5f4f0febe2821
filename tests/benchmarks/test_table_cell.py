"""Cells of the table of RESULTS.md, drawn at random, from the images and weights to the figure once more."""

import json
import os
import random
import secrets
from pathlib import Path

import pytest

from difiqa_hf.benchmarks.experiment import Experiment, run_experiment

MODEL_CARDS = Path(__file__).parents[2] / "model_cards"
EXPERIMENT = MODEL_CARDS / "experiments" / "methods.json"
DRAW = "DIFIQA_DRAW"  # repeats a draw


@pytest.mark.slow
def test_a_cell_drawn_at_random_comes_out_the_same(shared, tmp_path):
    """Any method whose weights are at hand, DifFIQA among them, by any recogniser on any benchmark."""
    draw = int(os.environ.get(DRAW, secrets.randbelow(10**6)))
    rng, content = random.Random(draw), json.loads(EXPERIMENT.read_text())
    at_hand = [entry for entry in content["methods"] if isinstance(entry, str) or "recall" not in entry]
    (benchmark,) = content["benchmarks"] = [rng.choice(content["benchmarks"])]
    (method,) = content["methods"] = [rng.choice(at_hand)]
    judge = rng.choice(list(content["recognizers"]))
    content["recognizers"] = {judge: content["recognizers"][judge]}
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(content | {"baseline": None, "mean": [], "num_resamples": 20}))
    (tmp_path / "data").mkdir()
    for source in (*(shared / "data").glob("*.zip"), *(shared / "weights").iterdir()):
        (tmp_path / "data" / source.name).symlink_to(source)

    label = method if isinstance(method, str) else method.get("label", method["name"])
    on_file = json.loads((MODEL_CARDS / "results" / "methods" / f"{benchmark['name']}.json").read_text())["results"]
    (expected,) = (r for r in on_file if (r.get("label") or r["method"], r["recognizer"]) == (label, judge))
    print(f"{DRAW}={draw}: {label} on {benchmark['name']}, compared by {judge}, has {expected['pauc']} on file")
    ((_, again),) = run_experiment(Experiment.read(path), tmp_path / "out")
    (found,) = again["results"]
    assert found["method_revision"] == expected["method_revision"]
    assert found["fnmr0"] == pytest.approx(expected["fnmr0"], abs=5e-4), f"{DRAW}={draw}"
    assert found["pauc"] == pytest.approx(expected["pauc"], abs=5e-4), f"{DRAW}={draw}"

"""Whole cards, as text: of a checkpoint with all that a card can say, and of one about which nothing is known."""

import json
import shutil
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from jinja2 import UndefinedError

from difiqa_hf.hub.cards import Figure, Group, Part, Threshold, card_of, render, weights_digest
from difiqa_hf.metrics import ErrorsAbove, ThresholdCard
from toys import toy_pipeline, toy_recognizer

ROOT = Path(__file__).parents[2]
FULL = """\
---
library_name: diffusers
license: other
license_name: research-only
pipeline_tag: image-classification
tags:
- face-image-quality
- fiqa
- biometrics
- difiqa
model-index:
- name: A test
  results:
  - task:
      type: face-image-quality
      name: Face image quality assessment
    dataset:
      name: Labeled Faces
      type: lfw
    metrics:
    - type: edc_pauc
      value: 0.6543
      name: pAUC(.3), recogniser r100, protocol paper, FMR 0.001; lower is better
---

# A test

Saved by [difiqa_hf](https://pypi.org/project/difiqa-hf/): face image quality, that is how well a recogniser can use an
image. Higher is better.

```python
from difiqa_hf import DifFIQAPipeline

pipe = DifFIQAPipeline.from_pretrained("<repository>")
print(pipe(["face_aligned_112.jpg"], num_repeats=4).quality)
```

Without the package: `DiffusionPipeline.from_pretrained("<repository>", trust_remote_code=True)`.

Input: aligned faces, 112 x 112, on the ArcFace five-point template (`difiqa score --detect` aligns).

## What is inside

| part | network | parameters | weights |
|---|---|---|---|
| `unet` | PatchUNet2DModel | 3.5 M | 7.0 MB (float16) |

Data and training: not stated by whoever pushed this.

## Figures

a table

## Thresholds

Discard what scores below. Percentiles and errors hold for 1,000 faces; check them on images like yours.

| score | images below | expected FNMR of the rest |
|---:|---:|---:|
| 0.7000 | 5 % | 0.81 % |
| 0.8000 | 10 % | not measured |

`thresholds.json`, which `difiqa threshold` prints and percentiles and `--bands` go by, holds
percentiles among 9 faces. On other images or
recognisers than the table's its numbers are others.

## Limits

- Utility is not beauty: the score says how well a recogniser can use the image. It is no liveness, deepfake, age or
  emotion test, and no measure of a person.
- Scores differ between groups of people. Do not use them to decide about people. Measured:

| group | images | 5 % of scores below | median | 5 % above |
|---|---:|---:|---:|---:|
| f, 25-32 | 120 | 0.700 | 0.800 | 0.900 |

## Licence

research-only, because the data say so. The code is Apache-2.0.

## Hashes

| file | SHA-256 |
|---|---|
| `unet/a.safetensors` | `0123` |

All weights, in any precision that holds them: `abcd`.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    toy_pipeline(reference_quantiles=[i / 10 for i in range(11)]).save_pretrained(folder)
    return folder


def test_everything_that_a_card_can_say(folder):
    card = replace(
        card_of(folder, "A test"),
        parts=(Part("unet", "PatchUNet2DModel", 3.5, 7_000_000, "float16"),),
        hashes={"unet/a.safetensors": "0123"},
        weights="abcd",
        figures=(Figure("lfw", "Labeled Faces", "r100", "paper", 1e-3, "0.3", 0.65432),),
        tables="a table",
        thresholds=(Threshold(0.7, 5, 0.0081), Threshold(0.8, 10)),
        thresholds_on="1,000 faces",
        threshold_file="percentiles among 9 faces",
        groups=(Group("f, 25-32", 120, (0.7, 0.8, 0.9)),),
        licence="research-only",
        licence_reason="the data say so",
    )
    assert card.render() == FULL


def test_a_checkpoint_of_which_nothing_else_is_known(folder):
    card = card_of(folder)
    text = card.render()
    assert ModelCard(text).data.eval_results is None and "## Figures" not in text
    assert "# DifFIQAPipeline" in text and "Not stated by whoever pushed this" in text
    assert "nobody has measured by how much" in text
    assert [(row.percentile, round(row.score, 6)) for row in card.thresholds][2:5] == [(5, 0.05), (10, 0.1), (20, 0.2)]
    assert all(f"`{file}` | `{digest}`" in text for file, digest in card.hashes.items()) and len(card.hashes) == 2
    count = sum(p.numel() for p in toy_recognizer().parameters())
    assert [part.parameters_m for part in card.parts if part.folder == "recognizer"] == [round(count / 1e6, 2)]


def test_the_card_names_the_file_of_thresholds(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    columns = [np.full(101, value) for value in (0.01, 0.005, 0.02, 900)]
    entry = ErrorsAbove("pairs", "toy", "", 0.001, 0.3, 1000, 1000, *columns, 0.95, "identity", 10)
    bare = ThresholdCard.from_scores([0, 1], reference="2 faces")
    known = bare.with_errors(entry), ", and FNMR of toy on pairs at FMR 0.001"
    for card, more in ((bare, ""), known):
        card.save(tmp_path / "copy" / "thresholds.json")
        assert f" go by, holds\npercentiles among 2 faces{more}. On" in card_of(tmp_path / "copy").render()
    assert "`thresholds.json`" not in card_of(folder).render()


def test_the_digest_of_weights_ignores_how_they_are_stored(folder, tmp_path):
    halved = toy_pipeline()
    for part in (halved.unet, halved.recognizer):
        part.load_state_dict({name: value.half().to(value.dtype) for name, value in part.state_dict().items()})
    halved.save_pretrained(tmp_path / "float32")
    halved.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    halved.unet.half(), halved.recognizer.half()
    halved.save_pretrained(tmp_path / "float16")
    digests = {weights_digest(tmp_path / name) for name in ("float32", "shards", "float16")}
    assert len(digests) == 1 and digests != {weights_digest(folder)}


def test_a_template_without_its_facts_is_an_error():
    with pytest.raises(UndefinedError, match="'name' is undefined"):
        render("pairs.md.jinja", recipe="", images=2, folds=1, comparisons=1, genuine=1)


@pytest.fixture(scope="module")
def render_script():
    sys.path.insert(0, str(ROOT / "model_cards"))
    spec = spec_from_file_location("render_cards", ROOT / "model_cards" / "render.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_what_its_results_say(render_script):
    stale = [path.name for path, text in render_script.render().items() if path.read_text() != text]
    assert not stale, "run model_cards/render.py"


def test_shipped_cards_take_thresholds_and_groups_from_results(render_script, tmp_path, monkeypatch):
    facts = json.loads((ROOT / "model_cards" / "facts.json").read_text())
    common = {"benchmark": "lfw", "recognizer": "r100", "protocol": "paper", "fmr": 1e-3, "comparisons": 6000}
    common |= {"file": "lfw.json", "interval_by_identity": {"low": 0.6, "high": 0.8}, "fnmr0": 0.01}
    common |= {"method_revision": "abc"}
    pauc, thresholds = {"0.2": 0.8, "0.3": 0.7}, [{"discard": 0.05, "quality": 0.41, "fnmr": 0.0123}]
    rows = [
        common | {"method": "difiqa-r", "pauc": pauc, "thresholds": thresholds},
        common | {"method": "difiqa-r", "label": "difiqa-r, other", "pauc": {"0.2": 0.1, "0.3": 0.1}},
        common | {"method": "norm", "pauc": pauc},
        common | {"method": "mine", "pauc": pauc},
    ]
    monkeypatch.setattr(render_script, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    groups = {"revision": "abc", "groups": [{"name": "f", "count": 99, "quantiles": [0.1, 0.2, 0.3]}]}
    (tmp_path / "results" / "groups-difiqa-r.json").write_text(json.dumps(groups))
    card = render_script.card("difiqa_r", facts["checkpoints"]["difiqa_r"], facts, rows)
    assert [(figure.benchmark, figure.pauc) for figure in card.figures] == [("lfw", 0.7)], "of the shipped recogniser"
    assert card.thresholds == (Threshold(0.41, 5.0, 0.0123),)
    assert "LFW, compared by r100 at FMR 0.001 (6000 comparisons)" in card.thresholds_on
    assert "| norm |" in card.tables and "| mine |" not in card.tables
    assert card.groups == (Group("f", 99, (0.1, 0.2, 0.3)),)
    rows[0]["method_revision"] = rows[1]["method_revision"] = "other weights"
    assert render_script.card("difiqa_r", facts["checkpoints"]["difiqa_r"], facts, rows).groups == ()


def test_same_model_is_where_the_recogniser_inside_compares_too(render_script):
    """Of three that compare two stand inside: the third has no part, nor has the shipped one inside."""
    errors = {("a", "a"): 0.5, ("a", "b"): 0.7, ("a", "c"): 9.0, ("b", "a"): 0.8, ("b", "b"): 0.6, ("b", "c"): 9.0}
    rows = [
        {"method": "norm", "label": f"norm, {own} inside", "recognizer": judge, "benchmark": "lfw", "pauc": {"0.3": p}}
        for (own, judge), p in errors.items()
    ]
    rows.append({"method": "norm", "recognizer": "a", "benchmark": "lfw", "pauc": {"0.3": 9.0}})
    rows.append(rows[0] | {"method": "froq", "label": "froq, a inside"})
    lines = sys.modules["inside"].same_and_cross(rows).splitlines()
    assert "| norm | 0.550 / 0.750 | - | - | - |" in lines
    assert "| froq | - | - | - | - |" in lines, "one alone has nobody to cross with"


def test_verdicts_hold_for_all_lines_together(render_script):
    """Holm: the smallest p by a third of the level, the next by half of it, and nothing after the first that fails."""
    module = sys.modules["against"]
    assert module.holm({"a": 0.001, "b": 0.02, "c": 0.03}) == {"a", "b", "c"}
    assert module.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == {"a"}
    assert module.holm({"a": 0.02, "b": 0.5}) == {"a"} and module.holm({"a": 0.03, "b": 0.5}) == set()
    rows = [
        {"method": "a", "against_baseline": {"difference": 0.1, "p_value": 0.001}},
        {"method": "b", "label": "b, better", "against_baseline": {"difference": -0.1, "p_value": 0.001}},
        {"method": "c", "against_baseline": {"difference": 0.1, "p_value": 0.2}},
        {"method": "difiqa-r"},
    ]
    assert module.verdicts(rows) == {"a": "worse", "b, better": "better", "c": "cannot tell"}


def test_a_verdict_that_no_longer_follows_is_named(render_script):
    with pytest.raises(ValueError, match="verdicts of sentences 3, 9 of the ten no longer hold"):
        sys.modules["reading"].check({1: True, 3: False, 9: False})


def test_rows_of_one_name_about_different_weights_are_refused(render_script, tmp_path):
    """They would stand in one table as if they were of one."""
    row = {"method": "norm", "recognizer": "r", "method_revision": "a", "recognizer_revision": "b", "fnmr0": 0.1}
    row["pauc"] = {"0.2": 0.5, "0.3": 0.4}
    found = {"benchmark": {"name": "lfw", "n_comparisons": 1, "content": "c"}}
    found["protocol"] = {"name": "paper", "fmr": 0.1}
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "lfw.json").write_text(json.dumps(found | {"results": [row]}))
    (tmp_path / "lfw.json").write_text(json.dumps(found | {"results": [row]}))
    (own,) = sys.modules["tables"].read_results(tmp_path)
    assert own["file"] == "methods/lfw.json"
    for change in ({"method_revision": "other"}, {"pauc": {"0.2": 0.5, "0.3": 0.3}}):
        (tmp_path / "lfw.json").write_text(json.dumps(found | {"results": [row | change]}))
        with pytest.raises(ValueError, match=r"methods/lfw\.json and lfw\.json differ in what norm is"):
            sys.modules["tables"].read_results(tmp_path)

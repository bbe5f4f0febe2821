"""`difiqa methods`: one row per method in both tables, and everything as JSON."""

import json
import os

import pytest

from difiqa_hf.cli import main
from difiqa_hf.methods import list_methods


def test_prints_what_methods_need_and_where_they_come_from(capsys):
    assert main(["methods"]) == 0
    needs, options, origin = capsys.readouterr().out.strip().split("\n\n")
    assert "prefiqs    sparsity=0.4, scope=global" in options.splitlines() and "num_repeats" not in options
    for table in (needs, origin):
        assert [line.split()[0] for line in table.splitlines()] == ["name", *list_methods()]
    row = next(line for line in needs.splitlines() if line.startswith("grafiqs "))
    assert row.split()[:8] == ["grafiqs", "analytical", "[-inf,", "0]", "-", "yes", "yes", "-"]
    row = next(line for line in origin.splitlines() if line.startswith("ser-fiq "))
    assert "CVPR 2020" in row and "CC BY-NC-SA 4.0" in row and "the recogniser's" in row


def test_one_kind(capsys):
    assert main(["methods", "--kind", "model"]) == 0
    assert "magface" in (out := capsys.readouterr().out) and "faceqan" not in out


def test_json_holds_every_declaration(capsys):
    assert main(["methods", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list_methods()
    assert rows["lightqnet"]["code_license"] == "MIT" and rows["lightqnet"]["score_range"] == [0, 1]
    assert rows["faceqan"]["needs_gradients"] is True and rows["pfe"]["parity"]


@pytest.mark.parametrize("name", ["pfe", "froq=nowhere", "norm=x"])
def test_score_says_what_is_missing(name, tmp_path, capsys):
    assert main(["score", str(tmp_path), "--method", name]) == 1
    said = capsys.readouterr().err
    assert {"pfe": "--method pfe=FOLDER", "froq=nowhere": "no froq_calibration.json in nowhere"}.get(
        name, "norm has no weights of its own"
    ) in said


@pytest.mark.parametrize(("before", "after"), [(None, "0"), ("1", "1")])
def test_the_commands_ask_a_gpu_for_float32_unless_the_user_says_otherwise(monkeypatch, before, after):
    name = "NVIDIA_TF32_OVERRIDE"
    monkeypatch.setenv(name, before or "")  # put back in the end, whatever main does
    if before is None:
        monkeypatch.delenv(name)
    assert main(["methods"]) == 0 and os.environ[name] == after

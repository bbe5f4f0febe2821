"""Whatever lies in a folder: one row for every file, and nothing that another program runs or stumbles over."""

import csv
import json
import os
import sys
from pathlib import Path

import pyarrow.parquet
import pytest
from hostile_corpus import write_corpus

from difiqa_hf.cli import main
from toys import Brightness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes, pipes and links exist")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return folder, write_corpus(folder / "files")


@pytest.fixture(autouse=True)
def brightness(monkeypatch, corpus):
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Brightness())
    monkeypatch.chdir(corpus[0])


def test_every_file_has_its_row(corpus, capsys):
    _, expected = corpus
    assert len(expected) > 200
    assert main(["score", "files", "-o", "scores.csv", "--workers", "2"]) == 0
    with Path("scores.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {os.fsencode(Path(row["path"]).absolute()): row["status"] for row in rows}
    assert len(rows) == len(found) == len(expected)
    wrong = {path: found.get(path) for path, allowed in expected.items() if found.get(path) not in allowed}
    assert not wrong
    for row in rows:
        assert (row["quality"] != "") == (row["status"] == "ok")
    stderr = capsys.readouterr().err
    assert f"{len(expected)} images: " in stderr.splitlines()[-1] and "Traceback" not in stderr
    assert not list(Path().rglob("hacked"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_is_a_formula_whatever_separates_cells(corpus, separator, monkeypatch):
    assert main(["score", "files/named", "-o", "named.csv"]) == 0
    monkeypatch.chdir("files/named")
    names = sorted(path.name for path in Path().iterdir())
    assert main(["score", "-o", "../../bare.csv", "--", *names]) == 0
    monkeypatch.chdir("../..")
    for name in ("named.csv", "bare.csv"):
        with Path(name).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            cells = [cell for row in csv.reader(file, delimiter=separator) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r", "\n", "＝"))]
        assert not [cell for cell in cells if cell.startswith("-") and not cell[1:2].isdigit()]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_other_formats_hold_the_same_rows(corpus, kind):
    assert main(["score", "files/named", "-o", f"named.{kind}"]) == 0
    if kind == "jsonl":
        rows = [json.loads(line) for line in Path("named.jsonl").read_text(encoding="utf-8").splitlines()]
    else:
        rows = pyarrow.parquet.read_table("named.parquet").to_pylist()
    assert len(rows) == len(list(Path("files/named").iterdir()))
    paths = {row["path"].removeprefix("files/named/") for row in rows}
    assert {"=1+1.png", "new\nline.png", r"not utf-8 \xff\xfe.png", "emoji 😀👩‍🚀.png"} <= paths
    ok = next(row for row in rows if row["status"] == "ok")
    assert isinstance(ok["quality"], float) and ok["face"] == 0
    bad = next(row for row in rows if row["status"] == "unreadable")
    assert bad["quality"] is None and bad["percentile"] is None

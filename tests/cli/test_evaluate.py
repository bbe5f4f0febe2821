"""`difiqa evaluate` from the command line to the file."""

import json

import pytest

from difiqa_hf.cli import main
from difiqa_hf.cli.evaluate import named
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from made_up_benchmarks import lfw_files, write, zipped

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture
def root(tmp_path):
    return zipped(write(tmp_path / "lfw", lfw_files()), tmp_path / "lfw.zip")


@pytest.fixture
def recognizer(tmp_path):
    config = MobileFaceNetConfig(stem_width=4, stages=[(1, 4, 1, 4)], last_width=8, embedding_size=8)
    MobileFaceNetRecognizer(config).save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def evaluate(tmp_path, root, *arguments):
    return main(["evaluate", "--benchmark", "lfw", "--root", str(root), "-o", str(tmp_path / "out.json"), *arguments])


def test_writes_the_file_and_prints_the_table(tmp_path, root, recognizer, capsys):
    options = ["--method", "random", "--method", "norm", "--method-recognizer", recognizer, "--recognizer", recognizer]
    assert evaluate(tmp_path, root, *options, "--fmr", "0.3", "--pairs", "20", "--cache", str(tmp_path / "c")) == 0
    printed = capsys.readouterr().out
    assert "lfw: 10 genuine and 10 impostor comparisons" in printed and "FMR 0.3" in printed
    assert [line.split()[:2] for line in printed.splitlines()[2:4]] == [["random", "tiny"], ["norm", "tiny"]]
    result = json.loads((tmp_path / "out.json").read_text())
    assert [row["method"] for row in result["results"]] == ["random", "norm"]
    assert len(list((tmp_path / "c").rglob("*.npz"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "beauty"], "unknown method 'beauty'"),
        (["--method", "random", "--benchmark", "lfw2"], "unknown benchmark 'lfw2'"),
        (["--method", "random", "--pairs", "26"], "even and from 2 to 24"),
        (["--method", "random", "-o", "nowhere/out.json"], "no folder nowhere"),
        (["--method", "random", "--recognizer", "./nowhere"], "no recogniser at"),
    ],
)
def test_failures_are_one_line(tmp_path, root, arguments, message, capsys):
    assert evaluate(tmp_path, root, *arguments) == 1
    assert message in capsys.readouterr().err


def test_recognisers_have_short_names_unless_they_are_equal():
    assert named(["shipped", "a/r50.safetensors"]) == {"shipped": None, "r50": "a/r50.safetensors"}
    assert named(["a/r50", "b/r50"]) == {"a/r50": "a/r50", "b/r50": "b/r50"}

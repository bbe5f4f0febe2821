"""`difiqa edc`: a CSV file in, figures out."""

import json
import re

import numpy as np
import pytest

from difiqa_hf.cli import main
from difiqa_hf.cli.edc import parse_option
from difiqa_hf.metrics import error_discard


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(400) % 2, rng.normal(size=(400, 2))
    return rng.normal(size=400) + genuine * (1 + quality.min(1)), genuine, quality


def write_csv(path, header, *columns):
    rows = zip(*(column.tolist() if isinstance(column, np.ndarray) else column for column in columns), strict=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def test_figures_are_those_of_error_discard(tmp_path, data, capsys):
    similarity, genuine, quality = data
    persons = [f"p{i // 2}" for i in range(400)], [f"p{i // 2}" if i % 2 else f"q{i}" for i in range(400)]
    header = "quality_2,similarity,person_1,genuine,quality_1,person_2"
    path = write_csv(
        tmp_path / "pairs.csv", header, quality[:, 1], similarity, persons[0], genuine, quality[:, 0], persons[1]
    )
    output = tmp_path / "out.json"
    options = ["--fmr", "0.05", "--option", "fmr_rule=le", "--option", "grid_step=0.1", "--resamples", "5"]
    assert main(["edc", path, *options, "-o", str(output)]) == 0
    expected = error_discard(*data, fmr=0.05, fmr_rule="le", grid_step=0.1)
    printed, figures = capsys.readouterr().out, json.loads(output.read_text())
    assert f"pAUC(0.3) {expected.pauc(0.3):.4f}" in printed and "interval by identity" in printed
    assert figures["pauc"]["0.3"] == expected.pauc(0.3) and figures["curve"]["fnmr"] == expected.fnmr.tolist()
    assert figures["options"]["fmr_rule"] == "le" and [i["resampled"] for i in figures["intervals"]] == [
        "comparison", "identity"
    ]  # fmt: skip


def test_uncertainties_are_turned(tmp_path, data, capsys):
    similarity, genuine, quality = data
    path = write_csv(tmp_path / "pairs.csv", "similarity,genuine,quality", similarity, genuine, -quality.min(1))
    assert main(["edc", path, "--fmr", "0.05", "--protocol", "edc", "--lower-is-better", "--resamples", "0"]) == 0
    expected = error_discard(*data, fmr=0.05, protocol="edc").pauc(0.2)
    assert f"pAUC(0.2) {expected:.4f}" in capsys.readouterr().out


def test_two_qualities_are_compared_on_the_same_resamples(tmp_path, data, capsys):
    similarity, genuine, quality = data
    noise = np.random.default_rng(1).normal(size=400)
    header = "similarity,genuine,ours_1,ours_2,noise"
    path = write_csv(tmp_path / "pairs.csv", header, similarity, genuine, quality[:, 0], quality[:, 1], noise)
    arguments = ["--quality", "ours", "--against", "noise", "--fmr", "0.05", "--resamples", "20"]
    assert main(["edc", path, *arguments, "-o", str(tmp_path / "out.json")]) == 0
    expected = error_discard(*data, fmr=0.05).pauc(0.3) - error_discard(similarity, genuine, noise, fmr=0.05).pauc(0.3)
    assert f"ours minus noise: {expected:.4f}, 95 % interval by comparison [" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["against"]["difference"] == expected < 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("similarity,genuine\n1,1\n", "lacks the column quality_1, quality_2"),
        ("similarity,genuine,quality\n1,1,1\n.5,0,x\n", "line 3 of .*: could not convert"),
        ("similarity,genuine,quality\n", "holds no comparisons"),
        ("", "found nothing"),
        ("similarity,genuine,quality\n1,1,1\nnan,0,1\n", "similarity must be finite"),
    ],
)
def test_failures_are_one_line(tmp_path, capsys, text, message):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    assert main(["edc", str(path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)


def test_no_error_is_said(tmp_path, capsys):
    path = write_csv(tmp_path / "p.csv", "similarity,genuine,quality", [0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], [1, 2, 3, 4])
    assert main(["edc", path, "--fmr", "0.5"]) == 0
    assert "pAUC(0.3) undefined" in (printed := capsys.readouterr().out) and "FNMR(0) is 0 of 2" in printed


def test_options_are_numbers_truth_values_or_words():
    assert dict(map(parse_option, ["grid_step=0.1", "subtract_best=true", "fmr_rule=le"])) == {
        "grid_step": 0.1, "subtract_best": True, "fmr_rule": "le"
    }  # fmt: skip
    with pytest.raises(ValueError, match="NAME=VALUE"):
        parse_option("le")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--option", "fmr=0.5"], "there is no --option fmr; known: fmr_rule"),
        (["--option", "num_resamples=5"], "there is no --option num_resamples"),
        (["--option", "grid_step=nan"], r"grid_step must be in \(0, 1\] or 'exact', found nan"),
        (["--against", "quality", "--resamples", "0"], "--resamples must be at least 2 with --against, found 0"),
        (["--resamples", "1"], "at least 2, or 0 for no interval, found 1"),
    ],
)
def test_options_are_never_dropped(tmp_path, capsys, arguments, message):
    path = write_csv(tmp_path / "p.csv", "similarity,genuine,quality", [0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], [1, 2, 3, 4])
    assert main(["edc", path, "--fmr", "0.5", *arguments]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_warnings_are_words(tmp_path, data, capsys):
    path = write_csv(tmp_path / "p.csv", "similarity,genuine,quality", *data[:2], data[2].min(1))
    assert main(["edc", path, "--resamples", "0"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) >= 1 and all(line.startswith("warning: ") for line in said)


def test_a_binary_file_is_named(tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\xff\xfe")
    assert main(["edc", str(tmp_path / "a.png")]) == 1
    assert "a.png is no CSV file in UTF-8" in capsys.readouterr().err

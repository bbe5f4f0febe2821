"""Where results may go: nothing of the user's is written over, and what cannot be written is found first."""

import re
from pathlib import Path

import pytest

from difiqa_hf.cli import main
from difiqa_hf.cli.files import check_folder, check_output


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty.jpg").touch()
    for name in ("in.csv", "other.CSV", "picture.jpg"):
        Path(name).write_text("precious")
    Path("link.csv").symlink_to("in.csv")
    Path("folder/again.csv").hardlink_to("in.csv")


@pytest.mark.parametrize("name", ["-", None, "new.csv", "new.jpg", "folder/new", "other.CSV", "empty.jpg"])
def test_what_may_be_written(name):
    check_output(name, [".csv"], [Path("in.csv"), Path("nowhere"), Path("nul\0")])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder is a folder; name a file in it"),
        ("nowhere/x.csv", "no folder nowhere to write x.csv to"),
        ("picture.jpg", "does not look like a result of this command, which ends in .csv or .json"),
        ("in.csv", "the output in.csv is the input in.csv"),
        ("./link.csv", "the output link.csv is the input in.csv"),
        ("folder/again.csv", "the output folder/again.csv is the input in.csv"),
    ],
)
def test_what_may_not(name, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_output(name, [".csv", ".json"], [Path("nowhere"), Path("in.csv")])


@pytest.mark.parametrize("name", ["picture.jpg", "picture.jpg/deeper"])
def test_a_folder_cannot_be_where_a_file_is(name):
    check_folder(Path("folder/new"))
    with pytest.raises(ValueError, match=rf"{name} must be a folder, and picture.jpg is a file"):
        check_folder(Path(name))


@pytest.mark.parametrize(
    "command",
    [
        "score folder --method random -o picture.jpg",
        "gate folder --method random --bands 0 1 -o picture.jpg",
        "best folder --method random -o picture.jpg",
        "explain empty.jpg --method random -o picture.jpg",
        "export difiqa-r picture.jpg",
        "report in.csv -o other.CSV",
        "report in.csv -o in.csv",
        "calibrate in.csv -o other.CSV",
        "edc in.csv -o other.CSV",
        "edc in.csv --plot other.CSV",
        "demo -o picture.jpg",
        "dataset folder -o picture.jpg",
        "table folder --plots picture.jpg",
        "evaluate --benchmark lfw --root in.csv --method random -o in.csv",
    ],
)
def test_every_command_checks_its_output(command, capsys, monkeypatch):
    def work(*args, **kwargs):
        pytest.fail("work began")

    monkeypatch.setattr("difiqa_hf.methods.create_method", work)
    assert main(command.split()) == 1
    said = capsys.readouterr().err
    assert (
        re.search(r"the output (picture.jpg|in.csv) |(picture.jpg|other.CSV) is there already", said)
        or "must end" in said
    )
    assert {Path(name).read_text() for name in ("in.csv", "other.CSV", "picture.jpg")} == {"precious"}


@pytest.mark.parametrize("name", ["model", "model.txt", "model.onnx.bak"])
def test_exports_are_named_as_they_can_be_used(name, capsys):
    assert main(["export", "difiqa-r", name]) == 1
    assert f"the output {name} must end in .onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "edc x.csv --fmr nan",
        "edc x.csv --limits 0",
        "edc x.csv --seed -1",
        "calibrate x.csv -o c.json --fmr nan",
        "calibrate x.csv -o c.json --resamples 1",
        "threshold --score nan",
        "threshold --discard 1",
        "threshold --max-fnmr 1.5",
        "threshold --max-fnmr -1",
        "threshold --max-fnmr .1 --min-genuine -5",
        "evaluate -o x.json --pairs 0",
        "evaluate -o x.json --batch-size 0",
        "export difiqa x.onnx --num-repeats 0",
    ],
)
def test_numbers_out_of_bounds_are_wrong_usage(command, capsys):
    with pytest.raises(SystemExit) as end:
        main(command.split())
    assert end.value.code == 2 and "must be a " in capsys.readouterr().err

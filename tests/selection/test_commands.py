"""`difiqa best` and `difiqa gate`."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE, align
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import LANDMARKS, make_versions, portrait
from difiqa_hf.detection import Detection, Face
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.recognizers import load_recognizer
from difiqa_hf.scoring.run import chunk_cutter
from difiqa_hf.scoring.sources import file_source
from difiqa_hf.selection import find_faces
from toys import Brightness


class Halves:
    """Finds a face in the left half of everything, and in wide pictures another in the right half."""

    def detect(self, image):
        points = ARCFACE_TEMPLATE * image.height / 112
        faces = [Face((0, 0, image.height, image.height), points, 0.9)]
        if image.width > image.height:
            faces.append(
                Face((image.height, 0, image.height - 8, image.height), points + np.array([image.height, 0]), 0.9)
            )
        status = "several_faces" if len(faces) > 1 else "ok"
        return Detection(status, tuple(faces), "2 faces found" * (len(faces) > 1))


def by_colour(pixel_values):
    """Red, green and blue persons."""
    return pixel_values.mean(dim=(2, 3)) + 1


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Red and green persons, each dark and bright, two in one picture, in a folder and a zip."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Brightness())
    monkeypatch.setattr("difiqa_hf.cli.common.make_detector", lambda args: Halves() if args.detect else None)
    monkeypatch.setattr("difiqa_hf.recognizers.load_recognizer", lambda source: by_colour)
    Path("album").mkdir()
    for name, colour in {"red 1": (90, 0, 0), "red 2": (250, 0, 0), "red 3": (150, 0, 0), "green": (0, 200, 0)}.items():
        Image.new("RGB", (112, 112), colour).save(f"album/{name}.png")
    both = Image.new("RGB", (224, 112), (60, 0, 0))
    both.paste((0, 230, 0), (112, 0, 224, 112))
    both.save("album/both.png")
    Path("album/broken.png").touch()
    return tmp_path


class TwoInThePortrait:
    """Finds the face of the portrait and a part of the picture above on the left, which is no face."""

    points = LANDMARKS, ARCFACE_TEMPLATE / 2

    def detect(self, image):
        faces = tuple(Face((0, 0, 90, 90), points, 0.9) for points in self.points)
        return Detection("several_faces", faces, "2 faces found")


def exit_code(arguments: list[str]) -> int:
    """Also of wrong usage, which argparse finds."""
    try:
        return main(arguments)
    except SystemExit as error:
        return error.code


def table(path: str) -> list[dict]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_best_of_all(album, capsys):
    assert main(["best", "album", "-k", "2", "-o", "out"]) == 0
    found = table("out/best.csv")
    assert [(r["rank"], r["path"], r["face"]) for r in found] == [
        ("1", "album/red 2.png", "0"),
        ("2", "album/both.png", "1"),
    ]
    assert sorted(p.name for p in Path("out").iterdir()) == ["best.csv", "rank-001.png", "rank-002.png"]
    assert Image.open("out/rank-002.png").convert("RGB").resize((3, 3)).getpixel((1, 1))[1] > 150
    assert "6 faces in 6 images; the 2 best in out" in capsys.readouterr().err


def test_best_of_each_person(album, capsys):
    assert main(["best", "album", "-k", "2", "--per-person", "--same-person", "0.9", "-o", "out"]) == 0
    found = [(r["person"], r["path"].removeprefix("album/"), r["face"]) for r in table("out/best.csv")]
    assert found == [("1", "red 2.png", "0"), ("1", "red 3.png", "0"), ("2", "both.png", "1"), ("2", "green.png", "0")]
    assert "6 faces of 2 persons" in capsys.readouterr().err
    assert Path("out/person-002_rank-001.png").exists()


def test_when_two_faces_are_one_person_is_not_invented(album, capsys):
    assert main(["best", "album", "--per-person", "-o", "out"]) == 1
    assert "name it by --same-person" in capsys.readouterr().err


def test_the_cosine_of_the_shipped_recogniser_is_known(album, monkeypatch, capsys):
    """From a card that ships; the real recogniser tells the portrait from a grey picture."""
    monkeypatch.setattr("difiqa_hf.recognizers.load_recognizer", load_recognizer)
    Path("real").mkdir()
    face = make_versions()[0].image
    face.save("real/a.png")
    face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("real/b.png")
    Image.new("RGB", (112, 112), (200,) * 3).save("real/c.png")
    assert main(["best", "real", "--aligned", "--per-person", "-o", "out"]) == 0
    found = {(r["person"], r["path"]) for r in table("out/best.csv")}
    assert found == {("1", "real/c.png"), ("2", "real/a.png"), ("2", "real/b.png")}
    said = capsys.readouterr().err
    assert "two faces are of one person from a cosine of 0.392 on: FMR 0.001 of " in said


@pytest.mark.parametrize("landmarks", [5, 3])
def test_the_recogniser_sees_faces_aligned_by_five_points(tmp_path, monkeypatch, landmarks):
    """Also where the method asks for three."""
    monkeypatch.setattr(Brightness, "landmarks", landmarks)
    portrait().save(tmp_path / "photo.png")
    chunks = chunk_cutter(TwoInThePortrait(), landmarks=landmarks)([[file_source(tmp_path / "photo.png")]])
    seen = []

    def recognise(pixel_values):
        seen.append(pixel_values)
        return pixel_values.mean(dim=(2, 3))

    ((rows, vectors),) = find_faces(chunks, Brightness(), recognise)
    assert len(rows) == 2 and vectors.shape == (2, 3)
    expected = FaceImageProcessor()([align(portrait(), points) for points in TwoInThePortrait.points]).pixel_values
    torch.testing.assert_close(torch.cat(seen), expected)


def test_pictures_of_an_earlier_run_are_removed(album, capsys):
    assert main(["best", "album", "-k", "2", "-o", "out"]) == 0
    Path("out/mine.png").touch()
    assert main(["best", "album", "-k", "1", "--per-person", "--same-person", "0.9", "-o", "out"]) == 0
    names = ["best.csv", "mine.png", "person-001_rank-001.png", "person-002_rank-001.png"]
    assert sorted(path.name for path in Path("out").iterdir()) == names
    Path("out/best.csv").write_text("picture\nmine.png\n")
    assert main(["best", "album", "-o", "out"]) == 1
    assert "best.csv is no table of difiqa best" in capsys.readouterr().err and Path("out/mine.png").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--side", "0"], 2, "must be a whole number at least 1, found '0'"),
        (["-k", "0"], 2, "at least 1"),
        (["--same-person", "nan", "--per-person"], 2, "at least -1 and at most 1, found 'nan'"),
        (["--same-person", "2", "--per-person"], 2, "at most 1"),
        (["--same-person", "0.5"], 1, "--same-person is for --per-person"),
        (["--person-recognizer", "x"], 1, "--person-recognizer is for --per-person"),
        (["-o", "album/green.png"], 1, "the output album/green.png must be a folder"),
    ],
)
def test_options_of_best_that_make_no_sense(album, capsys, options, code, message):
    assert exit_code(["best", "album", *options]) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--min-eye-distance", "nan"), ("--max-dark", "nan"), ("--max-yaw", "-1"), ("--max-dark", "101")],
)
def test_limits_of_the_gate_that_make_no_sense(album, capsys, option, value):
    assert exit_code(["gate", "album", "--bands", "0", "1", option, value]) == 2
    assert f"{option}: must be a number at least 0" in capsys.readouterr().err


def test_nothing_to_choose_from(album):
    assert main(["best", "album/broken.png", "-o", "out"]) == 1
    assert table("out/best.csv") == []


def test_gate(album, capsys):
    options = ["--bands", "-0.8", "-0.5", "-o", "gate.csv"]
    assert main(["gate", "album", *options]) == 0
    found = {r["path"].removeprefix("album/"): (r["decision"], r["reasons"]) for r in table("gate.csv")}
    assert len(found) == 6
    assert (
        found["red 2.png"] == ("accept", "") and found["red 1.png"][1] == "quality -0.7647, at least -0.5 is asked for"
    )
    assert found["broken.png"] == ("reject", "unreadable: not an image of a known format, or empty")
    assert "2 faces found" in found["both.png"][1] and found["both.png"][0] == "reject"
    assert "2 accept, 2 review, 2 reject" in capsys.readouterr().err
    assert main(["gate", "album", "--strict", *options]) == 3
    assert main(["gate", "album/red 2.png", "--strict", "--bands", "-1", "-0.9", "-o", "gate.parquet"]) == 0
    assert main(["gate", "nowhere.png", *options]) == 1

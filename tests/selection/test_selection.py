"""Grouping, best shots, the gate, and their commands."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.cli import main
from difiqa_hf.detection import Detection, Face
from difiqa_hf.scoring import Bands, Crop, Row
from difiqa_hf.selection import Limits, group_faces, judge, select_best
from toys import Brightness


def row(path: str, quality: float | None, face: int = 0, status: str = "ok", reason: str = "") -> Row:
    return Row(Path(path), face, status, quality, None, "m", "r", reason)


def test_groups_are_persons_whatever_the_order():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(5), 8)
    centres = np.linalg.qr(rng.normal(size=(16, 5)))[0].T
    embeddings = centres[person] + 0.1 * rng.normal(size=(40, 16)) * rng.uniform(0.5, 1.5, (40, 1))
    quality, order = rng.normal(size=40), rng.permutation(40)
    found = group_faces(embeddings * rng.uniform(1, 30, (40, 1)), quality, 0.5)
    assert len(set(zip(found, person, strict=True))) == len(set(found)) == 5
    assert found[quality.argmax()] == 0
    np.testing.assert_array_equal(group_faces(embeddings[order], quality[order], 0.5), found[order])
    assert len(set(group_faces(embeddings, quality, 1.01))) == 40
    assert set(group_faces(embeddings, quality, -1)) == {0}


def test_the_best_are_chosen_once_per_image():
    rows = [row("a", 0.1), row("b", 0.9), row("b", 0.8, 1), row("c", 0.9), row("d", 0.5)]
    assert [(s.row.path.name, s.rank) for s in select_best(rows, 3)] == [("b", 1), ("c", 2), ("d", 3)]
    shots = select_best(rows, 1, np.array([0, 0, 1, 1, 1]))
    assert [(s.person, s.row.path.name, s.row.face) for s in shots] == [(0, "b", 0), (1, "c", 0)]
    assert select_best([], 3) == []


def crop(points=ARCFACE_TEMPLATE * 2, level: float = 0.0) -> Crop:
    return Crop(Path("a"), 0, "ok", torch.full((3, 112, 112), level), found=Face((0, 0, 90, 90), points, 0.9))


LIMITS = Limits(Bands(0.2, 0.6), {"min_eye_distance": 60, "max_yaw": 20, "max_dark": 10})


@pytest.mark.parametrize(
    ("quality", "cut", "decision", "reason"),
    [
        (0.7, crop(), "accept", None),
        (0.5, crop(), "review", "quality 0.5, at least 0.6 is asked for"),
        (0.1, crop(), "reject", "quality 0.1, at least 0.2 is asked for"),
        (0.7, crop(ARCFACE_TEMPLATE), "review", "inter-eye distance 35.2 px, at least 60 is asked for"),
        (0.7, crop(level=-1.0), "review", "under-exposure 100 %, at most 10 is asked for"),
        (0.7, crop(ARCFACE_TEMPLATE * 2 - np.eye(5)[2][:, None] * (30, 0)), "review", "degrees, at most 20 is asked"),
    ],
)
def test_decisions_and_their_reasons(quality, cut, decision, reason):
    found = judge(row("a", quality), cut, LIMITS)
    assert found.decision == decision
    assert (reason is None and not found.reasons) or any(reason in text for text in found.reasons)


def test_images_without_a_face_and_with_several():
    found = judge(row("a", None, None, "no_face", "no face found"), Crop(Path("a"), None, "no_face"), LIMITS)
    assert (found.decision, found.reasons) == ("reject", ("no_face: no face found",))
    several = row("a", 0.9, 0, "several_faces", "2 faces found")
    assert judge(several, crop(), LIMITS).reasons == ("2 faces found",)
    assert judge(several, crop(), Limits(LIMITS.bands, {}, one_face=False)).decision == "accept"
    unknown = judge(row("a", 0.9), Crop(Path("a"), 0, "ok", torch.zeros(3, 112, 112)), LIMITS)
    assert "inter-eye distance unknown: the image is a crop" in unknown.reasons


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
    assert "6 faces in 6 files; the 2 best in out" in capsys.readouterr().err


def test_best_of_each_person(album, capsys):
    assert main(["best", "album", "-k", "2", "--per-person", "--same-person", "0.9", "-o", "out"]) == 0
    found = [(r["person"], r["path"].removeprefix("album/"), r["face"]) for r in table("out/best.csv")]
    assert found == [("1", "red 2.png", "0"), ("1", "red 3.png", "0"), ("2", "both.png", "1"), ("2", "green.png", "0")]
    assert "6 faces of 2 persons" in capsys.readouterr().err
    assert Path("out/person-002_rank-001.png").exists()


def test_when_two_faces_are_one_person_is_not_invented(album, capsys):
    assert main(["best", "album", "--per-person", "-o", "out"]) == 1
    assert "name it by --same-person" in capsys.readouterr().err


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


def test_groups_of_what_is_no_embedding():
    with pytest.raises(ValueError, match=r"found shapes \(3, 2\) and \(2,\)"):
        group_faces(np.zeros((3, 2)), [0, 1], 0.5)
    with pytest.raises(ValueError, match="those of 2 of 3 faces are not"):
        group_faces([[1, np.nan], [0, 1], [1, 1]], [0, 1, np.nan], 0.5)


def test_limits_of_bands_are_numbers():
    for limits in (("a", "b"), (0.1, None)):
        with pytest.raises(ValueError, match="the limits of bands are scores"):
            Bands(*limits)
    with pytest.raises(ValueError, match="FAIL must not end"):
        Bands(float("nan"), 1)

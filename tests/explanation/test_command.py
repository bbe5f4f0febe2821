"""`difiqa explain`: crops, photographs, members of archives, and options that do what they say."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from difiqa_hf.alignment import ARCFACE_TEMPLATE, align
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import LANDMARKS, portrait
from difiqa_hf.detection import Detection, Face
from difiqa_hf.explanation import restoration
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.metrics import ThresholdCard
from toys import Brightness, toy_pipeline

pytest.importorskip("matplotlib")


class TwoFaces:
    """Finds the face of the portrait and, as the second one, a part of the picture above on the left."""

    def detect(self, image):
        faces = Face((178, 65, 91, 111), LANDMARKS, 0.9), Face((0, 0, 60, 60), ARCFACE_TEMPLATE / 2, 0.9)
        return Detection("several_faces", faces, "2 faces found")


@pytest.fixture(autouse=True)
def asked(tmp_path, monkeypatch):
    """A folder with a crop and a photograph; what `create_method` was asked for."""
    asked = {}

    def create(name, **options):
        asked.update(options)
        return Brightness()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difiqa_hf.methods.create_method", create)
    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    monkeypatch.setattr("difiqa_hf.cli.common.make_detector", lambda args: TwoFaces() if args.detect else None)
    portrait().resize((112, 112)).save("=crop,.png")
    portrait().save("photo.png")
    return asked


def content(name: str) -> dict:
    return json.loads((Path("out") / f"{name}.json").read_text(encoding="utf-8"))


def explained(*options: str) -> int:
    return main(["explain", *options, "-o", "out"])


def test_of_a_crop(asked, capsys):
    assert explained("=crop,.png", "--aligned", "--num-repeats", "2") == 0
    printed = capsys.readouterr().out
    assert "lacks" in printed and "mirror: " in printed and "Sharpness" in printed
    assert "the card of these weights has no parts" in printed
    found = content("=crop,.png")
    assert found["image"] == "=crop,.png" and len(found["measurements"]) == 7 and "face" not in found
    (pixel_values,) = FaceImageProcessor()("=crop,.png").pixel_values
    assert found["difiqa"]["quality"] == pytest.approx(restoration(toy_pipeline(), pixel_values, 2).quality, abs=1e-6)
    assert "num_repeats" not in asked, "the method has none; they are the restoration's"
    assert Path("out/=crop,.png.png").stat().st_size > 10_000


def test_without_diffusion():
    assert explained("=crop,.png", "--aligned", "--no-diffusion") == 0
    assert "difiqa" not in content("=crop,.png")


@pytest.mark.parametrize("landmarks", [5, 3])
@pytest.mark.parametrize("face", [0, 1])
def test_of_a_face_in_a_photograph(monkeypatch, landmarks, face):
    """Aligned by the points that the method asks for."""
    monkeypatch.setattr(Brightness, "landmarks", landmarks)
    assert explained("photo.png", "--face", str(face), "--no-diffusion") == 0
    found, points = content("photo.png"), (LANDMARKS, ARCFACE_TEMPLATE / 2)[face]
    crop = align(portrait(), points, landmarks=landmarks)
    assert found["quality"] == pytest.approx(np.asarray(crop, dtype=float).mean() / 127.5 - 1, abs=1e-6)
    np.testing.assert_allclose(found["face"]["points"], points)
    assert {"Inter-eye distance", "Margin above"} <= {measurement["name"] for measurement in found["measurements"]}


def test_of_a_member_of_an_archive(capsys):
    with zipfile.ZipFile("more.zip", "w") as archive:
        archive.write("=crop,.png", "a.png")
    assert explained("more.zip#a.png", "--aligned", "--no-diffusion") == 0
    assert content("more.zip#a.png")["image"] == "more.zip#a.png"
    for name in ("more.zip#b.png", "more.zip"):
        assert explained(name, "--aligned", "--no-diffusion") == 1
        assert f"name one of the images in more.zip, such as more.zip#a.png; found {name}" in capsys.readouterr().err
    Path("bad.zip").write_bytes(b"PK")
    assert explained("bad.zip#a.png", "--aligned", "--no-diffusion") == 1
    assert "unreadable: bad.zip#a.png: not a readable zip" in capsys.readouterr().err


def test_repeats_are_those_of_the_method_too(asked):
    assert explained("=crop,.png", "--aligned", "--no-diffusion", "--method", "difiqa", "--num-repeats", "1") == 0
    assert asked["num_repeats"] == 1


def test_percentile_by_a_calibration(capsys):
    ThresholdCard("brightness", "", "mine", np.array([-1, -0.99])).save("mine.json")
    assert explained("=crop,.png", "--aligned", "--no-diffusion", "--calibration", "mine.json") == 0
    assert content("=crop,.png")["percentile"] == 100
    ThresholdCard("other", "", "x", np.array([-1, 1])).save("other.json")
    assert explained("=crop,.png", "--aligned", "--no-diffusion", "--calibration", "other.json") == 1
    assert "the threshold card is for method other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere.png", "--aligned"], "no such file"),
        (["broken.png", "--aligned"], "not an image"),
        (["=crop,.png", "--aligned", "--face", "1"], "--face must be below 1, the number of faces found; found 1"),
        (["photo.png", "--face", "2"], "--face must be below 2"),
        (["=crop,.png", "--aligned", "--min-size", "200"], "too_small"),
        (["=crop,.png", "--no-diffusion", "--checkpoint", "x"], "leave out one of them"),
        (["=crop,.png", "--aligned", "-o", "photo.png"], "the output photo.png must be a folder"),
        (["=crop,.png", "--aligned", "-o", "photo.png/out"], "photo.png is a file"),
    ],
)
def test_what_cannot_be_explained(capsys, options, message):
    Path("broken.png").touch()
    assert main(["explain", *options]) == 1
    assert message in capsys.readouterr().err
    assert not Path("explanation").exists()


@pytest.mark.parametrize("option", ["--num-repeats", "--batch-size"])
def test_numbers_below_one(capsys, option):
    try:
        assert explained("=crop,.png", "--aligned", option, "0") == 1
    except SystemExit as error:
        assert error.code == 2
    assert "at least 1" in capsys.readouterr().err


def test_of_a_frame_of_a_video():
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (112, 112))
    for level in range(0, 250, 25):
        writer.write(np.full((112, 112, 3), level, np.uint8))
    writer.release()
    assert explained("clip.avi#4", "--aligned", "--no-diffusion") == 0
    assert content("clip.avi#4")["quality"] == pytest.approx(100 / 127.5 - 1, abs=0.02)

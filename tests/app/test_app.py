"""What the page does, without a browser."""

import csv
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.alignment import align
from difiqa_hf.app.analysis import Analyser
from difiqa_hf.app.page import limits, serve
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import LANDMARKS, portrait
from difiqa_hf.detection import Detection, Face
from difiqa_hf.metrics import ErrorsAbove, ThresholdCard
from toys import Brightness, toy_pipeline


class OneFace:
    """Finds the face of the portrait."""

    calls = 0

    def detect(self, image):
        type(self).calls += 1
        return Detection("ok", (Face((178, 65, 91, 111), LANDMARKS, 0.9),))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in {"dark": 20, "=light": 220}.items():
        Image.new("RGB", (112, 112), (level,) * 3).save(f"{name}.png")
    Path("broken.png").touch()
    return [str(tmp_path / name) for name in ("dark.png", "broken.png", "=light.png")]


def test_ranking_pictures_and_csv(files):
    analyser = Analyser(Brightness())
    found = analyser.analyse(files)
    assert [row.path.name for row in found.rows] == ["=light.png", "dark.png", "broken.png"]
    assert [picture.getpixel((5, 5))[0] for picture in found.pictures] == [220, 20]
    with found.csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == ["./=light.png", "dark.png", "broken.png"]  # no folder of the server
    assert rows[2]["status"] == "unreadable" and rows[2]["quality"] == ""


def test_faces_of_photographs(tmp_path):
    photo = tmp_path / "portrait.png"
    portrait().save(photo)
    analyser = Analyser(Brightness(), OneFace())
    (picture,) = analyser.analyse([str(photo)]).pictures
    assert max(picture.size) < 200  # the face with room around it, in its own pixels
    (crop,) = analyser.analyse([str(photo)], photographs=False).pictures
    assert crop.size == (256, 256)


@pytest.mark.parametrize("landmarks", [5, 3])
def test_faces_are_aligned_by_the_points_that_the_method_asks_for(tmp_path, monkeypatch, landmarks):
    monkeypatch.setattr(Brightness, "landmarks", landmarks)
    portrait().save(tmp_path / "portrait.png")
    (row,) = Analyser(Brightness(), OneFace()).analyse([str(tmp_path / "portrait.png")]).rows
    crop = align(portrait(), LANDMARKS, landmarks=landmarks)
    assert row.quality == pytest.approx(np.asarray(crop, dtype=float).mean() / 127.5 - 1, abs=1e-6)


def test_every_file_is_read_and_searched_once(tmp_path, monkeypatch):
    portrait().save(tmp_path / "portrait.png")
    monkeypatch.setattr(OneFace, "calls", 0, raising=False)
    Analyser(Brightness(), OneFace()).analyse([str(tmp_path / "portrait.png")])
    assert OneFace.calls == 1


@pytest.mark.parametrize("photographs", [True, False])
def test_the_sheet_of_a_face(tmp_path, monkeypatch, photographs):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    photo = tmp_path / "portrait.png"
    portrait().save(photo)
    analyser, batches = Analyser(Brightness(), OneFace()), []
    (row,) = analyser.analyse([str(photo)], photographs).rows
    sheet, words = analyser.explain(row, photographs, lambda parts: batches.extend(parts) or parts)
    assert sheet.size[0] > 2000 and sum(map(len, batches)) == 169 and words[0].startswith("brightness ")
    photo.unlink()
    with pytest.raises(ValueError, match="is no longer there as it was"):
        analyser.explain(row, photographs)
    del analyser
    assert list((tmp_path / "temporary").iterdir()) == [], "its files go with it"


def test_people_do_not_wait_for_ten_repeats(monkeypatch):
    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    assert Analyser("difiqa").method.options["num_repeats"] == 1


def test_limits_say_what_they_do_to_a_recogniser():
    card = ThresholdCard.from_scores(np.linspace(0, 1, 101), reference="101 made-up numbers")
    assert limits(None) is None and "FNMR" not in limits(card) and "| 5 % | 0.0500 |" in limits(card)
    columns = [np.linspace(0.02, 0.001, 101), np.zeros(101), np.full(101, 0.03), np.full(101, 900)]
    entry = ErrorsAbove("pairs", "toy", "", 0.001, 0.3, 1000, 1000, *columns, 0.95, "comparison", 100)
    text = limits(card.with_errors(entry))
    assert (
        "| 0 % | 0.0000 | 2.00 % (0.00 to 3.00) |" in text
        and "pairs compared by toy, with one false match in 1000" in text
    )


def test_the_address_must_be_free_and_of_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ValueError, match=f"cannot serve at 127.0.0.1, port {port} .*; name another --host or --port"
        ):
            serve(None, port=port)
    with pytest.raises(ValueError, match="name another --host or --port"):
        serve(None, "192.0.2.1")


@pytest.mark.parametrize("port", ["99999999", "-1", "0", "x"])
def test_ports_that_are_none(port, capsys):
    with pytest.raises(SystemExit) as wrong:
        main(["app", "--port", port])
    assert wrong.value.code == 2 and "--port: must be a whole number" in capsys.readouterr().err


def test_the_page_needs_its_extra(monkeypatch):
    from difiqa_hf.app.page import build_page

    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"difiqa-hf\[demo\]"):
        build_page(Analyser(Brightness()))

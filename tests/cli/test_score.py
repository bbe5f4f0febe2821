import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile import picture, write_hostile_folder
from PIL import Image

import toys
from difiqa_hf import scoring
from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import portrait
from difiqa_hf.detection import MODEL_VARIABLE, Detection, Face


class TwoFaces:
    """A detector that finds the same two faces everywhere."""

    def detect(self, image):
        boxes = ((0, 0, 112, 112), (0, 0, 50, 50))
        return Detection("several_faces", tuple(Face(box, ARCFACE_TEMPLATE, 0.9) for box in boxes), "2 faces found")


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_hostile_folder(in_folder, brightness, capsys):
    expected = write_hostile_folder(Path("images"))
    assert main(["score", "images", "-o", "scores.csv"]) == 0
    rows = read(Path("scores.csv"))
    assert {row["path"].removeprefix("images/"): row["status"] for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert (row["quality"] != "") == (row["face"] == "0") == (row["status"] == "ok")
        assert (row["method"], row["revision"]) == ("brightness", "0123456789ab")
    stderr = capsys.readouterr().err
    assert "10 images: 5 ok, 1 too_small, 4 unreadable; 10 rows in scores.csv" in stderr.splitlines()[-1]
    assert "400 megapixels, at most 100 are read" in stderr and "1 x 1 pixels" in stderr and "Traceback" not in stderr
    assert "method brightness 0123456789ab, device" in stderr


def test_qualities_and_percentiles(in_folder, brightness):
    Image.new("RGB", (112, 112), (51, 51, 51)).save("dark.png")
    assert main(["score", "dark.png", "-o", "scores.csv"]) == 0
    assert Path("scores.csv").read_text() == (
        "path,face,status,quality,percentile,method,revision\ndark.png,0,ok,-0.6,20.0,brightness,0123456789ab\n"
    )


def test_stdout_by_default(in_folder, brightness, capsys):
    picture().save("a.png")
    assert main(["score", "a.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("a.png,0,ok,")


def test_order_is_that_of_names_and_batches_do_not_matter(in_folder, brightness):
    for name in ("b.png", "A.png", "z/b.jpeg", "c/d/e.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed=len(name)).save(name)
    results = []
    for size in (1, 3, 32):
        assert main(["score", ".", "-o", "scores.csv", "--batch-size", str(size)]) == 0
        results.append(read(Path("scores.csv")))
        Path("scores.csv").unlink()
    assert results[0] == results[1] == results[2]
    assert [row["path"] for row in results[0]] == ["A.png", "b.png", "c/d/e.bmp", "z/b.jpeg"]
    assert brightness.calls == [1, 1, 1, 1, 3, 1, 4]


def test_a_file_given_twice_is_one_row(in_folder, brightness):
    picture().save("a.png")
    main(["score", "a.png", ".", "-o", "scores.csv"])
    assert len(read(Path("scores.csv"))) == 1


def test_explicit_files_need_no_extension_and_folders_skip_others(in_folder, brightness):
    picture().save("face.data", "PNG")
    assert main(["score", "face.data", "-o", "scores.csv"]) == 0
    assert read(Path("scores.csv"))[0]["status"] == "ok"
    assert main(["score", ".", "-o", "scores.csv"]) == 1  # nothing to score
    assert read(Path("scores.csv")) == []


def test_a_path_that_does_not_exist_is_a_row_and_exit_code_one(in_folder, brightness, capsys):
    picture().save("a.png")
    assert main(["score", "nowhere.png", "a.png", "-o", "scores.csv"]) == 1
    assert [row["status"] for row in read(Path("scores.csv"))] == ["unreadable", "ok"]
    assert "'nowhere.png': no such file" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_names_that_are_no_text(in_folder, brightness):
    picture().save("a.png")
    Path("images").mkdir()
    name = b"images/\xff\xfe.png"
    Path(os.fsdecode(name)).write_bytes(Path("a.png").read_bytes())
    assert main(["score", "images", "-o", "scores.csv"]) == 0
    assert name in Path("scores.csv").read_bytes()
    assert Path(read(Path("scores.csv"))[0]["path"]).exists()


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM.png", "\t.png"])
def test_no_cell_is_a_formula(name):
    assert scoring.path_cell(Path(name)) == f"./{name}"
    assert Path(scoring.path_cell(Path(name))) == Path(name)


def test_other_cells_are_left_alone():
    assert scoring.path_cell(Path("/data/=1.png")) == "/data/=1.png"


def test_a_pipe_does_not_block(in_folder, brightness):
    os.mkfifo("pipe.png")
    assert main(["score", ".", "-o", "scores.csv"]) == 0
    assert read(Path("scores.csv"))[0]["status"] == "unreadable"


def test_larger_images_can_be_allowed(in_folder, brightness):
    Image.new("1", (1200, 1000)).save("a.png")
    for limit, status in (("1", "unreadable"), ("1.3", "ok")):
        main(["score", "a.png", "-o", "scores.csv", "--max-megapixels", limit])
        assert read(Path("scores.csv"))[0]["status"] == status


def test_every_face_has_its_row(tmp_path):
    picture().save(tmp_path / "two.png")
    rows = list(scoring.score_files([tmp_path / "two.png"], toys.Brightness(), detector=TwoFaces()))
    assert [(row.face, row.status) for row in rows] == [(0, "several_faces"), (1, "several_faces")]
    assert all(isinstance(row.quality, float) for row in rows)


def test_a_method_has_its_faces_aligned_by_its_landmarks(tmp_path):
    class Turned(TwoFaces):
        def detect(self, image):
            points = ARCFACE_TEMPLATE + np.array([(0, 0), (0, 0), (20, 0), (0, 0), (0, 0)])  # the nose aside
            return Detection("ok", (Face((0, 0, 112, 112), points, 0.9),), "")

    class ByThree(toys.Brightness):
        landmarks = 3

    portrait().save(tmp_path / "face.png")
    five, three = (
        next(iter(scoring.score_files([tmp_path / "face.png"], method, detector=Turned()))).quality
        for method in (toys.Brightness(), ByThree())
    )
    crop = portrait().crop((0, 0, 112, 112))  # by three points, the template lies on itself
    expected = torch.tensor(np.asarray(crop, dtype=np.float32) / 127.5 - 1).mean().item()
    assert three == pytest.approx(expected, abs=1e-3) and abs(five - three) > 1e-3


def test_nothing_is_read_ahead_of_the_batch(tmp_path):
    """Memory is bounded: the next file is opened only when the batch before it is scored."""
    opened = []

    def paths():
        for i in range(6):
            path = tmp_path / f"{i}.png"
            picture(seed=i).save(path)
            opened.append(i)
            yield path

    rows = scoring.score_files(paths(), toys.Brightness(), batch_size=2)
    next(rows)
    assert opened == [0, 1]


def test_output_is_complete_or_partial(in_folder, brightness, monkeypatch):
    picture().save("a.png")
    Path("scores.csv").write_text("old")

    def fail(pixel_values):
        raise torch.cuda.OutOfMemoryError("no memory")

    monkeypatch.setattr(brightness, "score", fail)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        main(["score", "a.png", "-o", "scores.csv"])
    assert Path("scores.csv").read_text() == "old"
    assert Path("scores.csv.partial").read_text() == ",".join(scoring.COLUMNS) + "\n"


def test_an_output_that_cannot_be_written_is_found_first(in_folder, brightness, capsys):
    picture().save("a.png")
    Path("folder").mkdir()
    for name, message in (("folder", "folder is a folder"), ("nowhere/scores.csv", "no folder nowhere to write")):
        assert main(["score", "a.png", "-o", name]) == 1
        assert message in capsys.readouterr().err
    assert brightness.calls == []


def test_an_unreadable_folder_is_a_row(tmp_path, monkeypatch):
    def walk(top, onerror):
        onerror(PermissionError(13, "denied", str(tmp_path / "secret")))
        yield str(tmp_path), [], ["a.png"]

    monkeypatch.setattr(os, "walk", walk)
    assert list(scoring.find_images([tmp_path])) == [tmp_path / "a.png", tmp_path / "secret"]


def test_detect_on_photographs(in_folder, brightness, shared, monkeypatch, capsys):
    pytest.importorskip("cv2")
    pytest.importorskip("skimage")
    monkeypatch.setenv(MODEL_VARIABLE, str(shared / "weights" / "yunet" / "yunet_n_640_640.onnx"))
    Path("photos").mkdir()
    photo = portrait()
    photo.save("photos/astronaut.jpg")
    photo.crop((0, 250, 200, 512)).save("photos/no face.jpg")
    photo.resize((80, 80)).save("photos/tiny.jpg")
    Path("photos/broken.jpg").touch()
    assert main(["score", "photos", "--detect", "-o", "scores.csv"]) == 0
    statuses = {Path(row["path"]).name: row["status"] for row in read(Path("scores.csv"))}
    assert statuses == {
        "astronaut.jpg": "ok", "no face.jpg": "no_face", "tiny.jpg": "too_small", "broken.jpg": "unreadable"
    }  # fmt: skip
    assert "4 images: 1 ok, 1 no_face, 1 too_small, 1 unreadable" in capsys.readouterr().err


@pytest.mark.parametrize("other", [[], ["a.png"]])
def test_folders_without_an_image_are_named(in_folder, brightness, capsys, other):
    picture().save("a.png")
    for name in ("empty", "others"):
        Path(name).mkdir()
    Path("others/photos.zip").touch()
    assert main(["score", "empty", *other, "others", "-o", "scores.csv"]) == 1
    assert len(read(Path("scores.csv"))) == len(other)
    assert "note: no image in empty, others (zips and videos are read only if" in capsys.readouterr().err


def test_what_images_are_taken_for_is_said_first(in_folder, brightness, capsys):
    picture().save("a.png")
    main(["score", "a.png"])
    assert capsys.readouterr().err.splitlines()[0].endswith("images are aligned crops")


def test_images_that_are_no_crops_are_counted(in_folder, brightness, capsys):
    picture().save("a.png")
    picture().resize((64, 48)).save("b.png")
    assert main(["score", "a.png", "b.png", "-o", "scores.csv"]) == 0
    assert "note: not square, as aligned crops are: 1 of the images; --detect" in capsys.readouterr().err


def test_a_result_of_any_name_is_replaced_by_the_next(in_folder, brightness, capsys):
    picture().save("a.png")
    for name, options in (("result", []), ("result.log", ["--format", "jsonl"])):
        for _ in range(2):
            assert main(["score", "a.png", "-o", name, *options]) == 0
    Path("notes.log").write_text("precious")
    assert main(["score", "a.png", "-o", "notes.log"]) == 1
    assert "notes.log is there already" in capsys.readouterr().err

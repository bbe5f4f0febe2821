"""One image in any form, and columns of data sets."""

import io
import threading
from pathlib import Path

import datasets
import dill
import numpy as np
import pytest
from datasets.fingerprint import Hasher
from PIL import Image

from difiqa_hf import BatchScorer
from difiqa_hf.detection import Detection, FaceDetector
from difiqa_hf.scoring.scorer import FaceScorer
from toys import Brightness


class Finds:
    def detect(self, image):
        return Detection("no_face")


@pytest.fixture
def scorer():
    return FaceScorer(Brightness())


def grey(value: int = 51) -> Image.Image:
    return Image.new("RGB", (112, 112), (value,) * 3)


def test_every_form_of_an_image_gives_one_score(scorer, tmp_path):
    path, buffer = tmp_path / "grey.png", io.BytesIO()
    grey().save(path)
    grey().save(buffer, "PNG")
    data = buffer.getvalue()
    forms = [path, str(path), data, grey(), np.asarray(grey()), {"bytes": data, "path": None}, {"path": str(path)}]
    rows = scorer.many(forms)
    assert {row.status for row in rows} == {"ok"} and [row.quality for row in rows] == pytest.approx([-0.6] * len(rows))
    assert rows[0].percentile == pytest.approx(20) and rows[0].path == path
    assert scorer(path) == rows[0] == scorer.faces(path)[0]


BAD = [(None, "unreadable"), (b"", "unreadable"), (b"no", "unreadable"), ("nowhere.png", "unreadable"),
       ("", "unreadable"), (7, "unreadable"), ({"bytes": None, "path": None}, "unreadable"),
       (np.zeros((3, 3)), "unreadable"), (np.zeros((3, 3), np.uint8), "too_small")]  # fmt: skip


@pytest.mark.parametrize(("bad", "status"), BAD)
def test_what_is_no_image_has_a_reason(scorer, bad, status):
    row = scorer(bad)
    assert (row.status, row.quality) == (status, None) and row.reason


def test_the_reason_says_what_would_do(scorer):
    assert "uint8 with levels from 0 to 255, found float64" in scorer(np.zeros((112, 112, 3))).reason
    assert "a PIL image or a uint8 array, found a int" in scorer(7).reason


def test_a_data_set_with_a_broken_image(scorer):
    buffer = io.BytesIO()
    grey().save(buffer, "PNG")
    images = [{"bytes": buffer.getvalue(), "path": None}, {"bytes": b"broken", "path": None}]
    data = datasets.Dataset.from_dict({"image": images}).cast_column("image", datasets.Image(decode=False))
    scored = data.map(scorer.column("image"), batched=True, batch_size=2)
    assert scored["status"][:] == ["ok", "unreadable"]
    assert scored["quality"][0] == pytest.approx(-0.6) and scored["quality"][1] is None
    decoded = data.select([0]).cast_column("image", datasets.Image()).map(scorer.column(), batched=True)
    assert decoded["quality"][0] == scored["quality"][0]


ONE = ["crops/00.jpg", b"bytes", {"path": "a.png"}, grey(), np.asarray(grey()), np.asarray(grey())[..., 0]]


@pytest.mark.parametrize("image", ONE)
def test_one_image_is_not_taken_for_many(scorer, image):
    with pytest.raises(TypeError, match=f"several images, found one {type(image).__name__}; wrap it in a list"):
        scorer.many(image)


def test_a_stack_is_many(scorer):
    assert len(scorer.many(np.stack([np.asarray(grey())] * 3))) == 3
    grey_ones = BatchScorer("image", method=Brightness())({"image": np.zeros((2, 112, 112), np.uint8)})
    assert grey_ones["status"].tolist() == ["ok", "ok"]


@pytest.mark.parametrize("value", [*ONE[:4], None])
def test_columns_are_checked(scorer, value):
    add = scorer.column("image")
    if value is not None:
        with pytest.raises(ValueError, match=f"came as one {type(value).__name__}: pass batched=True"):
            add({"image": value})
    with pytest.raises(ValueError, match="no column 'image', only photo"):
        add({"photo": [value]})
    with pytest.raises(ValueError, match="a column quality already"):
        add({"image": [value], "quality": [1]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": None}, "must be the name of one or a QualityMethod, found a NoneType"),
        ({"method": Path("difiqa-r")}, "found a PosixPath|found a WindowsPath"),
        ({"seed": 5, "foo": 1}, "seed, foo: options are for the name of a method; give them to brightness itself"),
        ({"detect": "yes"}, "detect must be True, False or a FaceDetector, found 'yes'"),
        ({"detect": 1}, "found 1"),
        ({"detect": Finds(), "min_size": 1000}, r"FaceDetector\(min_size=1000\)"),
        ({"min_size": float("nan")}, "min_size must be a number, at least 0, found nan"),
        ({"min_size": "x"}, "min_size must be a number"),
        ({"max_megapixels": "x"}, "max_megapixels must be a number above 0, found 'x'"),
        ({"max_megapixels": 0}, "found 0"),
        ({"batch_size": -1}, "batch_size must be a whole number, at least 1, found -1"),
        ({"batch_size": True}, "found True"),
        ({"batch_size": 1.5}, "found 1.5"),
        ({"method": "random", "seed": 1.5}, "random takes a whole number as seed, found 1.5"),
        ({"method": "random", "seed": None}, "found None"),
        ({"method": "random", "seed": True}, "found True"),
        ({"method": "random", "device": "gpu"}, "no device 'gpu' here"),
        ({"method": "random", "foo": 1}, "random has no option foo; it has seed, recognizer, device"),
        ({"method": "mirror", "num_repeats": 3}, "mirror has no repeats; leave out --num-repeats"),
        ({"method": "difiqa-r="}, "'difiqa-r=' names no checkpoint"),
    ],
)
def test_options_without_a_meaning_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        FaceScorer(**{"method": Brightness()} | options)


def test_a_batch_scorers_device_is_for_the_name_of_a_method():
    with pytest.raises(ValueError, match="device 'cpu' is for the name of a method"):
        BatchScorer(method=Brightness(), device="cpu")


def test_a_scorer_with_a_detector_goes_to_other_processes(tmp_path, monkeypatch):
    """As `datasets` does for num_proc and for the name of its cache."""
    monkeypatch.setattr(
        "difiqa_hf.detection._load_yunet", lambda *options: threading.Lock()
    )  # nothing to pickle either
    (tmp_path / "yunet.onnx").touch()
    scorer = FaceScorer(Brightness(), detect=FaceDetector(tmp_path / "yunet.onnx", min_size=33))
    copy = dill.loads(dill.dumps(scorer))
    assert copy.detector.min_size == 33 and copy.detector._network() is not scorer.detector._network()
    assert Hasher.hash(scorer.column()) == Hasher.hash(scorer.column()) == Hasher.hash(copy.column())

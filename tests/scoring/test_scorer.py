"""One image in any form, and columns of data sets."""

import io

import datasets
import numpy as np
import pytest
from PIL import Image

from difiqa_hf.scoring.scorer import FaceScorer
from toys import Brightness


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


@pytest.mark.parametrize(
    "bad", [None, b"", b"no", "nowhere.png", np.zeros((3, 3)), "", 7, {"bytes": None, "path": None}]
)
def test_what_is_no_image_has_a_reason(scorer, bad):
    row = scorer(bad)
    assert (row.status, row.quality) in [("unreadable", None), ("too_small", None)] and row.reason


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

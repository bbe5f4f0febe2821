"""Grouping, best shots, the gate."""

from pathlib import Path

import numpy as np
import pytest
import torch

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.detection import Face
from difiqa_hf.scoring import Bands, Crop, Row
from difiqa_hf.selection import Limits, group_faces, judge, select_best


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

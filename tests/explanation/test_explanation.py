"""Pose, measurements, the parts of Eq. 7, maps, the sheet."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import portrait
from difiqa_hf.detection import Face
from difiqa_hf.explanation import Shortfall, explain, head_pose, measure, occlusion_map, reference_parts, restoration
from difiqa_hf.explanation.pose import FACE
from difiqa_hf.metrics import ThresholdCard
from toys import Brightness, toy_faces, toy_pipeline


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turned to the viewer's right, then up, then clockwise, in degrees; x right, y down, z away."""
    y, p, r = np.radians((yaw, pitch, roll))
    turn = np.array([(np.cos(y), 0, -np.sin(y)), (0, 1, 0), (np.sin(y), 0, np.cos(y))])
    nod = np.array([(1, 0, 0), (0, np.cos(p), np.sin(p)), (0, -np.sin(p), np.cos(p))])
    tilt = np.array([(np.cos(r), -np.sin(r), 0), (np.sin(r), np.cos(r), 0), (0, 0, 1)])
    return tilt @ nod @ turn


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (30, 0, 0), (-50, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 35), (0, 0, -80)]
)
def test_pose_of_a_projected_head(angles):
    points = (FACE @ rotation(*angles).T)[:, :2] * 80 + (300, 200)
    assert head_pose(points) == pytest.approx(angles, abs=1e-6)


def test_signs_of_the_pose():
    """The nose moves to where the face looks."""
    straight, nose = 35 * FACE[:, :2], np.arange(5)[:, None] == 2
    assert head_pose(straight) == pytest.approx((0, 0, 0), abs=1e-6)
    assert head_pose(straight + nose * (8, 0))[0] > 10 and head_pose(straight - nose * (0, 6))[1] > 5


def values(crop: Image.Image, *where) -> dict[str, float]:
    return {measurement.name: measurement.value for measurement in measure(crop, *where)}


def test_measurements_move_as_their_names_say():
    photo = portrait().resize((112, 112))
    plain = values(photo)
    blurred = values(photo.resize((20, 20)).resize((112, 112)))
    dark, bright = values(photo.point(lambda v: v // 20)), values(photo.point(lambda v: min(255, 5 * v)))
    assert blurred["Sharpness"] < 0.2 * plain["Sharpness"]
    assert dark["Under-exposure"] == 100 and dark["Dynamic range"] < plain["Dynamic range"] < 8
    assert bright["Over-exposure"] > 40 and bright["Luminance mean"] > plain["Luminance mean"] > dark["Luminance mean"]
    flat = values(Image.new("RGB", (112, 112), (90,) * 3))
    assert flat["Illumination uniformity"] == 1 and flat["Dynamic range"] == flat["Sharpness"] == 0
    half = photo.copy()
    half.paste((255,) * 3, (56, 0, 112, 112))
    assert values(half)["Illumination uniformity"] < 0.2
    assert not {"Inter-eye distance", "Margin above"} & plain.keys()


def test_geometry_is_that_of_the_photograph():
    face = Face((40, 30, 100, 120), ARCFACE_TEMPLATE * 2, 0.9)
    found = values(portrait().resize((112, 112)), face, (300, 200))
    assert found["Inter-eye distance"] == pytest.approx(2 * 35.24, abs=0.01)
    unit = found["Inter-eye distance"]
    margins = [found[f"Margin {side}"] * unit for side in ("leftward", "above", "rightward", "below")]
    assert margins == pytest.approx([40, 30, 160, 50])


def test_the_parts_add_up_to_what_is_missing():
    terms = {"noisy": 0.99, "restored": 0.97, "noisy_flipped": 0.9, "restored_flipped": 0.8}
    parts = Shortfall.of(terms)
    assert parts.noise + parts.restoration + parts.mirror == pytest.approx(1 - np.mean(list(terms.values())))
    assert (parts.noise, parts.restoration, parts.mirror) == pytest.approx((0.005, 0.015, 0.065))
    assert parts.most_unusual(None) is None


def test_the_part_that_fell_is_the_most_unusual_one():
    pipeline, faces = toy_pipeline(), toy_faces(4)
    quantiles = reference_parts(pipeline, faces.split(3), num_repeats=1, points=5)
    out = pipeline(faces, num_repeats=1)
    noise = [(1 - value) / 2 for value in out.terms[:, 0].tolist()]
    assert (quantiles["noise"][0], quantiles["noise"][-1]) == pytest.approx((min(noise), max(noise)), abs=1e-6)
    parts = {"noise": np.array([0, 0.01]), "restoration": np.array([0, 0.1]), "mirror": np.array([0.05, 0.2])}
    card = ThresholdCard("difiqa", "", "x", np.array([0, 1]), parts=parts)
    assert Shortfall(0.009, 0.03, 0.06).most_unusual(card) == "noise"
    assert card.part_percentile("restoration", 0.03) == pytest.approx(30)
    assert card.part_percentile("other", 1) is None


def test_restoration_is_that_of_the_pipeline():
    pipeline, (face, *_) = toy_pipeline(), toy_faces()
    found = restoration(pipeline, face, num_repeats=3, seed=5)
    out = pipeline(face[None], num_repeats=3, seed=5)
    assert found.quality == out.quality.item() and list(found.terms.values()) == out.terms[0].tolist()
    assert found.restored.shape == (3, 112, 112) and found.residual.shape == (112, 112)
    seen = []
    pipeline(face[None], num_repeats=3, seed=5, batch_size=4, callback=lambda step: seen.append(step))
    images = [x for step in seen for x, row in zip(step["restored"], step["rows"], strict=True) if not row[2]]
    assert len(images) == 3
    torch.testing.assert_close(found.restored, torch.stack(images).mean(0), atol=1e-5, rtol=0)
    change = (torch.stack(images) - face).abs().mean((0, 1)) / 2
    np.testing.assert_allclose(found.residual, change.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="explained for variant 'paper'"):
        restoration(toy_pipeline(variant="released"), face)


def test_occlusion_shows_the_pixels_that_matter():
    class Corner(Brightness):
        """The mean of the 28 x 28 pixels above on the left."""

        def score(self, pixel_values):
            return pixel_values[:, :, :28, :28].mean(dim=(1, 2, 3))

    drop = occlusion_map(Corner(), torch.ones(3, 112, 112))
    assert drop.shape == (112, 112) and (drop[:24, :24] > 0.05).all()
    assert (drop[48:] == 0).all() and (drop[:, 48:] == 0).all()
    assert occlusion_map(Corner(), torch.ones(3, 112, 112), patch=112)[0, 0] == pytest.approx(1)


@pytest.fixture(scope="module")
def explanation():
    photo, points = portrait(), (ARCFACE_TEMPLATE - 56) * 1.3 + (225, 120)
    face = Face((180, 60, 90, 110), points, 0.9)
    crop = photo.crop((170, 50, 282, 162))
    return explain(crop, toy_faces(1)[0], Brightness(), toy_pipeline(), photo, face, num_repeats=2)


def test_the_report_is_json(explanation):
    content = json.loads(json.dumps(explanation.report(), allow_nan=False))
    assert content["method"] == "brightness" and set(content["difiqa"]["shortfall"]) == {
        "noise",
        "restoration",
        "mirror",
    }
    assert np.shape(content["occlusion"]) == np.shape(content["difiqa"]["restoration_residual"]) == (14, 14)
    assert "do not conform" in content["note"] and len(content["measurements"]) == 15


def test_the_sheet_is_drawn(explanation, tmp_path):
    pytest.importorskip("matplotlib")
    from difiqa_hf.explanation.sheet import draw_sheet, headline
    from difiqa_hf.plots import save

    figure = draw_sheet(explanation)
    titles = {axes.get_title() for axes in figure.axes}
    assert {
        "photograph",
        "aligned face",
        "if this were covered",
        "restored by DifFIQA",
        "change by restoring",
    } <= titles
    assert "better than" in headline(explanation)
    save(figure, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").size[0] > 2000


def test_squares_that_cover_nothing_or_not_all_are_refused():
    for options in ({"patch": 0}, {"patch": 200}, {"stride": 0}, {"patch": 8, "stride": 50}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="1 <= stride <= patch <= 112"):
            occlusion_map(Brightness(), torch.ones(3, 112, 112), **options)
    batches = []
    occlusion_map(
        Brightness(), torch.ones(3, 112, 112), batch_size=100, progress=lambda parts: batches.extend(parts) or parts
    )
    assert [len(batch) for batch in batches] == [100, 69]


def test_measurements_are_of_an_aligned_crop():
    with pytest.raises(ValueError, match="112 x 112 pixels, found 224 x 100"):
        measure(Image.new("RGB", (224, 100)))


@pytest.mark.parametrize(("name", "message"), [("nowhere.png", "no such file"), ("broken.png", "not an image")])
def test_images_that_cannot_be_explained(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Brightness())
    (tmp_path / "broken.png").touch()
    assert main(["explain", str(tmp_path / name), "--aligned"]) == 1
    assert message in capsys.readouterr().err

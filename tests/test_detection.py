import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.demo.versions import LANDMARKS, portrait
from difiqa_hf.detection import MODEL_FILE, MODEL_VARIABLE, FaceDetector, _face

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def yunet(shared):
    return shared / "weights" / "yunet" / "yunet_n_640_640.onnx"


@pytest.fixture(scope="module")
def detector(yunet):
    return FaceDetector(yunet)


@pytest.fixture(scope="module")
def photo():
    pytest.importorskip("skimage")
    return portrait()


def test_one_face_with_its_points(detector, photo):
    found = detector.detect(photo)
    assert (found.status, found.reason, len(found.faces)) == ("ok", "", 1)
    np.testing.assert_allclose(found.faces[0].points, LANDMARKS, atol=3)
    assert found.faces[0].confidence > 0.8


def test_arrays_are_rgb_and_give_the_same(detector, photo):
    np.testing.assert_array_equal(
        detector.detect(np.asarray(photo)).faces[0].points, detector.detect(photo).faces[0].points
    )


@pytest.mark.parametrize("factor", [0.25, 3, 6])
def test_points_are_in_pixels_of_the_image_whatever_its_size(detector, photo, factor):
    side = int(512 * factor)
    found = detector.detect(photo.resize((side, side), Image.Resampling.BICUBIC))
    assert found.status == "ok"
    np.testing.assert_allclose(found.faces[0].points / factor, LANDMARKS, atol=8)


def test_no_face(detector, photo):
    found = detector.detect(photo.crop((0, 250, 200, 512)))
    assert (found.status, found.faces, found.reason) == ("no_face", (), "no face found")


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 700)])
def test_odd_images_have_no_face(detector, size):
    assert detector.detect(Image.new("RGB", size)).status == "no_face"


def test_several_faces_largest_first(detector, photo):
    pair = Image.new("RGB", (800, 512))
    pair.paste(photo.resize((300, 300)), (0, 0))
    pair.paste(photo, (288, 0))
    found = detector.detect(pair)
    assert found.status == "several_faces" and found.reason == "2 faces found"
    assert found.faces[0].size > found.faces[1].size
    assert found.faces[0].points[:, 0].min() > 400


def test_too_small(yunet, photo):
    found = FaceDetector(yunet, min_size=200).detect(photo)
    assert found.status == "too_small" and len(found.faces) == 1
    assert found.reason == "the largest face is 91 pixels wide, at least 200 are needed"


def test_lfw_faces_are_found_on_the_template(detector, shared):
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[::400]
        found = [detector.detect(Image.open(io.BytesIO(archive.read(name)))) for name in names]
    assert sum(detection.status == "ok" for detection in found) >= len(names) - 1
    error = [np.abs(detection.faces[0].points - ARCFACE_TEMPLATE).mean() for detection in found]
    assert np.median(error) < 4


def test_model_from_the_environment(yunet, photo, monkeypatch):
    monkeypatch.setenv(MODEL_VARIABLE, str(yunet))
    assert FaceDetector().detect(photo).status == "ok"


def test_a_missing_model_names_the_remedy(monkeypatch):
    monkeypatch.setenv(MODEL_VARIABLE, "/nowhere/yunet.onnx")
    with pytest.raises(FileNotFoundError, match=f"/nowhere/yunet.onnx.*{MODEL_VARIABLE}"):
        FaceDetector()


def test_a_broken_model_is_named(tmp_path, photo):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match=r"bad.onnx is no YuNet model"):
        FaceDetector(tmp_path / "bad.onnx").detect(photo)


def test_no_network_names_the_remedy(monkeypatch):
    def fail(*args):
        raise OSError("offline")

    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(FileNotFoundError, match=f"environment variable {MODEL_VARIABLE}"):
        FaceDetector()


def test_without_a_network_it_is_asked_once(tmp_path, monkeypatch):
    """The download of huggingface_hub would try again for half a minute."""
    asked = []

    def refuse(url, **options):
        asked.append(url)
        raise OSError("no network")

    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", refuse)
    with pytest.raises(FileNotFoundError, match=r"\(OSError\); download that file"):
        FaceDetector()
    assert len(asked) == 1 and asked[0].endswith(MODEL_FILE)


@pytest.mark.parametrize(
    "limits",
    [{"score_threshold": np.nan}, {"score_threshold": -1}, {"max_side": 0}, {"max_side": -1}, {"min_size": np.inf}],
)
def test_limits_without_a_meaning_are_refused(tmp_path, limits):
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ValueError, match=f"found .*{next(iter(limits.values()))}"):
        FaceDetector(tmp_path / "model.onnx", **limits)


def test_places_are_scaled_from_pixel_centre_to_pixel_centre():
    """The middle of the reduced image is that of the image, and its first pixel lies among those it was made of."""
    places = [(0, 0), (9.5, 4.5), (19, 9)]  # of 20 x 10 pixels
    row = np.array([*places[0], 4, 2, *np.ravel([*places, (0, 0), (0, 0)]), 0.9], dtype=np.float32)
    face = _face(row, np.array([3, 3]))
    np.testing.assert_allclose(face.points[:3], [(1, 1), (29.5, 14.5), (58, 28)])  # of 60 x 30
    assert face.box == (1, 1, 12, 6)


def test_a_detector_goes_to_another_process(detector, photo):
    copy = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(copy.detect(photo).faces[0].points, detector.detect(photo).faces[0].points)


def test_without_opencv_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ImportError, match=r"difiqa-hf\[detect\]"):
        FaceDetector(tmp_path / "model.onnx")

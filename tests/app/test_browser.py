"""The page in a real browser, as wide as a desk and as a phone."""

from pathlib import Path

import pytest
from PIL import ImageFilter

from difiqa_hf.app.analysis import Analyser
from difiqa_hf.app.page import build_page, make_page, serve
from difiqa_hf.demo.versions import LANDMARKS, portrait
from difiqa_hf.detection import MODEL_VARIABLE, Detection, Face
from toys import Brightness, toy_pipeline

gradio = pytest.importorskip("gradio")
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("width", [1280, 390])]


class OneFace:
    """Finds the face of the portrait."""

    def detect(self, image):
        return Detection("ok", (Face((178, 65, 91, 111), LANDMARKS, 0.9),))


@pytest.fixture
def visit(browser, width):
    """A function that serves a page and opens it; afterwards nothing may have been asked of any other host."""
    hosts = set()

    def visit(block):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url else None)
        page.goto(serve(block, block=False))
        return page

    yield visit
    gradio.close_all()
    assert hosts and all(host.startswith(("127.0.0.1", "localhost")) for host in hosts), hosts


def scored(page, *files: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(list(map(str, files)))
    page.get_by_text(files[0].stem).first.wait_for()
    page.get_by_role("button", name="Score", exact=True).click()
    page.locator("button.thumbnail-item").first.wait_for(timeout=60_000)


def explained(page, place: int) -> str:
    """Choose a face of the ranking; the explanation in words."""
    page.locator("button.thumbnail-item").nth(place).click()
    if not page.locator("#words").is_visible():
        page.get_by_text("Why, in words").click()
    page.locator("#words").get_by_text("lacks").wait_for(timeout=120_000)
    return page.locator("#words").inner_text()


def test_upload_score_why_download(visit, width, tmp_path, monkeypatch):
    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    portrait().save(tmp_path / "portrait.png")
    (tmp_path / "broken.png").touch()
    page = visit(build_page(Analyser(Brightness(), OneFace())))
    scored(page, tmp_path / "portrait.png", tmp_path / "broken.png")
    page.get_by_label("These are photographs").uncheck()  # the rows stay those of photographs
    assert "Inter-eye distance" in explained(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert "portrait.png,0,ok," in Path(download.value.path()).read_text()
    page.get_by_text("What would a limit do?").click()
    page.locator("#limits").get_by_text("Shares of the reference").wait_for()


def test_a_picture_from_the_camera(visit):
    page = visit(build_page(Analyser(Brightness())))
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_label("capture photo").click()
    page.get_by_role("button", name="Clear").or_(page.get_by_label("Remove Image")).first.wait_for()
    page.get_by_role("button", name="Score", exact=True).click()
    page.locator("button.thumbnail-item").first.wait_for(timeout=60_000)
    assert page.locator("button.thumbnail-item").count() == 1


def test_with_the_shipped_weights(visit, width, tmp_path, monkeypatch, shared):
    """Sharp above blurred, pictures that can be told apart, nothing wider than the page."""
    monkeypatch.setenv(MODEL_VARIABLE, str(shared / "weights" / "yunet" / "yunet_n_640_640.onnx"))
    photo = portrait()
    photo.filter(ImageFilter.GaussianBlur(4)).save(tmp_path / "a blurred photograph with a long name.png")
    photo.save(tmp_path / "sharp.png")
    page = visit(make_page())
    scored(page, *sorted(tmp_path.glob("*.png")))
    captions = page.locator("#ranking .caption-label").all_inner_texts()
    assert len(captions) == 2 and all("better than" in caption and "%" in caption for caption in captions)
    assert float(captions[0][:5]) > 0.9 > float(captions[1][:5])
    box = page.locator("button.thumbnail-item").first.bounding_box()
    assert 100 < box["width"] < 300, "several beside each other on a phone too"
    assert "difiqa-r" in explained(page, 1)
    page.get_by_text("What would a limit do?").click()
    page.locator("#limits").get_by_text("FNMR, the false non-match rate").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width

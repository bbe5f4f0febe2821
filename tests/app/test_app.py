"""What the page does, and the page in a real browser."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from difiqa_hf.app.analysis import Analyser
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import LANDMARKS, portrait
from difiqa_hf.detection import Detection, Face
from toys import Brightness, toy_pipeline


class OneFace:
    """Finds the face of the portrait."""

    def detect(self, image):
        return Detection("ok", (Face((178, 65, 91, 111), LANDMARKS, 0.9),))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, level in {"dark": 20, "=light": 220}.items():
        Image.new("RGB", (112, 112), (level,) * 3).save(f"{name}.png")
    Path("broken.png").touch()
    return [str(tmp_path / name) for name in ("dark.png", "broken.png", "=light.png")]


def test_ranking_pictures_and_csv(files):
    found = Analyser(Brightness()).analyse(files)
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


@pytest.mark.parametrize("photographs", [True, False])
def test_the_sheet_of_a_face(tmp_path, monkeypatch, photographs):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    photo = tmp_path / "portrait.png"
    portrait().save(photo)
    analyser = Analyser(Brightness(), OneFace())
    (row,) = analyser.analyse([str(photo)], photographs).rows
    assert Image.open(analyser.explain(row, photographs)).size[0] > 2000


def test_a_folder_for_a_space(tmp_path):
    assert main(["app", "--space", str(tmp_path / "space")]) == 0
    assert {path.name for path in (tmp_path / "space").iterdir()} >= {"README.md", "app.py", "requirements.txt"}
    assert "sdk: gradio" in (tmp_path / "space" / "README.md").read_text()
    compile((tmp_path / "space" / "app.py").read_text(), "app.py", "exec")


def test_the_page_needs_its_extra(monkeypatch):
    from difiqa_hf.app.page import build_page

    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"difiqa-hf\[demo\]"):
        build_page(Analyser(Brightness()))


@pytest.fixture
def browser():
    """A real Chromium, the system's."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next((p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/google-chrome")) if p.exists()), None)
    if chromium is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(browser, tmp_path, monkeypatch, width):
    """Upload, score, choose a face, read why, download; nothing is asked of any other host."""
    gradio = pytest.importorskip("gradio")
    from difiqa_hf.app.page import build_page, serve

    monkeypatch.setattr("difiqa_hf.pipeline_difiqa.DifFIQAPipeline.from_default", toy_pipeline)
    photo = tmp_path / "portrait.png"
    portrait().save(photo)
    (tmp_path / "broken.png").touch()
    block = build_page(Analyser(Brightness(), OneFace()))
    address = serve(block, block=False)
    try:
        page = browser.new_page(viewport={"width": width, "height": 900})
        hosts = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url else None)
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files([str(photo), str(tmp_path / "broken.png")])
        page.get_by_text("portrait").first.wait_for()
        page.get_by_role("button", name="Score", exact=True).click()
        page.locator("button.thumbnail-item").first.click(timeout=60_000)
        page.locator("img[src*=explanation]").wait_for(timeout=120_000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        assert "portrait.png,0,ok," in Path(download.value.path()).read_text()
        assert all(host.startswith(("127.0.0.1", "localhost")) for host in hosts), hosts
    finally:
        gradio.close_all()

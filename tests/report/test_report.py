"""The page about a file of scores."""

import base64
import io
import os
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.cli import main
from difiqa_hf.detection import Detection, Face
from difiqa_hf.metrics import ErrorsAbove, ThresholdCard
from difiqa_hf.report import render_report, summarise
from difiqa_hf.report.summary import LISTED
from toys import Brightness


@pytest.fixture
def album(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Brightness())
    Path("album").mkdir()
    for level in range(0, 250, 10):
        Image.new("RGB", (112, 112), (level,) * 3).save(f"album/{level:03d}.png")
    Path("album/<script>alert(1)<").mkdir()
    Image.new("RGB", (112, 112)).save("album/<script>alert(1)</script>.png")
    Path("album/broken.jpg").touch()
    (Path("album") / os.fsdecode(b"\xff.png")).write_bytes(Path("album/000.png").read_bytes())
    with zipfile.ZipFile("more.zip", "w") as archive:
        archive.write("album/240.png", "inside.png")
    return tmp_path


def sources(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]*)"', page)


def test_a_page_that_holds_everything(album, capsys):
    assert main(["score", "album", "more.zip", "-o", "scores.csv", "--bands", "-0.5", "0.5"]) == 0
    assert main(["report", "scores.csv", "-o", "page.html", "--title", "an <album>"]) == 0
    page = Path("page.html").read_text(encoding="utf-8")
    HTMLParser().feed(page)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources(page)) and len(sources(page)) == 24
    assert "http" not in page and "<script" not in page and "an &lt;album&gt;" in page
    assert "<b>29 files, 28 faces with a score.</b>" in page
    assert re.search(r'<td class="n">28</td><td><code>ok</code>', page) and "album/broken.jpg" in page
    assert r"album/\xff.png" in page and "more.zip#inside.png" in page
    assert page.index("<h2>The worst</h2>") < page.index("album/&lt;script") < page.index("<h2>The best</h2>")
    assert "better than 0 %" in page and 'class="band FAIL"' in page
    assert "28 faces, 24 pictures" in capsys.readouterr().err


def test_files_that_are_gone_and_pages_without_pictures(album):
    main(["score", "album", "-o", "scores.jsonl"])
    Path("album/240.png").unlink()
    assert main(["report", "scores.jsonl", "-o", "page.html"]) == 0
    assert "no picture" in Path("page.html").read_text(encoding="utf-8")
    assert main(["report", "scores.jsonl", "-o", "page.html", "--no-pictures"]) == 0
    assert sources(Path("page.html").read_text(encoding="utf-8")) == []


def test_a_folder_without_a_single_face(album):
    main(["score", "album/broken.jpg", "-o", "scores.csv"])
    assert main(["report", "scores.csv", "-o", "page.html"]) == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "1 files, 0 faces" in page and "<h2>The worst" not in page


def test_pictures_are_found_below_the_root_or_said_to_be_gone(album, capsys, monkeypatch):
    main(["score", "album", "-o", "scores.csv"])
    monkeypatch.chdir(album / "album")
    capsys.readouterr()
    assert main(["report", "../scores.csv", "-o", "page.html"]) == 0
    said = capsys.readouterr().err
    assert "0 pictures" in said and "note: 24 of 24 pictures could not be read any more" in said
    assert "--root is where relative paths begin, now ." in said
    assert main(["report", "../scores.csv", "-o", "page.html", "--root", ".."]) == 0
    said = capsys.readouterr().err
    assert "24 pictures" in said and "note" not in said
    assert main(["report", "../scores.csv", "-o", "page.html", "--root", "..", "--max-megapixels", "0.001"]) == 0
    assert "0 pictures" in capsys.readouterr().err
    assert main(["report", "../scores.csv", "-o", "page.html", "--root", "nowhere"]) == 1
    assert "no folder nowhere; --root is where" in capsys.readouterr().err


class Left:
    """Finds a face in the left half of everything."""

    def detect(self, image):
        width = image.width // 2
        return Detection("ok", (Face((0, 0, width, width), ARCFACE_TEMPLATE * width / 112, 0.9),))


def test_pictures_of_photographs_show_the_face(album, monkeypatch):
    monkeypatch.setattr("difiqa_hf.cli.common.make_detector", lambda args: Left() if args.detect else None)
    photo = Image.new("RGB", (200, 100), (0, 0, 255))
    photo.paste((255, 0, 0), (0, 0, 100, 100))
    photo.save("photo.png")
    sides = {}
    for options in ([], ["--detect"]):
        assert main(["score", "photo.png", *options, "-o", "scores.csv", "--restart"]) == 0
        assert main(["report", "scores.csv", *options, "-o", "page.html"]) == 0
        uri = sources(Path("page.html").read_text(encoding="utf-8"))[0]
        sides[bool(options)] = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert sides[False].size == (192, 96) and sides[True].size == (160, 160)  # 1.6 times the box
    assert sides[True].getpixel((70, 70))[0] > 250


def test_the_reference_on_the_page_is_that_of_the_percentiles(album, monkeypatch, capsys):
    """A page must not name the shipped reference over percentiles of another, nor the other way round."""
    monkeypatch.setattr("difiqa_hf.methods.registry.method_class", lambda name: HasWeights)
    main(["score", "album", "-o", "shipped.csv"])
    main(["calibrate", "shipped.csv", "-o", "mine.json", "--reference", "my album"])
    main(["score", "album", "-o", "mine.csv", "--calibration", "mine.json"])
    capsys.readouterr()

    def reported(*arguments: str) -> tuple[int, str, str]:
        code = main(["report", *arguments, "-o", "page.html", "--no-pictures"])
        return code, Path("page.html").read_text(encoding="utf-8"), capsys.readouterr().err

    code, page, _ = reported("shipped.csv")
    assert code == 0 and "(reference: the " in page and "reference left out" in page
    code, page, said = reported("mine.csv")
    assert code == 0 and "reference:" not in page and "name theirs by --calibration" in said
    code, page, _ = reported("mine.csv", "--calibration", "mine.json")
    assert code == 0 and "(reference: 27 faces of my album)" in page
    code, _, said = reported("shipped.csv", "--calibration", "mine.json")
    assert code == 1 and "the percentiles of shipped.csv are not those of mine.json" in said
    lines = Path("shipped.csv").read_text(encoding="utf-8", errors="surrogateescape").splitlines(keepends=True)
    text = "".join([*lines[:3], lines[3].replace("brightness", "other")])
    Path("two.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    code, _, said = reported("two.csv", "--calibration", "mine.json")
    assert code == 1 and "for scores of one method, found brightness" in said


class HasWeights(Brightness):
    has_weights = True


def rows(count: int, **more):
    rng = np.random.default_rng(0)
    for i, quality in enumerate(rng.normal(size=count)):
        yield {"path": f"{i}.png", "face": 0, "status": "ok", "quality": quality, "percentile": None, **more}


def test_of_many_rows_the_ends_are_kept():
    values = np.sort([row["quality"] for row in rows(2000)])
    summary = summarise(rows(2000))
    assert [entry.quality for entry in summary.worst] == values[:LISTED].tolist()
    assert [entry.quality for entry in summary.best] == values[::-1][:LISTED].tolist()
    page = render_report(summary, "x")
    assert "The worst 300 of 2000 faces" in page and "All are in the file of scores" in page
    assert "only the order of the scores counts" in page


def test_ties_keep_the_order_of_the_rows():
    same = [row | {"quality": 0.5} for row in rows(5)]
    summary = summarise(same)
    assert [entry.place for entry in summary.worst] == [entry.place for entry in summary.best] == [0, 1, 2, 3, 4]


def test_what_a_limit_does_to_a_recogniser():
    card = ThresholdCard.from_scores([row["quality"] for row in rows(500)], reference="500 made-up numbers")
    columns = [np.linspace(0.02, 0.001, 101), np.zeros(101), np.full(101, 0.03), np.full(101, 900)]
    entry = ErrorsAbove("pairs", "toy", "", 0.001, 0.3, 1000, 1000, *columns, 0.95, "comparison", 100)
    page = render_report(summarise(rows(500)), "x", card=card.with_errors(entry))
    assert "2.00 % (0.00 to 3.00)" in page and "pairs compared by\ntoy, with one false match allowed in 1000" in page


@pytest.mark.parametrize(
    ("text", "message"), [("a,b\n1,2\n", "lacks the column path"), ("path,status,quality\na,ok,x\n", "row 1")]
)
def test_other_files_are_refused(tmp_path, capsys, text, message):
    (tmp_path / "other.csv").write_text(text)
    assert main(["report", str(tmp_path / "other.csv"), "-o", str(tmp_path / "page.html")]) == 1
    assert message in capsys.readouterr().err

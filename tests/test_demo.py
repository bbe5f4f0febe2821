import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.cli import main
from difiqa_hf.demo.ranking import check_expectations, rank
from difiqa_hf.demo.sheet import render_sheet
from difiqa_hf.demo.versions import PIXEL_LADDERS, Version, make_versions
from difiqa_hf.methods import QualityMethod

pytest.importorskip("skimage")


class Contrast(QualityMethod):
    """The standard deviation of the pixels."""

    name, kind, revision = "contrast", "baseline", "0123456789ab"

    def score(self, pixel_values):
        return pixel_values.std(dim=(1, 2, 3))


@pytest.fixture(scope="module")
def versions():
    return make_versions()


def test_versions_form_ladders(versions):
    assert (versions[0].name, versions[0].step) == ("original", 0)
    kinds = {version.kind for version in versions[1:]}
    assert len(versions) > 12 and len(kinds) >= 11
    for kind in kinds:
        assert [version.step for version in versions if version.kind == kind] == [1, 2, 3]
    assert all(version.image.size == (112, 112) and version.image.mode == "RGB" for version in versions)
    assert len({version.image.tobytes() for version in versions}) == len(versions)


def test_versions_are_deterministic(versions):
    assert [v.image.tobytes() for v in make_versions()] == [v.image.tobytes() for v in versions]


def test_pixel_ladders_move_away_from_the_original(versions):
    original = np.asarray(versions[0].image, float)
    for kind in PIXEL_LADDERS:
        images = [np.asarray(version.image, float) for version in versions if version.kind == kind]
        distances = [np.abs(image - original).mean() for image in images]
        assert distances == sorted(distances) and distances[0] > 0, kind


def named(*names: str) -> list[Version]:
    """Versions from "kind step"."""
    image = Image.new("RGB", (8, 8))
    return [Version(name.split()[0], int(name.split()[1]), name.split()[1].strip("0"), image) for name in names]


def test_expectations_name_their_exceptions():
    versions = named("original 0", "blur 1", "blur 2", "noise 1", "noise 2")
    below, falling = check_expectations(versions, [0.9, 0.8, 0.7, 0.95, 0.95])
    assert str(below) == "2 of 4 degraded versions score below the original; these do not:"
    assert below.exceptions == ("noise, 1 (+0.05)", "noise, 2 (+0.05)")
    assert str(falling) == "1 of 2 steps score below the milder step of their kind; these do not:"
    assert falling.exceptions == ("noise, 2 (+0 to 1)",)
    for expectation in check_expectations(versions, [0.9, 0.8, 0.7, 0.6, 0.5]):
        assert expectation.exceptions == ()
    assert len(check_expectations(versions, [0.9, float("nan"), 0.7, 0.6, 0.5])[0].exceptions) == 1


def test_rank_is_best_first():
    assert rank([0.1, 0.3, 0.3, 0.2]) == [1, 2, 3, 0]


def test_sheet_holds_everything_in_itself():
    versions = named("original 0", "blur 1", "<noise> 1")
    page = render_sheet(versions, {"a": [0.5, 0.7, 0.1], "b": [1, 2, 3]}, "a 123")
    HTMLParser().feed(page)
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert Image.open(io.BytesIO(base64.b64decode(sources[0].split(",")[1]))).size == (8, 8)
    assert "http" not in page and "<script" not in page and "<noise>" not in page
    assert 'name="viewport"' in page
    assert page.index("1. blur, 1") < page.index("2. original") < page.index("3. &lt;noise&gt;, 1")


def test_percentiles_stand_behind_the_scores():
    page = render_sheet(named("original 0"), {"a": [0.5], "b": [1]}, percentiles={"a": lambda quality: 99 * quality})
    assert "<span>0.500 · 50 %</span>" in page and "<span>1.000</span>" in page


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: Contrast())
    monkeypatch.setattr(Contrast, "_percentiles", (0.0, 2.0))
    assert main(["demo", "-o", str(tmp_path / "new"), "--method", "contrast"]) == 0
    output = capsys.readouterr().out
    assert "degraded versions score below the original" in output and "milder step" in output
    ranked = [float(line.split("(")[0].split()[-1]) for line in output.splitlines() if re.match(r" +\d+  ", line)]
    assert len(ranked) == 34 and ranked == sorted(ranked, reverse=True)
    assert str(tmp_path / "new" / "demo.html") in output.splitlines()[-1]
    page = (tmp_path / "new" / "demo.html").read_text(encoding="utf-8")
    assert page.count("<img") == 34 and len(re.findall(r"<span>\d\.\d{3} · \d+ %</span>", page)) == 34
    (tmp_path / "file").touch()
    assert main(["demo", "-o", str(tmp_path / "file"), "--method", "contrast"]) == 1
    assert "file must be a folder" in capsys.readouterr().err


def test_without_scikit_image_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("difiqa_hf.demo.versions.find_spec", lambda name: None)
    assert main(["demo", "--method", "random"]) == 1
    assert "difiqa-hf[demo]" in capsys.readouterr().err

"""Templates of images, in the layout of IJB-C."""

import numpy as np
import pytest

from difiqa_hf.benchmarks import ijbc, load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable
from made_up_benchmarks import ijbc_files, write


def test_reads_every_form(layout, monkeypatch):
    monkeypatch.setattr(ijbc, "CHUNK", 5)  # comparisons are read in pieces
    benchmark = load_benchmark("ijb-c", layout(ijbc_files()))
    assert (len(benchmark.images), len(benchmark.templates), len(benchmark.pairs)) == (16, 8, 28)
    assert benchmark.genuine.sum() == 4 and benchmark.pairs.dtype == np.int32
    names = [tuple(benchmark.templates[i] for i in pair) for pair in benchmark.pairs]
    assert names[:2] == [("3", "1"), ("3", "13")] and benchmark.genuine[:2].tolist() == [True, False]
    assert benchmark.load_image(0).size == (112, 112) and benchmark.aligns


@pytest.mark.parametrize("pooled", [1, 3, 1024])
def test_media_are_averaged_first(tmp_path, monkeypatch, pooled):
    """Template 3 has images 1, 2 of one medium and 3 of another; template 1 is image 4."""
    monkeypatch.setattr(ijbc, "POOLED", pooled)  # templates are pooled in pieces
    benchmark = load_benchmark("ijb-c", write(tmp_path, ijbc_files()))
    embeddings = np.random.default_rng(0).normal(size=(16, 5))
    sides = benchmark.side_embeddings(embeddings)
    image = {name: i for i, name in enumerate(benchmark.images)}
    first = (embeddings[image["1.jpg"]] + embeddings[image["2.jpg"]]) / 2
    np.testing.assert_allclose(sides[benchmark.templates.index("3")], (first + embeddings[image["3.jpg"]]) / 2)
    np.testing.assert_allclose(sides[benchmark.templates.index("1")], embeddings[image["4.jpg"]])


@pytest.mark.parametrize(("pool", "expected"), [("mean", 4), ("min", 1), ("max", 9), ("median", 2)])
def test_how_qualities_are_pooled_is_an_option(tmp_path, pool, expected):
    benchmark = load_benchmark("ijb-c", write(tmp_path, ijbc_files()), template_quality=pool)
    qualities = np.array([{"1.jpg": 1.0, "2.jpg": 2.0, "3.jpg": 9.0}.get(name, 0.0) for name in benchmark.images])
    assert benchmark.side_qualities(qualities)[benchmark.templates.index("3")] == expected


def test_lost_images_leave_their_template(tmp_path):
    root = write(tmp_path, ijbc_files())
    (root / "loose_crop/1.jpg").unlink()
    (root / "loose_crop/4.jpg").write_bytes(b"broken")
    available = leave_out_unavailable(load_benchmark("ijb-c", root))
    assert list(available.problems) == ["1.jpg", "4.jpg"]
    assert "3" in available.benchmark.templates and "1" not in available.benchmark.templates
    assert len(available.skipped) == 7 and all("1" in names for names in available.skipped)
    assert len(available.benchmark.pairs) == 21 and len(available.benchmark.images) == 14
    assert available.benchmark.side_embeddings(np.ones((14, 3))).shape == (7, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meta/ijbc_template_pair_label.txt": "1 3 1\n1 99 0\n"}, "compares template 99"),
        ({"meta/ijbc_name_5pts_score.txt": "1.jpg 1 1 2 2 3 3 4 4 5 5 1\n"}, "no points for 2.jpg"),
    ],
)
def test_refuses_files_that_do_not_fit(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_benchmark("ijb-c", write(tmp_path, ijbc_files() | change))
    with pytest.raises(ValueError, match="mean, min, max, median"):
        load_benchmark("ijb-c", tmp_path, template_quality="best")

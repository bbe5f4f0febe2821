"""Subsets, and comparisons that cannot be scored."""

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.benchmarks import UnavailableImageError, load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable


def names(benchmark):
    return [tuple(benchmark.images[i] for i in pair) for pair in benchmark.pairs]


def test_spread_is_balanced_deterministic_and_over_all_folds(lfw_root):
    benchmark = load_benchmark("lfw", lfw_root)
    few = load_benchmark("lfw", lfw_root, pairs=8)
    assert (len(few.pairs), few.genuine.sum()) == (8, 4)
    assert [few.genuine[few.folds == fold].sum() for fold in (1, 2)] == [2, 2]
    assert names(few) == names(load_benchmark("lfw", lfw_root, pairs=8))
    assert set(names(few)) <= set(names(benchmark))
    assert set(few.images) == {name for pair in names(few) for name in pair}, "no image that no comparison needs"
    assert names(load_benchmark("lfw", lfw_root, pairs=24)) == names(benchmark)


@pytest.mark.parametrize("count", [0, 7, 26, -2])
def test_spread_refuses(lfw_root, count):
    with pytest.raises(ValueError, match=f"even and from 2 to 24 for lfw, found {count}"):
        load_benchmark("lfw", lfw_root, pairs=count)


def test_unavailable_images_are_named_and_their_comparisons_left_out(lfw_root):
    (lfw_root / "lfw/P0_0/P0_0_0001.jpg").unlink()
    truncated = lfw_root / "lfw/P1_1/P1_1_0003.jpg"
    truncated.write_bytes(truncated.read_bytes()[:9000])
    (lfw_root / "lfw/P1_2/P1_2_0002.jpg").write_bytes(b"")
    benchmark = load_benchmark("lfw", lfw_root)
    available = leave_out_unavailable(benchmark)
    assert [list(map(str.strip, problem.split(":")))[:2] for problem in available.problems.values()] == [
        ["P0_0/P0_0_0001.jpg", "missing"],
        ["P1_1/P1_1_0003.jpg", "unreadable"],
        ["P1_2/P1_2_0002.jpg", "unreadable"],
    ]
    bad = set(available.problems)
    assert available.skipped == tuple(pair for pair in names(benchmark) if bad & set(pair))
    assert names(available.benchmark) == [pair for pair in names(benchmark) if not bad & set(pair)]
    assert len(available.digests) == len(available.benchmark.images)
    with pytest.raises(UnavailableImageError, match=r"P0_0_0001\.jpg: missing"):
        benchmark.load_image(benchmark.images.index("P0_0/P0_0_0001.jpg"))


def test_no_image_at_all_is_an_error_with_an_example(lfw_root):
    for path in lfw_root.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 24 .* 28 of 28 images .* P0_0/P0_0_0001\.jpg: missing"):
        leave_out_unavailable(load_benchmark("lfw", lfw_root))


def test_images_of_another_size_warn(lfw_root):
    Image.new("RGB", (250, 250)).save(lfw_root / "lfw/P0_0/P0_0_0001.jpg")
    with pytest.warns(UserWarning, match=r"1 of 28 images, P0_0/P0_0_0001\.jpg first, are not 112 x 112"):
        leave_out_unavailable(load_benchmark("lfw", lfw_root))


def test_content_follows_bytes_names_and_recipe_but_not_comparisons(lfw_root):
    def content(name="lfw", **options):
        return leave_out_unavailable(load_benchmark(name, lfw_root, **options)).content

    before = content()
    assert before == content()
    assert len({before, content(pairs=4), content("lfw-xq-synthetic"), content("lfw-xq-synthetic", seed=1)}) == 4
    benchmark = load_benchmark("lfw", lfw_root)
    assert leave_out_unavailable(benchmark.select(np.arange(24)[::-1])).content == before
    image = lfw_root / "lfw/P0_0/P0_0_0001.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert content() != before

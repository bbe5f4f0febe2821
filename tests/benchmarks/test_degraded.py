"""The synthetic cross-quality benchmark."""

import numpy as np

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.degraded import image_seed


def load(root, **options):
    return load_benchmark("lfw-xq-synthetic", root, **options)


def test_only_the_second_image_is_degraded_anew_for_every_comparison(lfw_root):
    plain, benchmark = load_benchmark("lfw", lfw_root), load(lfw_root)
    assert benchmark.name == "lfw-xq-synthetic"
    np.testing.assert_array_equal(benchmark.genuine, plain.genuine)
    for index in (0, 7, 23):
        (a, b), (x, y) = plain.pairs[index], benchmark.pairs[index]
        assert benchmark.images[x] == plain.images[a]
        assert benchmark.images[y] == f"{plain.images[b]}#{index}"
        np.testing.assert_array_equal(benchmark.load_image(x), plain.load_image(a))
        clean, degraded = np.asarray(plain.load_image(b)), np.asarray(benchmark.load_image(y))
        assert degraded.shape == clean.shape and degraded.dtype == np.uint8
        assert np.abs(degraded.astype(int) - clean).mean() > 2


def test_an_image_depends_on_seed_name_and_comparison_only(lfw_root):
    benchmark, few = load(lfw_root), load(lfw_root, pairs=4)
    for index, name in enumerate(few.images):
        np.testing.assert_array_equal(few.load_image(index), benchmark.load_image(benchmark.images.index(name)))
    marked = next(i for i, name in enumerate(few.images) if "#" in name)
    other = load(lfw_root, pairs=4, seed=1)
    assert other.images == few.images
    assert (np.asarray(other.load_image(marked)) != np.asarray(few.load_image(marked))).any()


def test_seeds_are_stable_across_versions_and_machines():
    assert image_seed(0, "A/A_0001.jpg#0") == 4975389777545153836
    assert len({image_seed(seed, f"A/A_0001.jpg#{pair}") for seed in range(10) for pair in range(100)}) == 1000

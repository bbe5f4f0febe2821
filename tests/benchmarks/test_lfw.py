"""The reader of LFW's layout."""

import numpy as np
import pytest

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.lfw import parse_pairs
from made_up_benchmarks import face, lfw_files


def test_reads_every_form(layout):
    benchmark = load_benchmark("lfw", layout(lfw_files()))
    assert (benchmark.name, len(benchmark.pairs), benchmark.genuine.sum()) == ("lfw", 24, 12)
    assert benchmark.folds.tolist() == [1] * 12 + [2] * 12
    first, second = benchmark.pairs[0]
    assert [benchmark.images[first], benchmark.images[second]] == ["P0_0/P0_0_0001.jpg", "P0_0/P0_0_0002.jpg"]
    impostor = benchmark.pairs[6]
    assert [benchmark.images[i] for i in impostor] == ["P0_0/P0_0_0001.jpg", "P0_5/P0_5_0001.jpg"]
    image = benchmark.load_image(first)
    assert (image.mode, image.size) == ("RGB", (112, 112))
    assert benchmark.read(first) == face(0, 1)
    for person in range(2):
        names = {benchmark.images[i].split("/")[0] for i in benchmark.pairs[person]}
        assert names == {f"P0_{person}"}, "genuine comparisons show one person"


def test_images_beside_pairs_without_lfw_folder(layout):
    files = {name.removeprefix("lfw/"): data for name, data in lfw_files().items()}
    assert load_benchmark("lfw", layout(files)).load_image(0).size == (112, 112)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10 300 1\n", "line 1"),
        ("1\t1\nA\t1\t2\n", "announces 2 comparisons, found 1"),
        ("1\t1\nA\t1\tB\t1\nA\t1\t2\n", "line 2 .* genuine"),
        ("1\t1\nA\t1\t2\nA\t1\t3\n", "line 3 .* impostor"),
    ],
)
def test_refuses_other_pairs(text, message):
    with pytest.raises(ValueError, match=message):
        list(parse_pairs(text))


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_benchmark("lfw", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no pairs\.txt"):
        load_benchmark("lfw", tmp_path)
    (tmp_path / "file.zip").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        load_benchmark("lfw", tmp_path / "file.zip")
    with pytest.raises(ValueError, match="unknown benchmark 'lfw2'; known: lfw, xqlfw"):
        load_benchmark("lfw2", tmp_path)


def test_real_lfw(shared):
    benchmark = load_benchmark("lfw", shared / "data" / "lfw_aligned112.zip")
    assert (len(benchmark.images), len(benchmark.pairs), benchmark.genuine.sum()) == (7701, 6000, 3000)
    assert np.bincount(benchmark.folds).tolist() == [0] + [600] * 10
    names = np.array([name.split("/")[0] for name in benchmark.images])[benchmark.pairs]
    np.testing.assert_array_equal(names[:, 0] == names[:, 1], benchmark.genuine)
    assert benchmark.load_image(7700).size == (112, 112)

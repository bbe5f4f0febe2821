"""The readers of CALFW, CPLFW, XQLFW, Adience, .bin files, folders and datasets."""

import io
import os
import pickle

import datasets
import numpy as np
import pytest
from PIL import Image

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.adience import load_adience
from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.crosslfw import parse_label_pairs
from difiqa_hf.benchmarks.drawing import drawn_pairs
from difiqa_hf.benchmarks.hub import load_dataset_pairs
from made_up_benchmarks import adience_files, cross_lfw_files, face, lfw_files, write


def named_pairs(benchmark):
    return [tuple(benchmark.images[i] for i in pair) for pair in benchmark.pairs]


def labels_follow_persons(benchmark):
    person = np.array(benchmark.persons)[benchmark.pairs]
    np.testing.assert_array_equal(person[:, 0] == person[:, 1], benchmark.genuine)


@pytest.mark.parametrize("name", ["calfw", "cplfw"])
def test_cross_lfw_in_every_form(layout, name):
    benchmark = load_benchmark(name, layout(cross_lfw_files(name.upper())))
    assert (benchmark.name, len(benchmark.pairs), benchmark.genuine.sum(), len(benchmark.images)) == (name, 8, 4, 8)
    assert named_pairs(benchmark)[0] == ("Per_Son0_0001.jpg", "Per_Son0_0002.jpg")
    assert named_pairs(benchmark)[5] == ("Per_Son1_0001.jpg", "Per_Son0_0002.jpg")
    assert benchmark.load_image(0).size == (112, 112) and benchmark.persons[0] == "Per_Son0"
    labels_follow_persons(benchmark)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a.jpg 1\n", "found 1"), ("a.jpg 1\nb.jpg 0\n", "lines 1 and 2 .* different"), ("a.jpg 1\nb.jpg\n", "'b.jpg'")],
)
def test_cross_lfw_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        list(parse_label_pairs(text, "pairs_CALFW.txt"))


def test_wrong_labels_forget_the_persons(tmp_path):
    files = cross_lfw_files() | {"pairs_CALFW.txt": "Per_Son0_0001.jpg 1\nPer_Son1_0001.jpg 1\n"}
    assert load_benchmark("calfw", write(tmp_path, files)).persons is None


def test_xqlfw_in_every_form(layout):
    files = {
        name.replace("lfw/", "xqlfw_aligned_112/").replace("pairs", "xqlfw_pairs"): f for name, f in lfw_files().items()
    }
    benchmark = load_benchmark("xqlfw", layout(files))
    assert (benchmark.name, len(benchmark.pairs), benchmark.genuine.sum()) == ("xqlfw", 24, 12)
    assert benchmark.load_image(0).size == (112, 112)
    labels_follow_persons(benchmark)


def test_adience_draws_by_seed(layout):
    benchmark = load_benchmark("adience", layout(adience_files()), seed=1)
    assert (len(benchmark.images), benchmark.genuine.sum(), (~benchmark.genuine).sum()) == (24, 36, 240)
    assert benchmark.load_image(0).size == (112, 112)
    labels_follow_persons(benchmark)


def test_adience_draws_at_most_what_is_wanted(tmp_path):
    root = write(tmp_path, adience_files())
    few, again, other = (load_adience(root, seed, per_kind=20) for seed in (0, 0, 1))
    assert few.genuine.sum() == 20 and len(few.pairs) == 40
    assert named_pairs(few) == named_pairs(again) != named_pairs(other)
    (root / "aligned").rename(root / "other")
    with pytest.raises(FileNotFoundError, match="neither aligned nor faces"):
        load_adience(root)


def packed(path, numpy_images=False):
    images = [face(person, shot) for person in range(5) for shot in (1, 2)] * 2
    images[10:] = images[11:] + images[10:11]
    stored = [np.frombuffer(image, np.uint8) for image in images] if numpy_images else images
    path.write_bytes(pickle.dumps((stored, [True] * 5 + [np.bool_(False)] * 5), protocol=2))
    return path


@pytest.mark.parametrize("numpy_images", [False, True])
def test_bin_files(tmp_path, numpy_images):
    benchmark = load_benchmark("lfw", packed(tmp_path / "lfw.bin", numpy_images))
    assert (benchmark.name, len(benchmark.pairs), benchmark.genuine.sum()) == ("lfw", 10, 5)
    assert len(benchmark.images) == 10, "an image of two comparisons is one image"
    assert benchmark.folds.tolist() == list(range(1, 11)) and benchmark.persons is None
    available = leave_out_unavailable(benchmark.spread(4))
    assert len(available.benchmark.pairs) == 4 and not available.problems
    first = Image.open(io.BytesIO(face(0, 1))).convert("RGB")
    np.testing.assert_array_equal(benchmark.load_image(benchmark.pairs[0, 0]), first)
    with pytest.raises(ValueError, match="does not say who is on its images"):
        load_benchmark("lfw-all-pairs", tmp_path / "lfw.bin")


class Harmful:
    def __reduce__(self):
        return os.system, ("touch harmed",)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(([Harmful()], [True])), "asks for posix.system"),
        (pickle.dumps(([b"", b"", b""], [True])), "3 images and 1 labels"),
        (pickle.dumps(7), "not a pickle of images"),
        (b"PK", "not a pickle of images"),
    ],
)
def test_bin_files_that_are_none(tmp_path, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lfw.bin").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_benchmark("lfw", tmp_path / "lfw.bin")
    assert not (tmp_path / "harmed").exists()


def test_folders_of_persons_in_every_form(layout):
    files = {f"{person}/deep/{shot}.png": face(person, shot) for person in range(4) for shot in range(3)}
    benchmark = load_benchmark("folder", layout(files | {"notes.txt": "x"}))
    assert (len(benchmark.images), benchmark.genuine.sum(), (~benchmark.genuine).sum()) == (12, 12, 54)
    assert benchmark.images[0] == "0/deep/0.png" and benchmark.load_image(0).size == (112, 112)
    labels_follow_persons(benchmark)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"2 images of 2 persons .* folders, one per person"):
        load_benchmark("folder", write(tmp_path, {"a/1.png": face(0, 0), "b/1.png": face(1, 0)}))
    with pytest.raises(FileNotFoundError, match="neither a folder nor a zip"):
        load_benchmark("folder", tmp_path / "nothing")


def test_all_pairs_of_a_benchmark(lfw_root):
    benchmark = load_benchmark("lfw-all-pairs", lfw_root)
    assert benchmark.name == "lfw-all-pairs" and len(benchmark.pairs) == 28 * 27 // 2
    labels_follow_persons(benchmark)
    assert len({frozenset(pair) for pair in named_pairs(benchmark)}) == len(benchmark.pairs)


def test_drawn_impostors_are_different_and_impostors(monkeypatch):
    monkeypatch.setattr("difiqa_hf.benchmarks.drawing.FEW", 10)
    persons = [str(i // 3) for i in range(90)]
    for count in (5, 1000, 3900):
        pairs, genuine = drawn_pairs(persons, None, count, np.random.default_rng(0))
        assert genuine.sum() == 90 and (~genuine).sum() == min(count, 90 * 89 // 2 - 90)
        assert len(np.unique(pairs, axis=0)) == len(pairs) and (pairs[:, 0] < pairs[:, 1]).all()
        assert all((persons[a] == persons[b]) == label for (a, b), label in zip(pairs, genuine, strict=True))


def test_datasets(tmp_path):
    rows = {
        "image": [{"bytes": face(p, s), "path": None} for p in range(3) for s in range(2)],
        "label": [0, 0, 1, 1, 2, 2],
    }
    rows["image"][4] = {"bytes": b"broken", "path": None}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    dataset = datasets.Dataset.from_dict(rows, features=features)
    dataset.save_to_disk(tmp_path / "saved")
    for source in (dataset, tmp_path / "saved"):
        benchmark = load_dataset_pairs(source)
        assert (len(benchmark.images), benchmark.genuine.sum(), len(benchmark.pairs)) == (6, 3, 15)
        available = leave_out_unavailable(benchmark)
        assert list(available.problems) == ["4"] and len(available.benchmark.pairs) == 10
    assert len(load_benchmark("dataset", tmp_path / "saved").pairs) == 15
    with pytest.raises(ValueError, match=r"no column who; found \['image', 'label'\]"):
        load_dataset_pairs(dataset, person="who")


def test_real_lfw_and_cfp_as_all_pairs(shared):
    lfw = load_benchmark("lfw-all-pairs", shared / "data" / "lfw_aligned112.zip")
    assert len(lfw.images) == 7701 and (~lfw.genuine).sum() == 1_000_000 and lfw.genuine.sum() > 3000
    labels_follow_persons(lfw)
    cfp = load_benchmark("cfp-fp", shared / "data" / "cfp_ids001-250_aligned112.zip")
    assert len(set(cfp.persons)) == 250
    labels_follow_persons(cfp)

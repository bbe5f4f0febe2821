"""Evaluation from images to figures, with a recogniser that knows colours and methods that count their images."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pyarrow.parquet import read_table
from torch import nn

import toys
from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.compute import Task, compute_outputs
from difiqa_hf.benchmarks.runner import cosine_similarity, evaluate_benchmark
from difiqa_hf.benchmarks.tables import format_results
from difiqa_hf.metrics import error_discard
from made_up_benchmarks import ijbc_files, write

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


class Colours(nn.Module):
    """Embeddings (batch, 12): a random projection of the mean colours of four quarters."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.project = nn.Linear(12, 12)
        self.n_images = 0
        self.eval()

    def forward(self, pixel_values):
        self.n_images += len(pixel_values)
        return self.project(nn.functional.adaptive_avg_pool2d(pixel_values, 2).flatten(1))


class Brightness(toys.Brightness):
    """Counts the images that it sees."""

    def __init__(self, fingerprint="brightness"):
        self.fingerprint = fingerprint
        self.n_images = 0

    def score(self, pixel_values):
        self.n_images += len(pixel_values)
        return super().score(pixel_values)


def evaluate(root, recognizers=None, methods=None, name="lfw", **options):
    recognizers = {"colours": Colours()} if recognizers is None else recognizers
    options = {"fmr": 0.3, "num_resamples": 20, "batch_size": 7} | options
    return evaluate_benchmark(load_benchmark(name, root), recognizers, methods or [Brightness()], **options)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
def test_figures_are_those_of_error_discard(lfw_root, protocol):
    result = evaluate(lfw_root, protocol=protocol)
    benchmark = load_benchmark("lfw", lfw_root)
    images = np.stack([np.asarray(benchmark.load_image(i)) for i in range(len(benchmark.images))])
    pixel_values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        embeddings = Colours()(pixel_values).numpy()
    quality = pixel_values.mean((1, 2, 3)).numpy()[benchmark.pairs]
    similarity = cosine_similarity(embeddings, benchmark.pairs)
    expected = error_discard(similarity, benchmark.genuine, quality, fmr=0.3, protocol=protocol)
    (row,) = result["results"]
    assert row["fnmr0"] == expected.fnmr0 > 0
    for limit in (0.2, 0.3):
        assert row["pauc"][str(limit)] == pytest.approx(expected.pauc(limit))
    assert row["interval"]["low"] <= row["interval"]["high"]
    assert row["curve"]["fnmr"] == [None if np.isnan(v) else v for v in map(expected.fnmr_at, row["curve"]["discard"])]
    assert (row["n_genuine"], row["n_impostor"], row["curve"]["k"][0]) == (12, 12, 3)
    assert result["protocol"]["options"] == {k: v for k, v in expected.options.items() if k != "higher_is_better"}


def test_thresholds_say_what_discarding_gains(lfw_root):
    (row,) = evaluate(lfw_root)["results"]
    benchmark = load_benchmark("lfw", lfw_root)
    images = np.stack([np.asarray(benchmark.load_image(i)) for i in range(len(benchmark.images))])
    quality = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).mean((1, 2, 3)).numpy()
    assert [threshold["discard"] for threshold in row["thresholds"]] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.3]
    for threshold in row["thresholds"]:
        assert (quality < threshold["quality"] - 1e-6).mean() <= threshold["discard"]
        assert np.abs(quality - threshold["quality"]).min() < 1e-6, "a score of one of the images"
    assert row["thresholds"][0]["fnmr"] == row["fnmr0"], "28 images: 1 % of them is none"


def test_result_is_json_and_carries_its_provenance(lfw_root):
    result = evaluate(lfw_root, {"a": Colours(0), "b": Colours(1)}, [Brightness(), "random"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [(row["recognizer"], row["method"]) for row in result["results"]] == [
        ("a", "brightness"), ("a", "random"), ("b", "brightness"), ("b", "random")
    ]  # fmt: skip
    assert len({row["recognizer_revision"] for row in result["results"]}) == 2
    assert result["benchmark"]["name"] == "lfw" and result["benchmark"]["n_images"] == 28
    assert {"difiqa_hf", "torch", "numpy"} <= set(result["versions"])
    assert result["results"][0]["seconds"]["quality"]["images"] == 28


def test_every_image_is_scored_once_whatever_the_number_of_recognisers(lfw_root):
    recognizers, method = {"a": Colours(0), "b": Colours(1)}, Brightness()
    evaluate(lfw_root, recognizers, [method])
    assert [method.n_images, *(r.n_images for r in recognizers.values())] == [28, 28, 28]


def test_scores_are_kept_image_by_image(lfw_root, tmp_path):
    methods = [Brightness(), Brightness("darker")]
    first = evaluate(lfw_root, methods=methods, scores_dir=tmp_path)
    files = sorted((tmp_path / "lfw").glob("brightness-*.parquet"))
    table = read_table(files[0])
    assert len(files) == 2 and table["image"].to_pylist() == list(load_benchmark("lfw", lfw_root).images)
    again = evaluate(lfw_root, methods=methods, scores_dir=tmp_path)
    assert [method.n_images for method in methods] == [28, 28]
    assert [row["pauc"] for row in again["results"]] == [row["pauc"] for row in first["results"]]


def test_kept_scores_of_other_images_are_not_used(lfw_root, tmp_path):
    evaluate(lfw_root, scores_dir=tmp_path)
    image = next(lfw_root.rglob("*.jpg"))
    Image.new("RGB", (112, 112), "red").save(image)
    evaluate(lfw_root, methods=[method := Brightness()], scores_dir=tmp_path)
    assert method.n_images == 28


def test_batch_size_does_not_change_the_figures(lfw_root):
    one, all_at_once = (evaluate(lfw_root, batch_size=size)["results"][0]["curve"] for size in (1, 100))
    assert one["fnmr"] == all_at_once["fnmr"]


def test_cache_is_shared_by_recognisers_and_keyed_by_content_and_fingerprint(lfw_root, tmp_path):
    cache = tmp_path / "cache"

    def again(recognizer, fingerprint="brightness", **options):
        recognizer, method = recognizer, Brightness(fingerprint)
        result = evaluate(lfw_root, {"colours": recognizer}, [method], cache_dir=cache, **options)
        return recognizer.n_images, method.n_images, result["results"][0]["curve"]["fnmr"]

    first = again(Colours())
    assert first[:2] == (28, 28)
    assert again(Colours()) == (0, 0, first[2])
    assert again(Colours(seed=1))[:2] == (28, 0), "the qualities do not depend on the recogniser that compares"
    assert again(Colours(), "brighter")[:2] == (0, 28)
    assert again(Colours(), "")[:2] == again(Colours(), "")[:2] == (0, 28), "no fingerprint, no cache"
    degraded = again(Colours(), name="lfw-xq-synthetic")[:2]
    assert degraded == (24, 24), "of 36 images, 12 are those of LFW"
    image = lfw_root / "lfw/P0_0/P0_0_0001.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    assert again(Colours())[:2] == (1, 1)
    assert not list(cache.rglob("*.partial"))


def test_an_interrupted_run_goes_on_where_it_stopped(lfw_root, tmp_path, monkeypatch):
    monkeypatch.setattr("difiqa_hf.benchmarks.compute.CHUNK", 10)

    class Tired(Brightness):
        def score(self, pixel_values):
            if self.n_images >= 20:
                raise KeyboardInterrupt
            return super().score(pixel_values)

    with pytest.raises(KeyboardInterrupt):
        evaluate(lfw_root, methods=[Tired()], cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 4, "embeddings and qualities of two chunks"
    recognizer, method = Colours(), Brightness()
    result = evaluate(lfw_root, {"colours": recognizer}, [method], cache_dir=tmp_path)
    assert (recognizer.n_images, method.n_images) == (8, 8)
    assert not list(tmp_path.rglob("*.partial"))
    assert result["results"][0]["curve"] == evaluate(lfw_root)["results"][0]["curve"]


def test_figures_are_kept_too(lfw_root, tmp_path, monkeypatch):
    first = evaluate(lfw_root, cache_dir=tmp_path)
    monkeypatch.setattr("difiqa_hf.benchmarks.figures.error_discard", None)
    monkeypatch.setattr("difiqa_hf.benchmarks.available.decode", None)
    again = evaluate(lfw_root, cache_dir=tmp_path)
    for row in (*first["results"], *again["results"]):
        row.pop("seconds")
    assert again["results"] == first["results"]
    with pytest.raises(TypeError):
        evaluate(lfw_root, cache_dir=tmp_path, options={"fmr_rule": "le"})


def test_options_and_persons_reach_the_figures(lfw_root):
    result = evaluate(lfw_root, options={"fmr_rule": "le", "unit": "image"}, num_resamples=5)
    assert result["protocol"]["options"]["fmr_rule"] == "le" and result["protocol"]["options"]["unit"] == "image"
    (row,) = result["results"]
    assert row["interval"]["resampled"] == "comparison" and row["interval_by_identity"]["resampled"] == "identity"
    assert result["benchmark"]["n_persons"] == 12 and result["hardware"]["cores"] >= 1


def test_templates_are_compared_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("difiqa_hf.benchmarks.runner.CHUNK", 5)
    root = write(tmp_path, ijbc_files())
    result = evaluate(root, name="ijb-c")
    benchmark = load_benchmark("ijb-c", root)
    images = np.stack([np.asarray(benchmark.load_image(i)) for i in range(16)])
    pixel_values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        sides = benchmark.side_embeddings(Colours()(pixel_values).numpy())
    unit = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    similarity = (unit @ unit.T)[tuple(benchmark.pairs.T)]
    quality = benchmark.side_qualities(pixel_values.mean((1, 2, 3)).numpy())
    expected = error_discard(similarity, benchmark.genuine, quality[benchmark.pairs], fmr=0.3)
    (row,) = result["results"]
    assert row["fnmr0"] == expected.fnmr0 and row["interval_by_identity"] is None
    assert row["curve"]["threshold"][0] == pytest.approx(expected.threshold[0])


def test_outputs_are_in_the_order_of_the_images(lfw_root):
    available = leave_out_unavailable(load_benchmark("lfw", lfw_root))
    task = Task(lambda pixel_values: pixel_values[:, :, 0, 0], "corner")
    (output,) = compute_outputs(available, [task], batch_size=5)
    expected = [np.asarray(available.benchmark.load_image(i))[0, 0] / 127.5 - 1 for i in range(28)]
    np.testing.assert_allclose(output.values, expected, atol=1e-6)


def test_what_cannot_be_scored_is_named_in_result_and_table(lfw_root):
    (lfw_root / "lfw/P0_0/P0_0_0001.jpg").unlink()
    result = evaluate(lfw_root)
    skipped = result["benchmark"]["skipped"]
    assert skipped["images"] == {"P0_0/P0_0_0001.jpg": "P0_0/P0_0_0001.jpg: missing"}
    assert skipped["n_comparisons"] == len(skipped["comparisons"]) == 2
    assert (result["results"][0]["n_genuine"], result["results"][0]["n_impostor"]) == (11, 11)
    assert "2 comparisons not scored: P0_0/P0_0_0001.jpg: missing" in format_results(result)


def test_no_error_is_undefined_not_zero(lfw_root):
    result = evaluate(lfw_root, {"always right": lambda pixel_values: (pixel_values[:, :, 0, 0] > 9) + 1.0}, fmr=0.5)
    (row,) = result["results"]
    assert row["fnmr0"] == 1 and row["pauc"]["0.3"] == 1, "equal scores never match"
    result = evaluate(lfw_root, {"colours": lambda pixel_values: pixel_values.mean((2, 3))}, fmr=0.99)
    (row,) = result["results"]
    assert row["fnmr0"] == 0 and row["pauc"] == {"0.2": None, "0.3": None} and row["areas"]["0.3"] is None
    assert "FNMR(0) is 0 of 12" in row["undefined"] and row["interval"]["low"] is None
    assert "FNMR(0) is 0 of 12" in format_results(result)


def test_refuses_before_scoring(lfw_root):
    method = Brightness()
    with pytest.raises(ValueError, match="unknown protocol"):
        evaluate(lfw_root, methods=[method], protocol="iso")
    assert method.n_images == 0

"""Pair lists, result tables and the metric on the Hub: without images, by the same push, usable by its own tools."""

import json
from pathlib import Path

import pytest

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.publish import read_pairs, write_pairs, write_results
from difiqa_hf.metrics import error_discard
from loopback_hub import PREFIX
from made_up_benchmarks import lfw_files, write

ROOT = Path(__file__).parents[2]
CODE = """
import json, sys, datasets, evaluate
from pathlib import Path
from difiqa_hf.benchmarks.publish import read_pairs
given = json.load(sys.stdin)
pairs = datasets.load_dataset(given["pairs"], split="train")
benchmark = read_pairs(given["pairs"], Path(given["root"]))
results = {name: datasets.load_dataset(given["results"], name, split="train") for name in ("results", "curves")}
metric = evaluate.load(given["metric"])
figures = metric.compute(predictions=[.1, .8, .7, .2, .1, .3], references=[1, 1, 1, 0, 0, 0],
                         quality=[.1, .8, .9, .5, .6, .7], fmr=.5, limits=[.3])
print(json.dumps({
    "pairs": pairs.column_names, "n_pairs": len(pairs), "genuine": benchmark.genuine.tolist(),
    "images": [benchmark.load_image(i).size for i in range(2)], "results": results["results"].to_list(),
    "n_curve": len(results["curves"]), "figure": figures["pauc_0.3"],
}))
"""


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    return load_benchmark("lfw", write(tmp_path_factory.mktemp("lfw"), lfw_files()))


def test_pairs_come_back_as_they_were(benchmark, tmp_path):
    again = read_pairs(write_pairs(benchmark, tmp_path), benchmark.root)
    assert again.images == benchmark.images and again.persons == benchmark.persons
    assert (again.pairs == benchmark.pairs).all() and (again.folds == benchmark.folds).all()
    (tmp_path / "pairs.csv").write_text("image_1,image_2,genuine,fold\na,b,yes,1\n")
    with pytest.raises(ValueError, match=r"line 2 .* genuine is 0 or 1"):
        read_pairs(tmp_path, benchmark.root)
    (tmp_path / "pairs.csv").write_text("image_1,genuine\na,1\n")
    with pytest.raises(ValueError, match="lacks the column image_2, fold"):
        read_pairs(tmp_path, benchmark.root)


@pytest.mark.skipif("__import__('os').environ.get('DIFIQA_TEST_HUB')", reason="the metric needs a public repository")
def test_pushed_and_used(benchmark, hub, difiqa, run, tmp_path):
    results = json.loads((ROOT / "model_cards" / "results" / "cfp-fp.json").read_text())
    write_pairs(benchmark, tmp_path / "pairs")
    write_results([results], tmp_path / "results")
    (tmp_path / "pairs" / "face.png").write_bytes(b"not for others")
    given = {kind: f"{hub.namespace}/{PREFIX}{kind}" for kind in ("pairs", "results")}
    given |= {"metric": f"{hub.namespace}/edc_pauc", "root": str(benchmark.root)}
    said = difiqa(tmp_path, "push", str(tmp_path / "pairs"), given["pairs"])
    assert "uploaded pairs.csv" in said and "left out: face.png" in said
    assert "uploaded results.csv" in difiqa(tmp_path, "push", str(tmp_path / "results"), given["results"])
    difiqa(tmp_path, "push", str(ROOT / "src" / "difiqa_hf" / "metrics" / "edc_pauc"), given["metric"])

    (tmp_path / "use.py").write_text(CODE)
    found = run(tmp_path / "use.py", given, tmp_path, HF_MODULES_CACHE=str(tmp_path / "modules"))
    assert found["pairs"] == ["image_1", "image_2", "genuine", "fold", "person_1", "person_2"]
    assert found["genuine"] == benchmark.genuine.tolist() and found["n_pairs"] == len(benchmark.pairs)
    assert found["images"] == [[112, 112]] * 2
    assert len(found["results"]) == len(results["results"]) and found["n_curve"] == 20 * len(results["results"])
    assert [row["pauc_0.3"] for row in found["results"]] == [row["pauc"]["0.3"] for row in results["results"]]
    similarity, quality = [0.1, 0.8, 0.7, 0.2, 0.1, 0.3], [0.1, 0.8, 0.9, 0.5, 0.6, 0.7]
    expected = error_discard(similarity, [1, 1, 1, 0, 0, 0], quality, fmr=0.5)
    assert found["figure"] == expected.pauc(0.3)

"""An experiment file in, result files and the paper's tables out."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import read_schema, write_table

from difiqa_hf.benchmarks.experiment import Experiment, run_experiment
from difiqa_hf.benchmarks.paper_tables import format_like, read_results
from difiqa_hf.benchmarks.scores import recall
from difiqa_hf.cli import main
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from made_up_benchmarks import cfp_files, lfw_files, write

MODEL_CARDS = Path(__file__).parents[2] / "model_cards"
RECALLING = [path for path in sorted((MODEL_CARDS / "experiments").glob("*.json")) if '"recall"' in path.read_text()]

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture
def experiment(tmp_path):
    """A file that names everything relative to itself."""
    write(tmp_path / "lfw", lfw_files())
    write(tmp_path / "cfp", cfp_files())
    config = MobileFaceNetConfig(stem_width=4, stages=[(1, 4, 1, 4)], last_width=8, embedding_size=8)
    MobileFaceNetRecognizer(config).save_pretrained(tmp_path / "tiny")
    content = {
        "benchmarks": [{"name": "lfw", "root": "lfw", "pairs": 20}, {"name": "cfp-ff", "root": "cfp"}],
        "recognizers": {"a": "tiny", "b": "tiny"},
        "methods": ["random", {"name": "norm", "recognizer": "tiny", "label": "norm of tiny"}],
        "baseline": "random",
        "fmr": 0.3,
        "num_resamples": 5,
    }
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps(content))
    return path


def test_many_recognisers_methods_and_benchmarks_in_one_call(experiment, tmp_path, capsys):
    arguments = ["--experiment", str(experiment), "-o", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main(["evaluate", *arguments]) == 0
    assert "lfw: 10 genuine" in capsys.readouterr().out
    results = [json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("lfw", "cfp-ff")]
    assert [len(result["results"]) for result in results] == [4, 4]
    assert [row.get("label") for row in results[0]["results"]] == [None, "norm of tiny"] * 2
    against = [row.get("against_baseline") for row in results[0]["results"]]
    assert against[0] is None and against[1]["low"] <= against[1]["high"] and 0 < against[1]["p_value"] <= 1
    figures = [row["pauc"]["0.3"] for row in results[0]["results"]]
    assert against[1]["difference"] == pytest.approx(figures[1] - figures[0])
    assert main(["table", str(tmp_path / "out"), "--plots", str(tmp_path / "plots")]) == 0
    table = capsys.readouterr().out
    assert "| method | lfw | cfp-ff | mean |" in table and "**a**" in table and "norm of tiny" in table
    assert "protocol paper: fmr_rule lt" in table
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert drawn == {f"edc-{name}-{r}.svg" for name in ("lfw", "cfp-ff") for r in "ab"}


def test_what_a_method_names_lies_beside_the_experiment_or_on_the_hub(experiment):
    change = {"methods": [{"name": "pfe", "checkpoint": "tiny"}, {"name": "magface", "checkpoint": "user/magface"}]}
    experiment.write_text(json.dumps(json.loads(experiment.read_text()) | change | {"baseline": None}))
    methods = Experiment.read(experiment).methods
    assert [entry["checkpoint"] for entry in methods] == [str(experiment.parent / "tiny"), "user/magface"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metods": []}, r"unknown keys \['metods'\], missing \[\]"),
        ({"methods": []}, r"missing \['methods'\]"),
        ({"benchmarks": [{"name": "lfw"}]}, "a name and a root"),
        ({"benchmarks": [{"name": "lfw", "root": "lfw", "pair": 4}]}, r"knows no \['pair'\]; it takes fmr, name,"),
        ({"benchmarks": [{"name": "lfw", "root": "lfw", "fmr": 2}]}, r"fmr must be in \(0, 1\), found 2"),
        ({"protocol": "iso"}, "unknown protocol 'iso'"),
        ({"baseline": "norm"}, "baseline 'norm' is none of random, norm of tiny"),
        ({"methods": "norm"}, "methods must be a list, found 'norm'"),
        ({"methods": [{"label": "x"}]}, r"a method is a name, or an object that has one, found \{'label': 'x'\}"),
        ({"methods": ["norm", "norm"]}, "several methods are called norm; give each a label"),
        ({"recognizers": ["tiny"]}, r"recognizers must be an object, found \['tiny'\]"),
        ({"benchmarks": ["lfw"]}, "every benchmark needs a name and a root, found 'lfw'"),
        ({"num_resamples": "many"}, "num_resamples must be a whole number, found 'many'"),
        ({"mean": [1]}, "mean must be a string, found 1"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"methods": [{"name": "norm", "label": 3}]}, "label must be a string, found 3"),
        ({"benchmarks": [{"name": "lfw", "root": 3}]}, "root must be a string, found 3"),
        (
            {"benchmarks": [{"name": "lfw", "root": "lfw", "pairs": "many"}]},
            "pairs must be a whole number",
        ),
        ({"benchmarks": [{"name": "lfw", "root": "lfw", "pairs": n} for n in (2, 4)]}, "called alike: lfw, lfw"),
        ({"mean": ["lfw", "adience"]}, "no benchmark adience to take the mean of"),
    ],
)
def test_wrong_experiments_are_refused_before_anything_is_loaded(experiment, change, message):
    experiment.write_text(json.dumps(json.loads(experiment.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        Experiment.read(experiment)


@pytest.mark.parametrize(("text", "message"), [("{", "is not JSON"), ("[1]", "must hold a JSON object, found a list")])
def test_a_file_that_is_no_experiment_is_named(tmp_path, text, message):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(ValueError, match=rf"e\.json {message}"):
        Experiment.read(tmp_path / "e.json")


def test_all_roots_are_there_before_anything_is_loaded(experiment, tmp_path):
    content = json.loads(experiment.read_text())
    content["benchmarks"][1]["root"] = "nowhere.zip"
    experiment.write_text(json.dumps(content | {"recognizers": {"a": "user/nothing"}}))
    with pytest.raises(FileNotFoundError, match=r"1 of the roots do not exist: .*nowhere\.zip"):
        next(run_experiment(Experiment.read(experiment), tmp_path / "out"))


def test_means_have_the_interval_of_joint_resamples(experiment, tmp_path):
    """Of a benchmark over the recognisers, and over the benchmarks; as each pair of figures says alone."""
    content = json.loads(experiment.read_text())
    experiment.write_text(json.dumps(content | {"num_resamples": 30}))
    results = [found for _, found in run_experiment(Experiment.read(experiment), tmp_path / "out")]
    for found in results:
        first, second = found["means"]
        assert "samples" not in first and second["label"] == "norm of tiny"
        rows = [row for row in found["results"] if row["method"] == "norm"]
        assert second["pauc"]["0.3"] == pytest.approx(sum(row["pauc"]["0.3"] for row in rows) / 2)
        assert second["interval"] == rows[0]["interval_by_identity"], "of one recogniser twice: its own"
        against = dict(second["against_baseline"])
        assert against == rows[0]["against_baseline"] == rows[1]["against_baseline"]
        assert "against_baseline" not in first
    overall = json.loads((tmp_path / "out" / "means.json").read_text())
    assert overall["mean_of"] == ["lfw", "cfp-ff"] and overall["baseline"] == "random"
    expected = sum(found["means"][1]["pauc"]["0.3"] for found in results) / 2
    assert overall["means"][1]["pauc"]["0.3"] == pytest.approx(expected)
    assert overall["means"][1]["against_baseline"]["num_resamples"] == 30
    experiment.write_text(json.dumps(content | {"mean": ["lfw"]}))
    assert len(list(run_experiment(Experiment.read(experiment), tmp_path / "out"))) == 2
    assert not (tmp_path / "out" / "means.json").exists(), "of the run before"


def test_a_benchmark_may_have_its_own_fmr(experiment, tmp_path):
    benchmarks = [{"name": "lfw", "root": "lfw"}, {"name": "lfw-xq-synthetic", "root": "lfw", "fmr": 0.4}]
    change = {"benchmarks": benchmarks, "methods": ["random"], "baseline": None}
    experiment.write_text(json.dumps(json.loads(experiment.read_text()) | change))
    results = [result for _, result in run_experiment(Experiment.read(experiment), tmp_path / "out")]
    assert [result["protocol"]["fmr"] for result in results] == [0.3, 0.4]


def result(name, pauc, options=None, recognizer="r", fmr=0.001, n_comparisons=6000):
    rows = [{"method": m, "recognizer": recognizer, "pauc": {"0.2": 1.0, "0.3": v}} for m, v in pauc.items()]
    protocol = {"name": "paper", "fmr": fmr, "options": options or {"fmr_rule": "lt"}}
    return {"benchmark": {"name": name, "n_comparisons": n_comparisons}, "protocol": protocol, "results": rows}


def test_table_of_the_paper():
    results = [
        result("folder", {"a": 0.9, "b": 0.8}), result("lfw", {"a": 0.5, "b": 0.75}),
        result("adience", {"a": 0.25, "b": None}),
    ]  # fmt: skip
    assert format_like(results).splitlines()[4:] == [
        "| method | adience | lfw | folder | mean |",
        "|---|---|---|---|---|",
        "| a | **0.250** | **0.500** | 0.900 | **0.550** |",
        "| b | n/a | 0.750 | **0.800** | n/a |",
    ]
    assert "1.000" in format_like(results, "paper-table-2-at-0.2")
    with pytest.raises(ValueError, match="known: paper-table-2"):
        format_like(results, "table-3")


def test_a_table_names_the_target_rate_of_every_column():
    results = [result("lfw", {"a": 0.5}), result("lfw", {"a": 0.25, "b": 0.75}, fmr=0.01)]
    first, *_, head, line, a, b = format_like(results).splitlines()
    assert first.startswith("pAUC(0.3) at the FMR of the column, 0.001 or 0.01, lower is better; protocol paper: ")
    assert head == "| method | lfw, FMR 0.001 | lfw, FMR 0.01 |" and line == "|---|---|---|"
    assert a == "| a | **0.500** | **0.250** |" and b == "| b | n/a | 0.750 |"
    with pytest.raises(ValueError, match=r"two figures of a on lfw at FMR 0\.001 with r"):
        format_like([*results, result("lfw", {"a": 0.75})])


def test_the_shipped_results_are_a_table():
    shipped = Path(__file__).parents[2] / "model_cards/results"
    assert "lfw-xq-synthetic, FMR 0.01 |" in format_like(read_results(shipped))


def test_protocols_are_not_mixed(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(result("lfw", {"a": 1})))
    (tmp_path / "bench.json").write_text("[1]")
    assert len(read_results(tmp_path)) == 1
    (tmp_path / "b.json").write_text(json.dumps(result("lfw", {"a": 1}, {"fmr_rule": "le"})))
    with pytest.raises(ValueError, match=r"different protocols .* a\.json: .*lt.* b\.json: .*le"):
        read_results(tmp_path)
    (tmp_path / "b.json").write_text(json.dumps(result("lfw", {"a": 1}, n_comparisons=500)))
    with pytest.raises(ValueError, match=r"a\.json and b\.json .* different comparisons .* \(6000 and 500 comparisons"):
        read_results(tmp_path)
    with pytest.raises(FileNotFoundError, match="found no result"):
        read_results(write(tmp_path / "empty", {"x.txt": ""}))


def test_results_come_one_by_one(experiment, tmp_path):
    path, first = next(run_experiment(Experiment.read(experiment), tmp_path / "out"))
    assert path.name == "lfw.json" and json.loads(path.read_text()) == first


def test_a_method_is_recalled_from_its_scores(experiment, tmp_path, capsys):
    """Somebody else's weights are not needed where their scores are published."""
    scores = str(tmp_path / "scores")
    content = json.loads(experiment.read_text())
    content["benchmarks"] = content["benchmarks"][:1]
    experiment.write_text(json.dumps(content))
    assert main(["evaluate", "--experiment", str(experiment), "-o", str(tmp_path / "first"), "--scores", scores]) == 0
    first = json.loads((tmp_path / "first" / "lfw.json").read_text())["results"]
    revision = first[1]["method_revision"]
    content["methods"][1] = {"name": "norm", "recall": revision, "label": "norm of tiny"}
    experiment.write_text(json.dumps(content))
    assert main(["evaluate", "--experiment", str(experiment), "-o", str(tmp_path / "again"), "--scores", scores]) == 0
    again = json.loads((tmp_path / "again" / "lfw.json").read_text())["results"]
    assert [row | {"seconds": 0} for row in again] == [row | {"seconds": 0} for row in first]
    capsys.readouterr()

    content["methods"][1]["recall"] = "0123"
    experiment.write_text(json.dumps(content))
    assert main(["evaluate", "--experiment", str(experiment), "-o", str(tmp_path / "no"), "--scores", scores]) == 1
    assert "no scores of norm 0123 in" in capsys.readouterr().err
    assert main(["evaluate", "--experiment", str(experiment), "-o", str(tmp_path / "no")]) == 1
    assert "norm is to be recalled from its scores: say where they lie, by --scores" in capsys.readouterr().err
    content["methods"][1] |= {"recall": revision, "seed": 3}
    experiment.write_text(json.dumps(content))
    assert main(["evaluate", "--experiment", str(experiment), "-o", str(tmp_path / "no"), "--scores", scores]) == 1
    assert "takes a name, a revision and a label only" in capsys.readouterr().err


def test_what_is_recalled_must_be_told_from_others_and_lie_on_file(tmp_path):
    for number, fingerprint in enumerate(("norm aaa-1", "norm aaa-2")):
        facts = {"method": "norm", "method_revision": "aaa", "fingerprint": fingerprint}
        (tmp_path / "lfw").mkdir(exist_ok=True)
        write_table(
            pa.table({"score": [0.5]}).replace_schema_metadata(facts), tmp_path / "lfw" / f"norm-{number}.parquet"
        )
    with pytest.raises(ValueError, match=r"norm aaa may be any of \['norm aaa-1', 'norm aaa-2'\]"):
        recall(tmp_path, "norm", "aaa")
    found = recall(tmp_path, "norm", "aaa-2")
    assert (found.name, found.fingerprint, found.revision) == ("norm", "norm aaa-2", "aaa")
    with pytest.raises(FileNotFoundError, match="norm aaa has no scores on file for these images"):
        found(None)


@pytest.mark.parametrize("path", RECALLING, ids=lambda path: path.stem)
def test_what_the_experiments_on_file_recall_is_there_once(path):
    experiment, scores = json.loads(path.read_text()), MODEL_CARDS / "results" / "scores"
    for entry in experiment["methods"]:
        if "recall" in entry:
            fingerprint = recall(scores, entry["name"], entry["recall"]).fingerprint.encode()
            for benchmark in experiment["benchmarks"]:
                files = (scores / benchmark["name"]).glob(f"{entry['name']}-*.parquet")
                found = [file for file in files if read_schema(file).metadata[b"fingerprint"] == fingerprint]
                assert len(found) == 1, (entry, benchmark["name"])

"""Evaluation by several real processes, as `accelerate launch` starts them."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from alike import assert_alike
from difiqa_hf.benchmarks import compute, load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.cli import main
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
          "1", "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no", "--module"]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")
def test_two_processes_write_what_one_writes(lfw_root, tmp_path, capsys):
    config = MobileFaceNetConfig(stem_width=4, stages=[(1, 4, 1, 4)], last_width=8, embedding_size=8)
    MobileFaceNetRecognizer(config).save_pretrained(tmp_path / "tiny")
    experiment = {
        "benchmarks": [{"name": "lfw", "root": str(lfw_root)}],
        "recognizers": {"a": "tiny"},
        "methods": ["random", {"name": "mirror", "recognizer": "tiny"}, {"name": "norm", "recognizer": "tiny"}],
        "baseline": "random",
        "fmr": 0.3,
        "num_resamples": 5,
    }
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(experiment))

    def arguments(name: str) -> list[str]:
        return ["evaluate", "--experiment", str(file), "--cache", str(tmp_path / f"cache-{name}"),
                "-o", str(tmp_path / name)]  # fmt: skip

    assert main(arguments("one")) == 0
    two = subprocess.run(
        [*LAUNCH, "difiqa_hf", *arguments("two")], env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr[-2000:]
    results = [json.loads((tmp_path / name / "lfw.json").read_text())["results"] for name in ("one", "two")]
    for row in (*results[0], *results[1]):
        row.pop("seconds")
    assert_alike(results[0], results[1], 1e-5)
    assert len(results[0]) == 3
    files = [len(list((tmp_path / f"cache-{name}").rglob("*.npz"))) for name in ("one", "two")]
    assert files == [4, 8], "embeddings and three qualities, by each of the processes"
    assert two.stdout.count("lfw: 12 genuine") == 1, "only the first process prints"


def test_several_processes_need_a_cache(lfw_root, monkeypatch):
    monkeypatch.setattr(compute, "process_state", lambda: SimpleNamespace(num_processes=2))
    task = compute.Task(lambda pixel_values: pixel_values, "something")
    with pytest.raises(ValueError, match="2 processes meet in the cache"):
        compute.compute_outputs(leave_out_unavailable(load_benchmark("lfw", lfw_root)), [task])

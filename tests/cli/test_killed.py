"""`difiqa score` killed for real, at random moments."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import picture

CODE = "import sys; from difiqa_hf.cli import main; sys.exit(main(sys.argv[1:]))"


def start(folder: Path, output: str, environment: dict) -> subprocess.Popen:
    arguments = ["score", "images", "-o", output, "--method", "random", "--batch-size", "4"]
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["scores.csv", "scores.parquet"])
def test_killed_and_resumed(tmp_path, output):
    (tmp_path / "images").mkdir()
    for i in range(600):
        picture(seed=i, side=400).save(tmp_path / "images" / f"{i:03d}.jpg")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    assert start(tmp_path, f"whole-{output}", environment).wait() == 0
    progress, kills, rng = tmp_path / f"{output}.progress", 0, random.Random(0)
    while kills < 3:
        before = progress.stat().st_size if progress.exists() else 0
        process = start(tmp_path, output, environment)
        while process.poll() is None and not (progress.exists() and progress.stat().st_size > before):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills, "the run was too fast to be killed: use more images"
    assert start(tmp_path, output, environment).wait() == 0
    assert (tmp_path / output).read_bytes() == (tmp_path / f"whole-{output}").read_bytes()
    assert not progress.exists()

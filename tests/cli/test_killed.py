"""`difiqa score` killed for real, ten times at random moments of a run over 5,000 real faces."""

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

CODE = "import sys; from difiqa_hf.cli import main; sys.exit(main(sys.argv[1:]))"
IMAGES, KILLS = 5_000, 10


def start(folder: Path, output: str) -> subprocess.Popen:
    command = [sys.executable, "-c", CODE, "score", "faces", "-o", output]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def complete_chunks(progress: Path) -> int:
    """A line of the log each, after that of the settings."""
    return max(0, progress.read_bytes().count(b"\n") - 1) if progress.exists() else 0


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
    """Faces of LFW, loose files in one folder."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "faces").mkdir()
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:IMAGES]:
            (folder / "faces" / Path(name).name).write_bytes(archive.read(name))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("output", ["scores.csv", "scores.parquet"])
def test_killed_ten_times_and_resumed(folder, output):
    assert start(folder, f"whole-{output}").wait() == 0
    progress, rng = folder / f"{output}.progress", random.Random(0)
    for moment in sorted(rng.uniform(0, 0.95) for _ in range(KILLS)):  # of the whole run
        process = start(folder, output)
        while process.poll() is None and complete_chunks(progress) < moment * IMAGES / 32:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None, "finished before it was killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < complete_chunks(progress) < IMAGES / 32
    assert start(folder, output).wait() == 0
    assert (folder / output).read_bytes() == (folder / f"whole-{output}").read_bytes()
    assert not progress.exists()

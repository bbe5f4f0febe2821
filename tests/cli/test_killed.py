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

ONE = ["-m", "difiqa_hf"]
LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --main_process_port 0"
TWO = [*LAUNCH.split(), "--mixed_precision", "no", "--dynamo_backend", "no", "--module", "difiqa_hf"]
IMAGES, KILLS = 5_000, 10


def start(folder: Path, output: str, program: list[str] = ONE) -> subprocess.Popen:
    command = [sys.executable, *program, "score", "faces", "-o", output]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)


def family(pid: int) -> list[int]:
    """A process and all that come from it: a launcher gives each of its processes a session of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def kill(process: subprocess.Popen) -> None:
    """The whole family at once: the launcher first would leave its processes behind."""
    for pid in reversed(family(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def complete_chunks(folder: Path, output: str) -> int:
    """In the logs of all processes a line each, after that of the settings."""
    logs = folder.glob(f"{output}*.progress")
    return sum(max(0, log.read_bytes().count(b"\n") - 1) for log in logs)


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
@pytest.mark.parametrize(
    ("output", "program"), [("scores.csv", ONE), ("scores.parquet", ONE), ("shared.csv", TWO)], ids=str
)
def test_killed_ten_times_and_resumed(folder, output, program):
    assert start(folder, f"whole-{output}").wait() == 0
    rng = random.Random(0)
    for moment in sorted(rng.uniform(0, 0.95) for _ in range(KILLS)):  # of the whole run
        process = start(folder, output, program)
        while process.poll() is None and complete_chunks(folder, output) < moment * IMAGES / 32:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        assert process.poll() is None, "finished before it was killed"
        kill(process)
    assert 0 < complete_chunks(folder, output) < IMAGES / 32
    assert start(folder, output, program).wait() == 0
    assert (folder / output).read_bytes() == (folder / f"whole-{output}").read_bytes()
    assert not list(folder.glob(f"{output}.*"))

"""Training scripts as a user starts, kills and restarts them: in real processes, one or two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from toys import toy_faces

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
# `accelerate launch --cpu --num_processes 2` silently starts one process: these flags start two
TWO_PROCESSES = [
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no",
]  # fmt: skip


def command(script: str, *arguments, processes: int = 1) -> list[str]:
    launcher = [sys.executable] if processes == 1 else TWO_PROCESSES
    return [*launcher, str(TRAINING / script), *map(str, arguments)]


def run(script: str, *arguments, processes: int = 1) -> subprocess.CompletedProcess:
    arguments = command(script, *arguments, processes=processes)
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)


def ok(result: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert result.returncode == 0, result.stderr[-2000:]
    return result


def kill_when(exists: Path, script: str, *arguments, processes: int = 1) -> None:
    """Start a script, and SIGKILL it and its children as soon as a file is there; it must not be done by then."""
    process = subprocess.Popen(
        command(script, *arguments, processes=processes),
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 500
    while not exists.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    still_running = process.poll() is None
    if still_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert exists.exists() and still_running, f"{script} was over before it could be killed"


def write_faces(folder: Path, count: int) -> Path:
    """Made-up faces and one file that is none."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, face in enumerate(toy_faces(count)):
        levels = ((face + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder

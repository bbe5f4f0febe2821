"""Commands of the documents, and a folder as their readers have it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

import difiqa_hf
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import make_versions, portrait
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from made_up_benchmarks import lfw_files, write, zipped

ROOT = Path(__file__).parents[1]
PACKAGE = Path(difiqa_hf.__file__).parent
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONWARNINGS": "ignore"}


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of the fenced blocks in bash and Python."""
    return re.findall(r"```(bash|python)\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    """Lines of the bash blocks, those that end in a backslash joined."""
    joined = "".join(block for language, block in blocks(text) if language == "bash").replace("\\\n", " ")
    return [line for line in joined.splitlines() if shlex.split(line, comments=True)]


def fill(folder: Path) -> Path:
    """crops, photos, pairs.csv, a benchmark and a recogniser of one's own."""
    (folder / "crops").mkdir(parents=True)
    for i, version in enumerate(make_versions()[:6]):
        version.image.save(folder / "crops" / f"{'abcdef'[i]}.png")
    (folder / "crops" / "broken.png").touch()
    (folder / "photos").mkdir()
    portrait().save(folder / "photos" / "portrait.png")
    zipped(write(folder / "lfw", lfw_files()), folder / "lfw.zip")
    torch.manual_seed(0)
    torch.save(MobileFaceNetRecognizer(MobileFaceNetConfig()).state_dict(), folder / "mine.pt")
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(2000) % 2, rng.normal(size=(2000, 2))
    similarity = 0.1 * rng.normal(size=2000) + genuine * (0.4 + 0.1 * quality.min(1))
    header = "similarity,genuine,quality_1,quality_2"
    table = np.column_stack([similarity, genuine, quality])
    np.savetxt(folder / "pairs.csv", table, "%.6f", ",", header=header, comments="")
    shutil.copytree(PACKAGE / "checkpoints" / "difiqa_r", folder / "my_regressor")
    return folder


def write_clip(path: Path) -> None:
    """Two seconds of a portrait."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 4, (112, 112))
    for _ in range(8):
        writer.write(np.asarray(make_versions()[0].image))
    writer.release()


def run(line: str, apart: bool = False, **environment: str) -> None:
    """A command of a document in the present folder; difiqa's in this process, unless it is to run `apart`.

    The names `difiqa`, `python` and `accelerate` need not be on the path.
    """
    words = shlex.split(line, comments=True)
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    if words[0] == "difiqa" and not apart:
        assert main(words[1:]) == 0, line
        return
    programs = {"difiqa": ["-m", "difiqa_hf"], "python": [], "accelerate": ["-m", "accelerate.commands.accelerate_cli"]}
    command = [sys.executable, *programs[words[0]], *words[1:]]
    done = subprocess.run(command, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"

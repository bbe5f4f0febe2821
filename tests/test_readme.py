"""Every command and every piece of Python in the README, in order, in one folder, with a Hub on the loopback."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from difiqa_hf.detection import MODEL_VARIABLE
from documents import ROOT, blocks, commands, fill, run, write_clip
from loopback_hub import LoopbackHub
from made_up_benchmarks import cfp_files, lfw_files, write, zipped
from toys import toy_recognizer

sys.path.append(str(Path(__file__).parent / "conversion"))
import official_files

README = (ROOT / "README.md").read_text(encoding="utf-8")
EXEMPT = ("make ", "pip install ")  # what CI does
LINES = [line for line in commands(README) if not line.startswith(EXEMPT)]
# other processes, which import everything again, or ten repeats of DifFIQA
SLOW = re.compile("accelerate launch|--method difiqa difiqa-r")
DETECTS = re.compile("--detect|difiqa explain|difiqa best")
PIECES = [content for language, content in blocks(README) if language == "python"]

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning", "ignore:.*resamples:UserWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """What the commands take for granted."""
    folder = fill(tmp_path_factory.mktemp("readme") / "place")
    for name in ("a", "b"):
        (folder / f"{name}.jpg").write_bytes((folder / "crops" / f"{name}.png").read_bytes())
    (folder / "photo.jpg").write_bytes((folder / "photos" / "portrait.png").read_bytes())
    zipped(write(folder / "cfp", cfp_files(folds=("01",), people=2)), folder / "cfp.zip")
    zipped(write(folder / "small", lfw_files(folds=1, per_kind=2)), folder / "lfw.zip")
    toy_recognizer().save_pretrained(folder / "my_recogniser")
    torch.save(official_files.arcface(), folder / "backbone.pth")
    torch.save(official_files.difiqa_r(), folder / "diffiqa(r).pth")
    torch.save(official_files.difiqa(), folder / "model.pt")
    (folder / "src").symlink_to(ROOT / "src")
    (experiment,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    (folder / "experiment.json").write_text(experiment.replace('"num_repeats": 4', '"num_repeats": 1'))  # quicker
    return folder


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LoopbackHub() as server:
        home = {"HF_HOME": str(tmp_path_factory.mktemp("home")), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
        yield home | {"HF_ENDPOINT": server.endpoint, "HF_TOKEN": server.token}


def weights(request) -> Path:
    """Of others, or the test is skipped."""
    return request.getfixturevalue("shared") / "weights"


@pytest.mark.parametrize("line", [pytest.param(x, marks=[pytest.mark.slow] * bool(SLOW.search(x))) for x in LINES])
def test_command(place, hub, monkeypatch, request, line):
    monkeypatch.chdir(place)
    if DETECTS.search(line):
        monkeypatch.setenv(MODEL_VARIABLE, str(weights(request) / "yunet" / "yunet_n_640_640.onnx"))
    if "lightqnet-dm100.pb" in line:
        Path("lightqnet-dm100.pb").symlink_to(weights(request) / "lightqnet" / "lightqnet-dm100.pb")
    if "clip.mp4" in line:
        pytest.importorskip("cv2")
        write_clip(Path("clip.mp4"))
    if " -o scores.csv" in line:
        Path("scores.csv").unlink(missing_ok=True)
    apart = line.startswith(("difiqa push", "difiqa convert --help"))  # the Hub's address is read at the start
    run(line, apart, **hub if apart else {})


@pytest.mark.parametrize("number", range(len(PIECES)))
def test_python(place, monkeypatch, request, number):
    monkeypatch.chdir(place)
    if "detect=True" in PIECES[number]:
        monkeypatch.setenv(MODEL_VARIABLE, str(weights(request) / "yunet" / "yunet_n_640_640.onnx"))
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(2000) % 2, rng.normal(size=(2000, 2))
    names = {
        "my_model": lambda pixel_values: pixel_values.mean((2, 3)),
        "similarity": 0.1 * rng.normal(size=2000) + genuine * (0.4 + 0.1 * quality.min(1)),
        "genuine": genuine, "quality": quality, "quality_a": quality, "quality_b": rng.normal(size=2000),
        "persons": np.column_stack([np.arange(2000) // 2 % 50, (np.arange(2000) // 2 + 1 - genuine) % 50]),
    }  # fmt: skip
    exec(compile(PIECES[number], "README.md", "exec"), names)


def test_no_command_is_left_out():
    fenced = "".join(re.findall(r"```.*?```", README, re.DOTALL))
    found = [line for line in fenced.splitlines() if line.startswith(("difiqa ", "accelerate ", "python "))]
    assert found == LINES
    assert len(PIECES) == fenced.count("```python")


def test_the_tests_that_the_table_names_are_there():
    section = README.split("## On the Hub")[1].split("\n## ")[0]
    rows = [line.rsplit("|", 2)[1] for line in section.splitlines() if line.startswith("| ")]
    names = sorted({name for row in rows for name in re.findall(r"`(test_\w+?)_?…?(?:\.py)?`", row)})
    files = {path.name: path.read_text() for path in (ROOT / "tests" / "hub").glob("*.py")}
    for name in names:
        assert f"{name}.py" in files or any(f"def {name}" in text for text in files.values()), name
    assert len(names) >= 3 and os.environ.get("HF_HUB_OFFLINE") == "1"

"""The folder for a Space."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from difiqa_hf.cli import main


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    pytest.importorskip("gradio")
    folder = tmp_path_factory.mktemp("space") / "page"
    assert main(["app", "--space", str(folder)]) == 0
    return folder


def test_a_folder_that_needs_no_index_to_have_the_package(space):
    names = {"LICENSE", "README.md", "app.py", "difiqa_hf", "requirements.txt"}
    assert {path.name for path in space.iterdir()} == names and not list(space.rglob("__pycache__"))
    assert (space / "difiqa_hf" / "checkpoints" / "difiqa_r" / "model.safetensors").stat().st_size > 1e6
    wanted = [Requirement(line) for line in (space / "requirements.txt").read_text().splitlines() if line[:2] != "--"]
    found = {requirement.name for requirement in wanted}
    assert {"torch", "gradio", "opencv-python-headless", "matplotlib"} <= found and "difiqa-hf" not in found
    assert not found & {"pytest", "ruff", "onnx"} and all(requirement.marker is None for requirement in wanted)
    about = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert about["sdk"] == "gradio" and about["app_file"] == "app.py"
    assert about["python_version"] == ".".join(map(str, sys.version_info[:2])) and about["sdk_version"][0].isdigit()


def test_nothing_is_overwritten_and_only_shipped_weights_go(space, tmp_path, capsys):
    before = sorted(space.rglob("*"))
    assert main(["app", "--space", str(space)]) == 1
    assert "not an empty folder: name a new one" in capsys.readouterr().err and sorted(space.rglob("*")) == before
    for method in ("magface", "difiqa-r=folder"):
        assert main(["app", "--space", str(tmp_path / "new"), "--method", method]) == 1
        assert "a Space gets the weights that ship" in capsys.readouterr().err
    assert main(["app", "--space", str(tmp_path / "new"), "--method", "mirror"]) == 0
    assert 'serve_space("mirror")' in (tmp_path / "new" / "app.py").read_text()


@pytest.mark.slow
def test_the_page_of_the_folder_starts(space):
    """From the copy, in a process of its own, for this machine only."""
    page = space / "difiqa_hf" / "app" / "page.py"
    page.write_text(page.read_text().replace("# Face image quality", "# From the copy", 1))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    environment.pop("SPACE_ID", None)
    process = subprocess.Popen([sys.executable, "app.py"], cwd=space, env=environment)
    try:
        assert "# From the copy" in json.dumps(_config(f"http://127.0.0.1:{port}/config", process))
        listening = Path("/proc/net/tcp")
        if listening.exists():
            assert f"00000000:{port:04X} " not in listening.read_text(), "for this machine only"
    finally:
        process.terminate()
        process.wait(30)


def _config(address: str, process: subprocess.Popen) -> dict:
    for _ in range(240):
        assert process.poll() is None, "the page has ended"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return json.load(answer)
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"nothing at {address}")

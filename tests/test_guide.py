"""Every command and every piece of Python in the guide, in order, in one folder, with the shipped weights."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import difiqa_hf
from difiqa_hf.cli import main
from difiqa_hf.demo.versions import make_versions, portrait
from difiqa_hf.detection import MODEL_VARIABLE

PACKAGE = Path(difiqa_hf.__file__).parent
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (PACKAGE / "GUIDE.md").read_text(encoding="utf-8"), re.DOTALL)

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """crops, photos, pairs.csv and a folder of weights, as a reader of the guide has them."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "crops").mkdir()
    for i, version in enumerate(make_versions()[:6]):
        version.image.save(folder / "crops" / f"{'abcdef'[i]}.png")
    (folder / "crops" / "broken.png").touch()
    (folder / "photos").mkdir()
    portrait().save(folder / "photos" / "portrait.png")
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(2000) % 2, rng.normal(size=(2000, 2))
    similarity = 0.1 * rng.normal(size=2000) + genuine * (0.4 + 0.1 * quality.min(1))
    header = "similarity,genuine,quality_1,quality_2"
    np.savetxt(
        folder / "pairs.csv", np.column_stack([similarity, genuine, quality]), "%.6f", ",", header=header, comments=""
    )
    shutil.copytree(PACKAGE / "checkpoints" / "difiqa_r", folder / "my_regressor")
    return folder


@pytest.mark.parametrize(("kind", "text"), BLOCKS, ids=[text.split("\n")[0][:60] for _, text in BLOCKS])
def test_block(place, monkeypatch, request, kind, text):
    monkeypatch.chdir(place)
    pytest.importorskip("matplotlib")
    if kind == "python":
        exec(compile(text, "GUIDE.md", "exec"), {})
        return
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] != ["difiqa"]:
            assert words[:2] in ([], ["pip", "install"]), f"not tested: {line}"
            continue
        if "--detect" in words:
            shared = request.getfixturevalue("shared")
            monkeypatch.setenv(MODEL_VARIABLE, str(shared / "weights" / "yunet" / "yunet_n_640_640.onnx"))
        assert main(words[1:]) == 0, line


def test_every_command_is_in_the_guide_or_the_readme():
    from difiqa_hf.cli import COMMANDS

    text = (PACKAGE / "GUIDE.md").read_text(encoding="utf-8") + (PACKAGE.parents[1] / "README.md").read_text("utf-8")
    assert not [name for name in COMMANDS if f"difiqa {name}" not in text]

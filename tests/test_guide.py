"""Every command and every piece of Python in the guide, in order, in one folder, with the shipped weights.

What stands within sentences and tables runs too, after the blocks.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from difiqa_hf.cli import COMMANDS, main
from difiqa_hf.comparison_files import read_comparisons
from difiqa_hf.demo.versions import make_versions
from difiqa_hf.detection import MODEL_VARIABLE
from documents import PACKAGE, ROOT, blocks, fill, write_clip
from made_up_benchmarks import zipped

GUIDE = (PACKAGE / "GUIDE.md").read_text(encoding="utf-8")
BLOCKS = blocks(GUIDE)
OUTSIDE = re.sub(r"```.*?```", "", GUIDE, flags=re.DOTALL).replace("\\|", "|")
# commands within sentences and tables, also at the end of a pipe; the demo scores 34 images by the slow method
INLINE = sorted(set(re.findall(r"`((?:[^`\n]*\| )?difiqa [^`]*)`", OUTSIDE)))
INLINE = [pytest.param(text, marks=[pytest.mark.slow] * (text == "difiqa demo")) for text in INLINE]
INPUTS = re.findall(r"`([^`\n]*)`", re.search(r"\| you have \| you give \|\n(.*?)\n\n", OUTSIDE, re.DOTALL)[1])
INPUTS = [text for text in INPUTS if "#" not in text and text != "--fps" and "difiqa" not in text]

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """As a reader of the guide has it."""
    folder = fill(tmp_path_factory.mktemp("guide") / "place")
    make_versions()[0].image.save(folder / "-name.png")
    zipped(folder / "photos", folder / "photos.zip")
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


@pytest.mark.parametrize("text", INLINE)
def test_command_in_a_sentence(place, monkeypatch, text):
    monkeypatch.chdir(place)
    served = []
    monkeypatch.setattr("difiqa_hf.app.page.serve", lambda *args: served.append(args))  # which would not end
    pipe, words = text.rpartition("| ")[0], shlex.split(text.rpartition("| ")[2])[1:]
    if pipe:
        shell = f'difiqa() {{ "{sys.executable}" -m difiqa_hf "$@"; }}; {text}'
        subprocess.run(["bash", "-ec", shell], check=True)
    elif words[-1] == "--help":
        for name in COMMANDS if words[0] == "COMMAND" else words[:1]:
            with pytest.raises(SystemExit) as done:
                main([name, "--help"])
            assert done.value.code == 0, name
    else:
        assert main(words) == 0
    assert bool(served) == (text == "difiqa app")


@pytest.mark.parametrize("text", INPUTS)
def test_what_can_be_given(place, monkeypatch, text):
    monkeypatch.chdir(place)
    if text == "clip.mp4":
        pytest.importorskip("cv2")
        write_clip(Path("clip.mp4"))
    assert main(["score", "-o", "given.csv", "--restart", *shlex.split(text)]) == 0
    assert len(Path("given.csv").read_text().splitlines()) > 1


def test_the_comparisons_shown_are_of_the_form_that_is_read(tmp_path):
    (text,) = re.findall(r"```csv\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "pairs.csv").write_text(text)
    found = read_comparisons(tmp_path / "pairs.csv")
    assert found.similarity.tolist() == [0.71, 0.05] and found.quality.shape == (2, 2)


def test_the_patterns_leave_no_command_out():
    found = [text for _, text in BLOCKS] + [param.values[0] for param in INLINE]
    assert len(INPUTS) == 5 and GUIDE.count("difiqa ") == sum(text.count("difiqa ") for text in found)


def test_every_command_is_in_the_guide_or_the_readme():
    text = (PACKAGE / "GUIDE.md").read_text(encoding="utf-8") + (ROOT / "README.md").read_text("utf-8")
    assert not [name for name in COMMANDS if f"difiqa {name}" not in text]

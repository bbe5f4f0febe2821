"""Every command of training/README.md: its flags are those of the scripts, and (slow) it runs, on tiny sets."""

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from launching import TRAINING

from difiqa_hf.cli import command_parser
from documents import ENVIRONMENT, PACKAGE, ROOT, blocks, commands
from made_up_benchmarks import cfp_files, face, lfw_files, write, zipped

README = (TRAINING / "README.md").read_text(encoding="utf-8")
SCRIPTS = "\n".join(content for language, content in blocks(README) if language == "bash")
SETS = ("CELEBA", "LFW_REST", "PINS", "GLINT24", "POOL1", "POOL2")
NETWORKS = ("TEACHER", "EDGEFACE", "FIRST_RELEASE", "SECOND_RELEASE")
SHORTER = {  # what takes hours, in seconds
    r"--max_train_steps [1-9]\d*": "--max_train_steps 2",
    r"--checkpointing_steps \d+": "--checkpointing_steps 1",
    r"--model small": "--model toy --train_batch_size 2",
    r"--num_validation_images \d+": "--num_validation_images 2",
    r"--(reference_)?every \d+": r"--\1every 2",
    r"--epochs \d+": "--epochs 1",
    r" --compile": "",
    r"--people [\d ]+ --least [\d ]+": "--people 1 --least 2 ",
    r" --preset fastest": " --preset fastest --part_size 8",
    r"(train_method\.py .*?)(?=\s--data)": r"\1 --epochs 1",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A checkout with runs/ of its own, and everything that stands for something."""
    folder = tmp_path_factory.mktemp("checkout")
    work = folder / "training"
    work.mkdir()
    for path in TRAINING.glob("*.py"):
        (work / path.name).symlink_to(path)
    for number, name in enumerate(SETS):
        people = {f"p{person}/{shot}.png": face(10 * number + person, shot) for person in range(3) for shot in range(4)}
        zipped(write(folder / "sets" / name, people), work / name)
    for name in NETWORKS:
        (work / name).symlink_to(PACKAGE / "checkpoints" / "difiqa" / "recognizer")
    zipped(write(folder / "sets" / "crops", {f"{shot}.png": face(1, shot) for shot in range(3)}), work / "LFW")
    write(work / "crops", {f"{shot}.png": face(1, shot) for shot in range(3)})
    (work / "overlap.json").write_text(json.dumps({"lfw": ["CELEBA/p0", "POOL1/p0"]}))
    cards = folder / "model_cards"
    (cards / "experiments").mkdir(parents=True)
    (cards / "facts.json").write_text((ROOT / "model_cards" / "facts.json").read_text())
    roots = {"cfp": cfp_files(folds=("01",), people=2), "lfw": lfw_files(folds=1, per_kind=2)}
    for name, files in roots.items():
        write(cards / "experiments" / name, files)
    for name in ("denoisers", "longer", "recipes", "labels", "held-out-clean", "held-out-mixed"):
        text = (ROOT / "model_cards" / "experiments" / f"{name}.json").read_text()
        for runs in ("data/denoisers", "data/recipes"):
            text = text.replace(runs, "../../training/runs")
        text = text.replace("data/held_out", "../../training/runs/held_out")
        experiment = json.loads(text.replace('"pairs": 1200', '"pairs": 4'))
        for benchmark in experiment["benchmarks"]:
            benchmark["root"] = benchmark["root"] if benchmark["name"] == "folder" else benchmark["name"][:3]
        for method in experiment["methods"]:
            method |= {"recognizer": "../../training/TEACHER"} if "recognizer" in method else {}
        experiment["recognizers"] = {"toy": "../../training/TEACHER"}
        (cards / "experiments" / f"{name}.json").write_text(json.dumps(experiment))
    return work


def in_bash(script: str, place: Path, action: str) -> subprocess.CompletedProcess:
    """Run a script in which `python`, `accelerate` and `difiqa` are functions that do `action`."""
    names = {"python": "", "accelerate": "-m accelerate.commands.accelerate_cli", "difiqa": "-m difiqa_hf"}
    functions = "".join(f'{name}() {{ set -- {words} "$@"; {action}; }}\n' for name, words in names.items())
    command = ["bash", "-euc", f"{functions}{script}"]
    environment = ENVIRONMENT | {"PYTHON": sys.executable}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=1800)


def expanded(script: str, place: Path) -> list[list[str]]:
    """The argument lists that a script ends up with."""
    done = in_bash(script, place, 'printf "%s\\t" "$@"; echo')
    assert done.returncode == 0, done.stderr
    return [line.rstrip("\t").split("\t") for line in done.stdout.splitlines()]


def test_every_flag_is_one_of_the_scripts(place):
    found = expanded(SCRIPTS, place)
    assert len(found) > 40
    for words in found:
        if words[:2] == ["-m", "difiqa_hf"]:
            assert command_parser(words[2]).parse_args(words[3:]).__dict__
            continue
        script = next(i for i, word in enumerate(words) if word.endswith(".py"))
        name = Path(words[script]).stem
        if name == "train_difiqa_ddpm":
            assert import_module("ddpm_flags").parse_args("", words[script + 1 :]).output_dir
        else:
            assert import_module(name).parse_args(words[script + 1 :]).__dict__


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks(README))), ids=lambda number: blocks(README)[number][1][:40])
def test_every_block_runs_in_order(place, number):
    kind, script = blocks(README)[number]
    for pattern, shorter in SHORTER.items():
        script = re.sub(pattern, shorter, script)
    if kind == "python":
        script = f"python - <<'END'\nimport sys; sys.path.insert(0, '.')\n{script.replace('[::20]', '')}\nEND"
    done = in_bash(script, place, '"$PYTHON" "$@" || exit 1')
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-5000:]}"


def test_no_command_is_left_out():
    fenced = "".join(re.findall(r"```.*?```", README, re.DOTALL))
    starts = re.findall(r"^\s*(?:ACCELERATE_USE_CPU=true )?(?:python|accelerate|difiqa) ", fenced, re.MULTILINE)
    lines = [line.strip() for line in commands(README)]
    assert len(starts) == sum(line.startswith(("python ", "accelerate ", "difiqa ", "ACCELERATE_")) for line in lines)

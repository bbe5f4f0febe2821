"""What `difiqa score` refuses before it scores, and what it says of itself."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import picture

from difiqa_hf.cli import main


@pytest.mark.parametrize(
    ("name", "message"), [("a.png", "is the input a.png"), ("b.png", "does not look like a result")]
)
def test_pictures_are_not_written_over(in_folder, brightness, capsys, name, message):
    for seed, file in enumerate(("a.png", "b.png")):
        picture(seed=seed).save(file)
    before = Path(name).read_bytes()
    Path("link.csv").symlink_to("a.png")
    assert main(["score", "a.png", "-o", name]) == 1
    assert main(["score", "./a.png", "-o", "link.csv"]) == 1
    assert Path(name).read_bytes() == before and brightness.calls == []
    said = capsys.readouterr().err.splitlines()
    assert message in said[0] or message in said[1]


def test_repeats_only_for_methods_that_repeat(in_folder, capsys):
    picture().save("a.png")
    assert main(["score", "a.png", "--method", "random", "--num-repeats", "4"]) == 1
    assert "random has no repeats; leave out --num-repeats" in capsys.readouterr().err


@pytest.mark.parametrize("device", ["abacus", "gpu", "meta"])
def test_devices_that_are_none(in_folder, capsys, device):
    picture().save("a.png")
    assert main(["score", "a.png", "--method", "random", "--device", device]) == 1
    assert f"no device '{device}' here" in (line := capsys.readouterr().err) and len(line) < 200


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--batch-size", "0", "a whole number at least 1, found '0'"),
        ("--batch-size", "9" * 21, "found '999"),
        ("--fps", "-1", "a number at least 0"),
        ("--fps", "nan", "found 'nan'"),
        ("--min-size", "inf", "a number at least 0"),
        ("--max-megapixels", "0", "a number above 0"),
        ("--workers", "-1", "a whole number at least 0 and at most"),
        ("--num-repeats", "0", "a whole number at least 1"),
        ("--seed", "1.5", "a whole number, found '1.5'"),
    ],
)
def test_numbers_out_of_bounds_are_wrong_usage(in_folder, capsys, option, value, message):
    with pytest.raises(SystemExit) as end:
        main(["score", "a.png", option, value])
    printed = capsys.readouterr()
    assert end.value.code == 2 and printed.out == "" and f"argument {option}: must be a " in printed.err
    assert message in printed.err


def test_a_recognizer_without_use_is_noted(in_folder, capsys):
    picture().save("a.png")
    assert main(["score", "a.png", "--method", "random", "--recognizer", "mine"]) == 0
    assert "random has no use for --recognizer" in capsys.readouterr().err


def test_help_imports_no_network():
    code = "import sys; from difiqa_hf.cli import main\ntry: main(['score', '--help'])\nexcept SystemExit: pass\n"
    code += "print(sorted({'torch', 'transformers', 'PIL', 'numpy'} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_help_tells_only_defaults_that_say_something(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: 20)" in text and "default: None" not in text and "default: False" not in text
    assert "changes speed, and the last digits of scores" in text


@pytest.mark.parametrize(
    ("listing", "arguments", "message"),
    [(b"a.png\0b.png\0", ["-"], "give -z too"), (b"a.png\nb.png\n", ["-", "-z"], "leave out -z")],
)
def test_lists_separated_otherwise(in_folder, brightness, capsys, monkeypatch, listing, arguments, message):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listing)))
    assert main(["score", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("method", "option", "message"),
    [
        ("faceqan", "epsilon=wide", "faceqan takes a number as epsilon, found 'wide'"),
        ("faceqan", "num_iterations=2.5", "faceqan takes a whole number as num_iterations, found 2.5"),
        ("grafiqs", "batch_norm=1", "grafiqs takes a text as batch_norm, found 1"),
        ("difiqa", "compile=2", "difiqa takes true or false as compile, found 2"),
        ("difiqa", "timestep=five", "difiqa takes a whole number as timestep, found 'five'"),
        ("difiqa", "flip=perhaps", "difiqa takes true or false as flip, found 'perhaps'"),
        ("prefiqs", "depth=3", "prefiqs has no option depth; it has"),
        ("random", "epsilon=.1", "random has no option epsilon"),
        ("faceqan", "epsilon=inf", "faceqan takes a number as epsilon, found inf"),
        ("grafiqs", "batch-norm=3", "grafiqs takes a text as batch_norm, found 3"),
        ("difiqa", "max_standard_error=small", "difiqa takes a number as max_standard_error, found 'small'"),
    ],
)
def test_options_of_another_type_or_method(in_folder, capsys, method, option, message):
    picture().save("a.png")
    assert main(["score", "a.png", "--method", method, "--option", option]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["epsilon", "=1", "num_repeats=4", "recognizer=folder"])
def test_options_that_are_none_or_have_a_flag_are_wrong_usage(in_folder, capsys, option):
    with pytest.raises(SystemExit) as end:
        main(["score", "a.png", "--option", option])
    assert end.value.code == 2 and "argument --option: " in capsys.readouterr().err


def test_an_option_that_is_given_twice(in_folder, capsys):
    picture().save("a.png")
    command = ["score", "a.png", "--method", "ser-fiq", "--option", "dropout=.1", "--option", "dropout=.7"]
    assert main(command) == 1 and "--option gives dropout more than once" in capsys.readouterr().err


def test_options_reach_the_method_and_its_revision(in_folder, capsys):
    picture().save("a.png")
    command = ["score", "a.png", "--method", "ser-fiq", "--num-repeats", "2"]
    assert main([*command, "-o", "a.csv"]) == main([*command, "-o", "b.csv", "--option", "dropout=.1"]) == 0
    qualities = [Path(name).read_text().splitlines()[1].split(",")[2:4] for name in ("a.csv", "b.csv")]
    assert qualities[0] != qualities[1]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("method ser-fiq")]
    assert len(set(said)) == 2  # another option, another revision

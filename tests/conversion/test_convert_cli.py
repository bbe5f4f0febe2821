"""`difiqa convert`: prints the differences, names what is wrong."""

import official
import pytest
import torch

from difiqa_hf.cli import main
from difiqa_hf.conversion import KINDS
from difiqa_hf.recognizers import load_recognizer
from rules import made_by_rule


def test_convert(tmp_path, capsys):
    state = made_by_rule(official.iresnet_shapes())
    torch.save(state, tmp_path / "backbone.pth")
    arguments = ["convert", "cosface", str(tmp_path / "backbone.pth"), str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"largest difference of {len(state)} values or tensors: 0\n" in printed
    assert (
        "on the probe (this package's network with the file's weights, before and after writing; the authors' code"
        in printed
    )
    assert "did not run): 0\n" in printed
    assert load_recognizer(tmp_path / "out").config.widths == [*official.WIDTHS]
    assert main(arguments) == 1
    assert "not an empty folder" in capsys.readouterr().err
    assert main([*arguments[:3], str(tmp_path / "other"), "--weights", "ema"]) == 1
    assert "--weights is for the kind difiqa, not cosface" in capsys.readouterr().err


def test_help_lists_the_kinds(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["convert", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {kind} " in printed for kind in KINDS)

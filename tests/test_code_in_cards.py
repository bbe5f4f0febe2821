"""The Python in the cards of the shipped checkpoints, in those of pushed ones, and in the page of the metric."""

import numpy as np
import pytest
import torch

from difiqa_hf.demo.versions import make_versions
from difiqa_hf.hub.cards import card_of
from documents import PACKAGE, blocks
from toys import toy_pipeline, toy_recognizer

CHECKPOINTS = PACKAGE / "checkpoints"


def execute(text: str, repository, monkeypatch, tmp_path, **names) -> None:
    """Run the one piece of Python in a page, beside an aligned face."""
    ((language, piece),) = blocks(text)
    assert language == "python"
    monkeypatch.chdir(tmp_path)
    make_versions()[0].image.save("face_aligned_112.jpg")
    exec(compile(piece.replace("<repository>", str(repository)), "card", "exec"), names)


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [
        ("difiqa", "from_default()", 'from_pretrained("<repository>")'),
        ("difiqa_r", 'create_method("difiqa-r")', 'create_method("difiqa-r", checkpoint="<repository>")'),
    ],
)
def test_shipped(name, default, other, monkeypatch, tmp_path, capsys):
    """By default, and as the comment beside it says for a repository: the same."""
    text = (CHECKPOINTS / name / "README.md").read_text()
    assert f"or {other}" in text
    printed = []
    for page in (text, text.replace(default, other)):
        execute(page, CHECKPOINTS / name, monkeypatch, tmp_path)
        printed.append(capsys.readouterr().out)
    assert "tensor([" in printed[0] and printed[0] == printed[1]


@pytest.mark.parametrize("make", [toy_pipeline, toy_recognizer])
def test_pushed(make, monkeypatch, tmp_path, capsys):
    make().save_pretrained(tmp_path / "toy")
    names = {"pixel_values": torch.zeros(2, 3, 112, 112)}
    execute(card_of(tmp_path / "toy", "Toy").render(), tmp_path / "toy", monkeypatch, tmp_path, **names)


def test_metric(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    names = {"similarity": rng.normal(size=4000), "genuine": np.arange(4000) % 2, "quality": rng.normal(size=(4000, 2))}
    text = (PACKAGE / "metrics" / "edc_pauc" / "README.md").read_text()
    execute(text.replace("path/to/edc_pauc", str(PACKAGE / "metrics" / "edc_pauc")), "", monkeypatch, tmp_path, **names)

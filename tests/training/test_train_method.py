"""Every trainable method, from folders of made-up faces to a checkpoint that scores."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from difiqa_hf.methods import create_method
from toys import toy_faces, toy_recognizer

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
import train_method
from method_objectives import OBJECTIVES, Margin

PEOPLE = {"anna": 4, "bert": 3, "carl": 4, "only": 1, "overlap": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Faces of five people in a folder `pool`, the list of those to leave out, a backbone."""
    root = tmp_path_factory.mktemp("training")
    faces = iter(toy_faces(sum(PEOPLE.values())))
    for person, count in PEOPLE.items():
        (root / "pool" / person).mkdir(parents=True)
        for i in range(count):
            levels = ((next(faces) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
            Image.fromarray(levels.numpy()).save(root / "pool" / person / f"{i}.png")
    (root / "overlap.json").write_text(json.dumps({"about": "text", "lfw": ["pool/overlap"]}))
    toy_recognizer().save_pretrained(root / "backbone")
    return root


def arguments(root, output, method, *more):
    return ["--method", method, "--data", str(root / "pool"), "--leave_out", str(root / "overlap.json"),
            "--backbone", str(root / "backbone"), "--output_dir", str(output), "--epochs", "2", *more]  # fmt: skip


@pytest.mark.parametrize("method", OBJECTIVES)
def test_trains_to_a_checkpoint_that_scores(method, root, tmp_path, capsys):
    train_method.main(arguments(root, tmp_path, method))
    assert "11 images of 3 people; left out 2 people" in capsys.readouterr().out
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == [1, 2] and log[0]["loss"] != log[1]["loss"]
    config = json.loads((tmp_path / "training_config.json").read_text())
    assert config["num_people"] == 3 and config["resolved"]["epochs"] == 2
    if method == "lightqnet":  # the small network is trained by distillation, later: this is its teacher branch
        method = "pcnet"
    scorer = create_method(f"{method}={tmp_path / 'model'}")
    assert scorer.revision == config["sha256"] and scorer(toy_faces(2)).isfinite().all()


def test_presets_belong_to_methods():
    assert {name.removesuffix("-small") for name in train_method.PRESETS} == set(OBJECTIVES)
    with pytest.raises(ValueError, match="preset pfe is not of method pcnet"):
        train_method.main(["--method", "pcnet", "--preset", "pfe", "--data", "x", "--output_dir", "y"])


def test_too_few_people_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match=r"1 of 1 people remain \(two images each"):
        train_method.main(arguments(root, tmp_path, "pcnet", "--data", str(root / "pool" / "anna")))


def test_batches_hold_groups_of_people():
    identities = torch.tensor([0] * 5 + [1] * 3 + [2] * 8)
    generator = torch.Generator().manual_seed(0)
    for rows in train_method.batches(identities, 2, 4, generator):
        groups = identities[rows].unique_consecutive(return_counts=True)[1]
        assert len(rows) <= 8 and groups.min() >= 2
    assert sorted(torch.cat(train_method.batches(identities, 16, 1, generator)).tolist()) == list(range(16))


def test_margin_is_arcfaces():
    torch.manual_seed(0)
    head, x, classes = Margin(4, 3, scale=2.0), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    cosine = torch.nn.functional.cosine_similarity(x[:, None], head.centres[None], dim=-1)
    logits = 2 * cosine
    for i, own in enumerate(classes):
        logits[i, own] = 2 * torch.cos(torch.arccos(cosine[i, own]) + 0.5)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(head(x, classes, 0.5), expected, atol=1e-5, rtol=1e-5)

"""load_recognizer, embed and weights_revision on toy networks."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from difiqa_hf import recognizers
from difiqa_hf.recognizers import embed, load_recognizer, weights_revision
from toys import toy_faces, toy_recognizer


@pytest.fixture
def folder(tmp_path):
    toy_recognizer().save_pretrained(tmp_path / "recognizer")
    return tmp_path / "recognizer"


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_folder(folder, kind):
    recognizer = load_recognizer(kind(folder))
    assert not recognizer.training
    assert not any(value.requires_grad for value in recognizer.parameters())
    with torch.no_grad():
        assert torch.allclose(embed(recognizer, toy_faces()), embed(toy_recognizer(), toy_faces()), atol=1e-5)


def test_half_precision_storage_runs_in_float32(folder):
    path = folder / "model.safetensors"
    state = {key: value.half() if value.is_floating_point() else value for key, value in load_file(path).items()}
    save_file(state, path, metadata={"format": "pt"})
    assert load_recognizer(folder).dtype == torch.float32


def test_default_is_the_shipped_one(folder, monkeypatch):
    monkeypatch.setattr(recognizers, "SHIPPED", folder)
    assert weights_revision(load_recognizer()) == weights_revision(toy_recognizer())
    monkeypatch.setattr(recognizers, "SHIPPED", folder / "absent")
    with pytest.raises(FileNotFoundError, match=r"no shipped recogniser at .*absent; name one"):
        load_recognizer()


@pytest.mark.parametrize("source", ["absent.safetensors", "./absent", "/a/b/c"])
def test_absent_path_is_named(source):
    with pytest.raises(FileNotFoundError, match=source):
        load_recognizer(source)


def test_repository_that_cannot_be_reached_is_named():
    with pytest.raises(OSError, match="nobody/nothing"):
        load_recognizer("nobody/nothing")


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_that_do_not_fit_are_refused(folder, change):
    path = folder / "model.safetensors"
    state = load_file(path)
    if change == "missing":
        del state["stem.0.activation.weight"]
    else:
        state["surprise"] = torch.zeros(1)
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"stem\.0\.activation\.weight|surprise"):
        load_recognizer(folder)


def test_remote_code_is_never_run(folder):
    """A repository whose code is not the package's stays unread, whatever its configuration asks for."""
    config = folder / "config.json"
    text = config.read_text().replace('"model_type": "mobilefacenet"', '"model_type": "evil"')
    config.write_text(text.replace("{", '{"auto_map": {"AutoConfig": "evil.E", "AutoModel": "evil.M"},', 1))
    (folder / "evil.py").write_text("raise SystemExit('remote code was run')\n")
    with pytest.raises(ValueError, match=r"trust_remote_code|custom code"):
        load_recognizer(folder)


@pytest.mark.parametrize(
    "recognizer",
    [
        lambda x: x.flatten(1)[:, :5],
        lambda x: SimpleNamespace(embeddings=x.flatten(1)[:, :5]),
        lambda x: x.flatten(1)[:, :5].double(),
    ],
)
def test_embed_takes_any_callable(recognizer):
    embeddings = embed(recognizer, toy_faces(3))
    assert embeddings.shape == (3, 5) and embeddings.dtype == torch.float32


def test_embed_keeps_the_gradient():
    faces = toy_faces().requires_grad_()
    embed(toy_recognizer(), faces).sum().backward()
    assert faces.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "output, message",
    [
        ((torch.zeros(2, 4),), "found tuple"),
        (torch.zeros(2, 4, 1), r"must be \(2, dim\), found \(2, 4, 1\)"),
        (torch.zeros(3, 4), r"embeddings of 2 images .* found \(3, 4\)"),
        (torch.tensor([[0.0, 1.0], [0.0, float("nan")]]), "1 of 2 embeddings are not finite, the first at index 1"),
    ],
)
def test_embed_refuses_what_is_no_embedding(output, message):
    with pytest.raises(ValueError, match=message):
        embed(lambda x: output, toy_faces(2))


def test_revision_names_the_weights():
    model = toy_recognizer()
    revision = weights_revision(model)
    assert len(revision) == 12 and int(revision, 16) >= 0
    assert weights_revision(toy_recognizer()) == revision != weights_revision(toy_recognizer(seed=1))
    model.norm.num_batches_tracked += 1
    assert weights_revision(model) == revision
    with torch.no_grad():
        model.norm.bias[0] += 1e-6
    assert weights_revision(model) != revision
    assert weights_revision(model.to(torch.bfloat16)) != revision
    assert weights_revision(lambda x: x) == ""


def test_one_import_serves_the_auto_classes():
    """In a fresh interpreter: any public model class registers itself, and `import difiqa_hf` alone loads no torch."""
    code = (
        "import sys, difiqa_hf; assert 'torch' not in sys.modules and 'transformers' not in sys.modules;"
        "difiqa_hf.IResNetConfig; from transformers import AutoConfig;"
        "print(type(AutoConfig.for_model('iresnet')).__name__)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "IResNetConfig", result.stderr


def test_a_part_in_training_mode_is_named():
    recognizer = toy_recognizer()
    recognizer.get_submodule("blocks.0").train()
    with pytest.raises(ValueError, match=r"in its part blocks\.0, is in training mode"):
        embed(recognizer, toy_faces(1))

"""Reading foreign files: nothing but weights and plain data, and messages that say what a file is."""

import os
import pickle
import sys
import types

import numpy as np
import official
import pytest
import torch

from difiqa_hf.conversion import KINDS, convert_checkpoint
from difiqa_hf.conversion.checkpoint import read_checkpoint
from difiqa_hf.conversion.keymap import KeyMap
from difiqa_hf.conversion.quality_labels import read_labels
from rules import made_by_rule


class Malicious:
    """Creates a file when it is unpickled by Python's own unpickler."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in ("quality-labels", "insightface-onnx", "faceqnet")]
)
def test_malicious_checkpoint_does_not_run(kind, zipped, tmp_path):
    file, trap = tmp_path / "evil.pth", tmp_path / "trap"
    state = {"conv1.weight": torch.zeros(1), "payload": Malicious(trap)}
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"holds more than weights and plain data.*nothing of it was run.*mkdir"):
        convert_checkpoint(kind, file, tmp_path / "out")
    assert not trap.exists() and not (tmp_path / "out").exists()
    torch.load(file, weights_only=False)  # the trap is a real one
    assert trap.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_malicious_labels_do_not_run(protocol, tmp_path):
    file, trap = tmp_path / "labels.pkl", tmp_path / "trap"
    file.write_bytes(pickle.dumps({"a.jpg": 0.5, "b.jpg": Malicious(trap)}, protocol))
    with pytest.raises(ValueError, match=r"nothing of it was run: UnpicklingError: it names .*mkdir"):
        convert_checkpoint("quality-labels", file, tmp_path / "out")
    assert not trap.exists()
    pickle.loads(file.read_bytes())
    assert trap.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_labels_of_plain_and_numpy_numbers(protocol, tmp_path):
    file = tmp_path / "vggface2-qs.pkl"
    values = [0.25, 1, np.float32(0.1), np.float64(1 / 3), np.int64(2)]
    labels = {f'n{i}/"face", {i}.jpg': value for i, value in enumerate(values)}
    file.write_bytes(pickle.dumps(labels, protocol))
    result = convert_checkpoint("quality-labels", file, tmp_path / "out")
    assert (result.tensors, result.tensor_difference) == (5, 0.0)
    assert read_labels(file) == {name: float(value) for name, value in labels.items()}
    card = (tmp_path / "out" / "README.md").read_text()
    assert result.source_sha256 in card and "5 images, scores from 0.1 to 2" in card
    assert (tmp_path / "out" / "labels.csv").read_text().splitlines()[0] == "image,quality"


@pytest.mark.parametrize(
    "content, found",
    [
        ([0.5], "holds a list with 1 entries"),
        ({}, "holds a dict with 0 entries"),
        ({"a.jpg": "good"}, r"maps a str to a str \('a\.jpg': good\)"),
        ({1: 0.5}, "maps a int to a float"),
        ({"a.jpg": True}, "maps a str to a bool"),
        ({"a.jpg": {"b.jpg": 0.5}}, "maps a str to a dict"),
        ({"a.jpg": np.zeros(2)}, "it names numpy.*_reconstruct"),
        ({"a.jpg": float("nan")}, "1 of 1 scores are not finite"),
        ({"a.jpg": np.datetime64("2020-01-01")}, "nothing of it was run"),
    ],
)
def test_other_labels_are_refused(content, found, tmp_path):
    file = tmp_path / "labels.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=found):
        convert_checkpoint("quality-labels", file, tmp_path / "out")


@pytest.mark.parametrize(
    "start, found",
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"7z\xbc\xaf\x27\x1c", "an archive"),
        (b"", r"damaged \(0 bytes\)"),
        (b"not a checkpoint at all", r"found|damaged|nothing of it was run"),
        (b"PK\x03\x04 torn", r"damaged|nothing of it was run"),
    ],
)
def test_what_is_no_checkpoint_is_named(start, found, tmp_path):
    (tmp_path / "file.pth").write_bytes(start)
    with pytest.raises(ValueError, match=rf"file\.pth.*({found})"):
        convert_checkpoint("arcface", tmp_path / "file.pth", tmp_path / "out")


def test_classes_of_training_frameworks_are_not_needed(tmp_path, monkeypatch):
    """A Lightning checkpoint with its callback class as a key and hyperparameters in a class of its own."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    parsing = types.ModuleType("pytorch_lightning.utilities.parsing")
    parsing.AttributeDict = type("AttributeDict", (dict,), {"__module__": parsing.__name__})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setitem(sys.modules, parsing.__name__, parsing)
        for package in ("pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.utilities"):
            patch.setitem(sys.modules, package, types.ModuleType(package))
        state = made_by_rule(official.ir_shapes(True) | official.embedding_shapes())
        content = {
            "callbacks": {module.ModelCheckpoint: {"best": 0.5}},
            "hyper_parameters": parsing.AttributeDict(lr=0.1),
            "state_dict": {f"model.{key}": value for key, value in state.items()},
        }
        torch.save(content, tmp_path / "adaface.ckpt")
    result = convert_checkpoint("adaface", tmp_path / "adaface.ckpt", tmp_path / "out")
    assert result.tensors == len(state)
    assert read_checkpoint(tmp_path / "adaface.ckpt")["state_dict"].keys() == content["state_dict"].keys()


def test_old_files_without_counters_and_in_half_precision_convert(tmp_path):
    state = made_by_rule(official.iresnet_shapes())
    old = {key: value.half() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "backbone.pth")
    result = convert_checkpoint("arcface", tmp_path / "backbone.pth", tmp_path / "out")
    assert (result.tensors, result.tensor_difference) == (len(old), 0.0)


def test_output_is_never_overwritten(tmp_path):
    torch.save(made_by_rule(official.iresnet_shapes()), tmp_path / "backbone.pth")
    with pytest.raises(FileExistsError, match="not an empty folder"):
        convert_checkpoint("arcface", tmp_path / "backbone.pth", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*missing\.pth"):
        convert_checkpoint("arcface", tmp_path / "missing.pth", tmp_path / "out")
    with pytest.raises(ValueError, match=r"unknown kind 'arcfaces'; kinds: difiqa, .*"):
        convert_checkpoint("arcfaces", tmp_path / "backbone.pth", tmp_path / "out")


def test_key_map_reads_both_ways_and_is_strict():
    keys = KeyMap([("a.{i}.x", "b.{i}.y"), ("a.{i}", "c.{i}"), ("g", "gain")], "a toy")
    state = {"a.0.x.weight": 1, "a.11.bias": 2, "g": 3}
    ours = keys.forward(state)
    assert ours == {"b.0.y.weight": 1, "c.11.bias": 2, "gain": 3}
    assert keys.backward(ours) == state
    with pytest.raises(ValueError, match=r"2 keys do not belong to a toy, the first are \['ax\.0', 'gg'\]"):
        keys.forward({"ax.0": 1, "gg": 2, "g": 3})

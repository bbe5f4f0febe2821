"""Reading foreign files: nothing but weights and plain data, and messages that say what a file is."""

import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import official
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

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
    "kind", [kind for kind in KINDS if kind not in ("quality-labels", "insightface-onnx", "lightqnet", "faceqnet")]
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


def saved(content, **options) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def old(content) -> bytes:
    return saved(content, _use_new_zipfile_serialization=False)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def picture(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, form)
    return file.getvalue()


NOT_TORCH = "not a file of torch.save or a safetensors file"
STATE = {"a": torch.zeros(2000)}
# what people have instead of a checkpoint -> what the message says of it, whole
WRONG_FILES = {
    "web page": (
        b"<!DOCTYPE html><html>",
        rf"is a web page, {NOT_TORCH}: the download stopped at .*, fetch the file in .*",
    ),
    "indented": (b"\n <html>", rf"is a web page, {NOT_TORCH}: .*"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        r"is a Git LFS pointer, .* with git lfs pull",
    ),
    "onnx": (b"\x08\x07\x12\x07pytorch", rf"is an ONNX model, {NOT_TORCH}: the kind insightface-onnx .*"),
    "graph": (
        b"\n\x1a\n\x05input\x12\x0bPlaceholder",
        rf"is a frozen TensorFlow graph, {NOT_TORCH}: the kind lightqnet .*",
    ),
    "graph like html": (b"\n<\n\x05input\x12\x0bPlaceholder", r"is a frozen TensorFlow graph, .*"),
    "7z": (b"7z\xbc\xaf\x27\x1c", rf"is an archive, {NOT_TORCH}: unpack it first and name the checkpoint in it"),
    "zip": (zipped("backbone.pth"), r"is an archive, .*: unpack it first and name the checkpoint in it"),
    "script": (
        zipped("model/data.pkl", "model/code/model.py"),
        r"is a TorchScript program, .*: .* save the state_dict\(\) of the model by torch.save instead",
    ),
    "png": (picture("PNG"), rf"is a picture, {NOT_TORCH}: name the checkpoint; pictures are for `difiqa score`"),
    "jpeg": (picture("JPEG"), rf"is a picture, {NOT_TORCH}: .*"),
    "numpy": (b"\x93NUMPY\x01\x00v\x00{'descr'", r"is a numpy array, .*: name the authors' checkpoint"),
    "keras": (b"\x89HDF\r\n\x1a\n", r"is an HDF5 file \(Keras\), .*: the kind faceqnet converts those of FaceQnet"),
    "text": (b"not a checkpoint at all", rf"is a text file, {NOT_TORCH}: name the authors' checkpoint"),
    "labels": (pickle.dumps({"a.jpg": 0.5}), rf"is a plain pickle, {NOT_TORCH}: the kind quality-labels .*"),
    "old labels": (pickle.dumps({"a.jpg": 0.5}, 0), rf"is a plain pickle, {NOT_TORCH}: the kind quality-labels .*"),
    "empty": (b"", rf"is empty \(0 bytes\), {NOT_TORCH}: fetch it again"),
    "torn": (
        b"PK\x03\x04 torn",
        rf"is an archive without its end, {NOT_TORCH}: the download or copy is incomplete, .*",
    ),
    "torn in the weights": (saved(STATE)[:5000], r"is an archive without its end, .*: .* incomplete, fetch it again"),
    "torn old one": (old(STATE)[:5000], r"is damaged, or no checkpoint \(5000 bytes\); fetch it again"),
    "noise": (bytes(range(255, 100, -1)), r"is damaged, or no checkpoint \(155 bytes\); fetch it again"),
    "torn safetensors": (b"\x50\0\0\0\0\0\0\0{", r"is damaged, or no checkpoint \(9 bytes\); fetch it again"),
    "whole model": (
        saved(torch.nn.Linear(1, 1)),
        r".* it names torch.nn.modules.linear.Linear. .*state_dict\(\).* those",
    ),
    "whole model, old": (old({"net": torch.nn.Linear(1, 1)}), r".* it names torch.nn.modules.linear.Linear. .* those"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_what_is_no_checkpoint_is_named(name, tmp_path):
    content, found = WRONG_FILES[name]
    (tmp_path / "file.pth").write_bytes(content)
    for kind in ("arcface", "difiqa", "recognizer"):
        with pytest.raises(ValueError, match=rf"^\S*file\.pth {found}$"):
            convert_checkpoint(kind, tmp_path / "file.pth", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file.pth"]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("quality-labels", "a plain pickle"),
        ("insightface-onnx", "an ONNX model"),
        ("lightqnet", "a frozen .* graph"),
        ("faceqnet", "an HDF5 file .Keras."),
    ],
)
def test_a_checkpoint_is_named_by_the_kinds_of_other_files(kind, wanted, tmp_path):
    file = tmp_path / "backbone.pth"
    for content in (saved(STATE), old(STATE)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"backbone\.pth is a file of torch.save, not {wanted}: .*--help"):
            convert_checkpoint(kind, file, tmp_path / "out")


def test_a_safetensors_file_needs_no_suffix(tmp_path):
    save_file(STATE, tmp_path / "weights.bin")
    assert torch.equal(read_checkpoint(tmp_path / "weights.bin")["a"], STATE["a"])


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
    with pytest.raises(IsADirectoryError, match=r"is a folder; name the authors' file \(inside: backbone\.pth\)"):
        convert_checkpoint("arcface", tmp_path, tmp_path / "out")
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

"""FaceQnet's .h5 files: made by rule in keras-vggface's layout, converted, compared with the layers stated anew."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.methods import create_method
from rules import made_by_rule
from toys import toy_faces

h5py = pytest.importorskip("h5py", reason="needs the extra keras")

STAGES = {2: (2, 8), 3: (1, 12), 4: (2, 16), 5: (1, 20)}  # stage -> blocks, channels at its end
STEM, HIDDEN = 6, 5


def conv(name: str, kernel: int, width_in: int, width: int) -> dict:
    """Keras's shapes (HWIO) of a convolution and its BatchNorm."""
    norm = {f"{name}/bn/{leaf}": (width,) for leaf in ("gamma", "beta", "moving_mean", "moving_variance")}
    return {f"{name}/kernel": (kernel, kernel, width_in, width)} | norm


def shapes(hidden: int | None = HIDDEN) -> dict:
    found, width = conv("conv1/7x7_s2", 7, 3, STEM), STEM
    for stage, (blocks, wide) in STAGES.items():
        for block in range(1, blocks + 1):
            name, inner = f"conv{stage}_{block}", wide // 4
            found |= conv(f"{name}_1x1_reduce", 1, width, inner) | conv(f"{name}_3x3", 3, inner, inner)
            found |= conv(f"{name}_1x1_increase", 1, inner, wide)
            found |= conv(f"{name}_1x1_proj", 1, width, wide) if block == 1 else {}
            width = wide
    sizes = [width, 1] if hidden is None else [width, hidden, 1]
    for i, size in enumerate(sizes[1:]):
        found |= {f"dense_{i + 1}/kernel": (sizes[i], size), f"dense_{i + 1}/bias": (size,)}
    return found


def weights(hidden: int | None = HIDDEN) -> dict[str, np.ndarray]:
    """By the common rule, in torch's layout, then turned to Keras's."""
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    found = {}
    for key, shape in shapes(hidden).items():
        module, _, leaf = key.rpartition("/")
        name = f"{module}.{names.get(leaf, leaf)}"
        value = made_by_rule({name: shape[::-1]})[name]  # OI.. of the same size: fit for a forward pass
        found[key] = value.permute(*reversed(range(value.ndim))).numpy()
    return found


def description(hidden: int | None = HIDDEN, **changed) -> dict:
    """What `model.save` writes of the layers, as far as the converter reads it; `changed`: layer -> its settings."""
    config = {}
    for key in shapes(hidden):
        layer = key.rpartition("/")[0]
        first = layer.endswith(("1x1_reduce", "1x1_proj")) and layer[4] != "2" and layer[5:7] == "_1"
        last = layer == ("dense_1" if hidden is None else "dense_2")
        if layer.endswith("/bn"):
            config[layer] = {"epsilon": 1e-3}
        elif layer.startswith("dense"):
            config[layer] = {"activation": "linear" if last else "relu"}
        else:
            config[layer] = {"strides": [2, 2] if first or layer.startswith("conv1/") else [1, 1]}
    config["dropout_1"] = {"rate": 0.5}
    layers = [{"config": {"name": name} | settings | changed.get(name, {})} for name, settings in config.items()]
    inside = {"class_name": "Model", "config": {"name": "vggface_resnet50", "layers": layers[:-3]}}
    return {"class_name": "Sequential", "config": [inside, *layers[-3:]]}  # models nest


def write(path, values: dict, described: dict | None = None):
    with h5py.File(path, "w") as file:
        root = file
        if described is not None:
            file.attrs["model_config"] = json.dumps(described).encode()
            root = file.create_group("model_weights")
        layers: dict[str, list[str]] = {}
        for key in values:
            layers.setdefault(key.rpartition("/")[0], []).append(key)
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, keys in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = [f"{key}:0".encode() for key in keys]
            for key in keys:
                group[f"{key}:0"] = values[key]
    return path


def forward(values: dict, x: torch.Tensor) -> torch.Tensor:
    """keras-vggface's ResNet-50 and dense layers, as published; x (batch, 3, 224, 224), BGR, 0 to 255."""
    tensors = {key: torch.from_numpy(value.copy()) for key, value in values.items()}

    def unit(x, name, stride=1):
        kernel = tensors[f"{name}/kernel"].permute(3, 2, 0, 1)
        size, side = kernel.shape[-1], x.shape[-1]
        total = max((math.ceil(side / stride) - 1) * stride + size - side, 0) if size > 1 else 0  # "same"
        x = F.conv2d(F.pad(x, (total // 2, total - total // 2) * 2), kernel, stride=stride)
        leaves = (tensors[f"{name}/bn/{leaf}"] for leaf in ("moving_mean", "moving_variance", "gamma", "beta"))
        mean, variance, gamma, beta = (leaf[:, None, None] for leaf in leaves)
        return gamma * (x - mean) / (variance + 1e-3).sqrt() + beta

    x = F.max_pool2d(unit(x, "conv1/7x7_s2", 2).relu(), 3, 2)
    for stage, (blocks, _) in STAGES.items():
        for block in range(1, blocks + 1):
            name, stride = f"conv{stage}_{block}", 2 if block == 1 and stage > 2 else 1
            y = unit(x, f"{name}_1x1_reduce", stride).relu()
            y = unit(unit(y, f"{name}_3x3").relu(), f"{name}_1x1_increase")
            x = (y + (unit(x, f"{name}_1x1_proj", stride) if block == 1 else x)).relu()
    x = F.avg_pool2d(x, 7).flatten(1)
    dense = sorted(key.removesuffix("/kernel") for key in values if key.startswith("dense") and key.endswith("kernel"))
    for i, name in enumerate(dense):
        x = x @ tensors[f"{name}/kernel"] + tensors[f"{name}/bias"]
        x = x.relu() if i < len(dense) - 1 else x
    return x[:, 0]


@pytest.mark.parametrize("hidden", [HIDDEN, None])
@pytest.mark.parametrize("with_description", [True, False])
def test_converted_network_is_the_published_one(hidden, with_description, tmp_path):
    values, described = weights(hidden), description(hidden) if with_description else None
    result = convert_checkpoint("faceqnet", write(tmp_path / "FaceQnet.h5", values, described), tmp_path / "out")
    assert (result.tensors, result.tensor_difference) == (len(values), 0)
    assert result.probe_difference < 1e-5  # on some processors sums depend on where in memory they lie

    method = create_method("faceqnet", checkpoint=tmp_path / "out")
    assert method.model.config.dropout == (0.5 if with_description else 0)
    x = toy_faces(3)
    levels = F.interpolate((x.flip(1) + 1) * 127.5, size=224, mode="bilinear", align_corners=False)
    expected = forward(values, levels)
    with torch.no_grad():
        found = method.model(x).quality
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    torch.testing.assert_close(method(x), expected.clamp(0, 1), rtol=1e-4, atol=1e-4)
    assert "https://github.com/uam-biometrics/FaceQnet" in (tmp_path / "out" / "README.md").read_text()


def test_a_sigmoid_at_the_end_is_kept(tmp_path):
    described = description(dense_2={"activation": "sigmoid"})
    convert_checkpoint("faceqnet", write(tmp_path / "FaceQnet.h5", weights(), described), tmp_path / "out")
    assert create_method("faceqnet", checkpoint=tmp_path / "out").model.config.output_mapping == "sigmoid"


def without(key: str) -> dict:
    return {name: value for name, value in weights().items() if name != key}


@pytest.mark.parametrize(
    ("values", "changed", "message"),
    [
        ({"other/kernel": np.zeros((2, 2))}, {}, r"is not FaceQnet: no layer conv1/7x7_s2; 1 weights \(other/kernel"),
        (weights() | {"se/kernel": np.zeros((1, 1, 2, 2))}, {}, "1 layers are none of FaceQnet's, the first are se"),
        (weights() | {"extra/kernel": np.zeros((3, 7))}, {}, "one or two dense layers that end in one number"),
        (without("conv2_1_3x3/kernel"), {}, "does not fit"),
        (weights(), {"conv3_1_3x3": {"strides": [2, 2]}}, r"strides in \['conv3_1_3x3'\]"),
        (weights(), {"dense_1": {"activation": "tanh"}}, r"activations of the dense layers \['tanh', 'linear'\]"),
        (weights(), {"conv2_1_3x3/bn": {"epsilon": 0.1}}, r"epsilons \[0.001, 0.1\]"),
    ],
)
def test_other_networks_are_refused(values, changed, message, tmp_path):
    path = write(tmp_path / "FaceQnet.h5", values, description(**changed))
    with pytest.raises(ValueError, match=message):
        convert_checkpoint("faceqnet", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(tmp_path, monkeypatch):
    page = tmp_path / "page.h5"
    page.write_bytes(b"<html>Sign in</html>")
    with pytest.raises(ValueError, match=r"is a web page, not an HDF5 file \(Keras\): the download stopped"):
        convert_checkpoint("faceqnet", page, tmp_path / "out")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["faces"] = np.zeros(3)
    with pytest.raises(ValueError, match="is no Keras model: no layer_names, it holds faces"):
        convert_checkpoint("faceqnet", tmp_path / "data.h5", tmp_path / "out")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'difiqa-hf\[keras\]'"):
        convert_checkpoint("faceqnet", page, tmp_path / "out")

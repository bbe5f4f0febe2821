"""FaceQnet v0 and v1 (FaceQnet.h5, FaceQnet_v1.h5): keras-vggface's ResNet-50 and dense layers -> `QualityResNet`.

The names and the layout of the ResNet are those of rcmalli/keras-vggface. The dense layers that follow are recognised
by their shapes, and what the file's own description of the model says of them is checked.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from difiqa_hf.conversion.checkpoint import StateDict, check_fit, first, sha256
from difiqa_hf.conversion.file_types import check_type
from difiqa_hf.conversion.network import SAME_CODE, fill, probe_difference, usage, write_network
from difiqa_hf.conversion.result import Conversion, Converter, Origin, largest_difference, write_card
from difiqa_hf.models.modeling_quality_resnet import QualityResNet, QualityResNetConfig

ORIGIN = Origin(
    title="FaceQnet (ResNet-50 with dense layers)",
    url="https://github.com/uam-biometrics/FaceQnet",
    licence="none stated",
    paper="Hernandez-Ortega et al., FaceQnet, ICB 2019",
    input="BGR, 0 to 255, 224 x 224, a detector's crop without alignment",
)
STEM = "conv1/7x7_s2"
PARTS = ("1x1_reduce", "3x3", "1x1_increase")  # convolutions of a block, in their order
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def read_h5(path: Path) -> tuple[dict[str, np.ndarray], dict[str, dict]]:
    """Weights "layer/name" and the configuration of every layer, {} where the file holds weights only.

    Raises:
        ImportError: without the extra `keras`.
        ValueError: for another file, with what was found.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading Keras's .h5 files needs h5py: pip install 'difiqa-hf[keras]'") from error
    check_type(path, "hdf5")
    if not h5py.is_hdf5(path):
        raise ValueError(f"{path} is not an HDF5 file (Keras), or damaged: fetch it again")
    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        if "layer_names" not in root.attrs:
            raise ValueError(f"{path} is no Keras model: no layer_names, it holds {first(list(file)) or 'nothing'}")
        weights = {}
        for layer in map(_text, root.attrs["layer_names"]):
            for name in map(_text, root[layer].attrs["weight_names"]):
                leaf = name.rpartition("/")[2].partition(":")[0]
                weights[f"{layer}/{leaf}"] = np.asarray(root[layer][name], dtype=np.float32)
        model = json.loads(_text(file.attrs.get("model_config", "{}")))
    return weights, {layer["config"]["name"]: layer["config"] for layer in _layers(model)}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _layers(model: dict) -> list[dict]:
    """All layers of a description, of models inside the model too."""
    config = model.get("config", {})
    found = []
    for layer in config if isinstance(config, list) else config.get("layers", []):
        found += _layers(layer) if "layers" in layer.get("config", {}) else [layer]
    return found


def blocks(weights: dict[str, np.ndarray]) -> list[tuple[int, int]]:
    """(stage, block) of all residual blocks, in order."""
    return sorted({(int(s), int(b)) for s, b in re.findall(r"conv(\d+)_(\d+)_3x3/kernel", "\n".join(weights))})


def names(weights: dict[str, np.ndarray]) -> dict[str, str]:
    """Keras's name of every weight -> ours.

    Raises:
        ValueError: for a layer that FaceQnet does not have.
    """
    modules = {STEM: "conv", f"{STEM}/bn": "norm"}
    for number, (stage, block) in enumerate(blocks(weights)):
        for i, part in enumerate(PARTS):
            modules[f"conv{stage}_{block}_{part}"] = f"blocks.{number}.layers.{3 * i}"
            modules[f"conv{stage}_{block}_{part}/bn"] = f"blocks.{number}.layers.{3 * i + 1}"
        modules[f"conv{stage}_{block}_1x1_proj"] = f"blocks.{number}.shortcut.0"
        modules[f"conv{stage}_{block}_1x1_proj/bn"] = f"blocks.{number}.shortcut.1"
    dense = dense_layers(weights)
    modules |= {dense[0]: "head"} if len(dense) == 1 else {dense[0]: "head.0", dense[1]: "head.2"}
    strange = sorted({key.rpartition("/")[0] for key in weights} - modules.keys())
    if strange:
        raise ValueError(f"{len(strange)} layers are none of FaceQnet's, the first are {', '.join(strange[:3])}")
    leaves = BATCH_NORM | {"kernel": "weight", "bias": "bias"}
    split = {key: key.rpartition("/") for key in weights}
    return {key: f"{modules[module]}.{leaves[leaf]}" for key, (module, _, leaf) in split.items()}


def dense_layers(weights: dict[str, np.ndarray]) -> list[str]:
    """The one or two layers that end in a single number, in the order of the data.

    Raises:
        ValueError: if that is not what the file holds.
    """
    shapes = {key.removesuffix("/kernel"): value.shape for key, value in weights.items() if value.ndim == 2}
    ordered = sorted(shapes, key=lambda layer: -shapes[layer][0])
    chain = [size for layer in ordered for size in shapes[layer]]
    if len(ordered) not in (1, 2) or chain[-1] != 1 or chain[1:-1:2] != chain[2::2]:
        raise ValueError(f"one or two dense layers that end in one number were expected, found {shapes or 'none'}")
    return ordered


def to_torch(weights: dict[str, np.ndarray]) -> StateDict:
    """Our names; convolutions HWIO -> OIHW, dense layers IO -> OI."""
    ours = names(weights)
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    return {ours[key]: torch.from_numpy(value.transpose(axes[value.ndim]).copy()) for key, value in weights.items()}


def configure(weights: dict[str, np.ndarray], described: dict[str, dict]) -> QualityResNetConfig:
    """Sizes from the shapes of the weights; the rest from the file's description, where it has one."""
    widths: dict[int, list[int]] = {}
    for stage, block in blocks(weights):
        widths.setdefault(stage, []).append(len(weights[f"conv{stage}_{block}_1x1_increase/bn/gamma"]))
    dense = dense_layers(weights)
    return QualityResNetConfig.from_preset(
        "faceqnet",
        layers=[len(stage) for stage in widths.values()],
        widths=[stage[0] for stage in widths.values()],
        stem_width=len(weights[f"{STEM}/bn/gamma"]),
        head_width=None if len(dense) == 1 else weights[f"{dense[0]}/kernel"].shape[1],
        **settings(described, dense),
    )


def settings(described: dict[str, dict], dense: list[str]) -> dict:
    """What weights do not show, from the description of the layers. A relu at the end is left to FaceQnet's clipping.

    Raises:
        ValueError: if it contradicts the layout.
    """
    if not described:
        return {}
    *inner, last = (described[layer].get("activation", "linear") for layer in dense)
    epsilons = sorted({layer["epsilon"] for layer in described.values() if "epsilon" in layer})
    strided = [name for name, layer in described.items() if _strided_elsewhere(name, layer)]
    if len(epsilons) != 1 or strided or set(inner) - {"relu"} or last not in ("linear", "relu", "sigmoid"):
        raise ValueError(
            f"the file describes another network: BatchNorm epsilons {epsilons}, strides in {strided or 'place'}, "
            f"activations of the dense layers {[*inner, last]}; FaceQnet has one epsilon, the stride of a stage in its "
            "first convolution, relu inside and linear, relu or sigmoid at the end"
        )
    rates = [layer["rate"] for layer in described.values() if "rate" in layer]
    mapping = "sigmoid" if last == "sigmoid" else "identity"
    return {"batch_norm_eps": epsilons[0], "dropout": float(max(rates, default=0)), "output_mapping": mapping}


def _strided_elsewhere(name: str, layer: dict) -> bool:
    return bool(re.fullmatch(r"conv\d+_\d+_(1x1_increase|3x3)", name)) and layer.get("strides", [1, 1])[0] != 1


def read_faceqnet(path: Path) -> tuple[QualityResNet, StateDict]:
    """Model in eval mode, and the file's weights under our names.

    Raises:
        ValueError: if the file is something else.
    """
    weights, described = read_h5(path)
    if f"{STEM}/kernel" not in weights:
        raise ValueError(f"{path} is not FaceQnet: no layer {STEM}; {len(weights)} weights ({first(list(weights))})")
    try:
        state = to_torch(weights)
        model = QualityResNet(configure(weights, described))
        check_fit(state, model.state_dict())
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path} looks like FaceQnet but does not fit: {error}") from error
    return fill(model, state), state


def convert(path: Path, output: Path) -> Conversion:
    """Convert `path` into the folder `output`."""
    model, state = read_faceqnet(path)
    written = write_network(model, output, "faceqnet")
    kept = {key: value for key, value in written.state_dict().items() if key in state}
    difference = largest_difference(state, kept), probe_difference(model, written)
    result = Conversion("faceqnet", output, len(state), *difference, SAME_CODE, sha256(path))
    notes = "It resizes the crops to 224 x 224 itself. The authors' crops are a detector's boxes, not aligned."
    write_card(path, ORIGIN, result, usage("faceqnet"), notes)
    return result


CONVERTERS = {"faceqnet": Converter("FaceQnet", convert)}

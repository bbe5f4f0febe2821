"""InsightFace's ONNX recognisers (`w600k_r50`, `w600k_mbf`): iResNet-50 and MobileFaceNet, BatchNorm folded where it
follows a convolution.

The exporter renames the folded weights to numbers, so layers are recognised by their order in the graph. What no layer
tells, how they are connected, is left to the probe: it compares the file itself, run by onnxruntime, with the result.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, check_fit, first, sha256
from difiqa_hf.conversion.file_types import check_type
from difiqa_hf.conversion.network import EMBEDDER_USAGE, fill, outputs, write_network
from difiqa_hf.conversion.recognizers import WEBFACE600K
from difiqa_hf.conversion.result import Conversion, Converter, Origin, write_card
from difiqa_hf.conversion.shapes import iresnet_size
from difiqa_hf.inference import probe_images
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer

ORIGIN = Origin(
    title="InsightFace recogniser (ONNX)",
    url="https://github.com/deepinsight/insightface/tree/master/model_zoo",
    licence="models for non-commercial research only",
    paper="Deng et al., ArcFace, CVPR 2019",
)
EPSILON = 1e-5  # of their BatchNorm
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
# type of a layer -> our class of module, names of its weights
LAYER_TYPES = {
    "Conv": (nn.Conv2d, ("weight", "bias")),
    "BatchNormalization": (nn.modules.batchnorm._BatchNorm, BATCH_NORM),
    "PRelu": (nn.PReLU, ("weight",)),
    "Gemm": (nn.Linear, ("weight", "bias")),
}
OTHER_TYPES = {"Add", "Cast", "Flatten", "Reshape", "Shape", "Gather", "Unsqueeze", "Concat", "Constant", "Identity"}
BLOCK = ("bn1", "conv1", "prelu", "conv2", "downsample.0")  # of an iResNet, in the order of the graph
BEHIND = {"conv1": "bn2", "conv2": "bn3", "downsample.0": "downsample.1"}  # convolution -> BatchNorm, in a block


@dataclass
class Layer:
    """One node of the graph: its type, weights in the order of its inputs, attributes."""

    type: str
    weights: list[Tensor]
    attributes: dict = field(default_factory=dict)


def read_layers(path: Path) -> list[Layer]:
    """Convolutions, normalisations, activations, additions and linear layers of a graph, in its order.

    Raises:
        ImportError: without the extra `onnx`.
        ValueError: for another file, or a graph with other computations, with what was found.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("reading ONNX files needs onnx: pip install 'difiqa-hf[onnx]'") from error
    check_type(path, "onnx")
    try:
        graph = onnx.load(path).graph
        weights = {item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).copy()) for item in graph.initializer}
    except Exception as error:  # protobuf's own exceptions
        size = path.stat().st_size
        raise ValueError(f"{path} is damaged, or no ONNX model ({size} bytes); fetch it again: {error}") from error
    found = [node.op_type for node in graph.node]
    strange = sorted(set(found) - LAYER_TYPES.keys() - OTHER_TYPES)
    if strange or "Conv" not in found:
        what = f"it has {first(strange, 6)}" if strange else "it has no convolution"
        raise ValueError(
            f"{path} is not one of InsightFace's recognisers, w600k_r50 or w600k_mbf: {what} among {len(found)} nodes"
        )
    return [
        Layer(
            node.op_type,
            [weights[name] for name in node.input if name in weights],
            {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
        )
        for node in graph.node
        if node.op_type in {*LAYER_TYPES, "Add"}
    ]


def iresnet_names(layers: list[Layer]) -> dict[str, Layer]:
    """Our names of an iResNet's layers; a block ends with an addition, a stage begins with a shortcut's convolution."""
    additions = [i for i, layer in enumerate(layers) if layer.type == "Add"]
    if not additions or len(layers) - additions[-1] != 4:
        raise ValueError("an iResNet has three layers behind its last addition")
    bn2, fc, features = layers[additions[-1] + 1 :]
    named, stage, block = {"conv1": layers[0], "prelu": layers[1]}, 0, 0
    starts = [2, *(i + 1 for i in additions[:-1])]
    for number, (start, end) in enumerate(zip(starts, additions, strict=True), 1):
        parts = layers[start:end]
        if len(parts) not in (len(BLOCK) - 1, len(BLOCK)) or (len(parts) < len(BLOCK) and stage == 0):
            types = ", ".join(layer.type for layer in parts)
            raise ValueError(f"block {number} has {types}; the first of an iResNet's stage has {len(BLOCK)} layers")
        stage, block = (stage + 1, 0) if len(parts) == len(BLOCK) else (stage, block + 1)
        named |= {f"layer{stage}.{block}.{part}": layer for part, layer in zip(BLOCK, parts, strict=False)}
    return named | {"bn2": bn2, "fc": fc, "features": features}


def iresnet(layers: list[Layer]) -> IResNetRecognizer:
    """An iResNet of the graph's size. A BatchNorm that was folded into its convolution becomes one that only shifts."""
    named = iresnet_names(layers)
    state = weights_of(named)
    for name in [name for name, layer in named.items() if layer.type == "Conv"]:
        state |= shift(norm_behind(name), state.pop(f"{name}.bias"))
    return filled(IResNetRecognizer(IResNetConfig(**iresnet_size(state))), state, named)


def norm_behind(convolution: str) -> str:
    """Name of the BatchNorm behind a convolution of an iResNet."""
    if convolution == "conv1":
        return "bn1"
    return next(convolution.removesuffix(end) + norm for end, norm in BEHIND.items() if convolution.endswith(end))


def shift(name: str, bias: Tensor) -> StateDict:
    """The BatchNorm that only adds `bias`."""
    one = torch.ones(len(bias))
    values = {"weight": one, "bias": bias, "running_mean": 0 * one, "running_var": one - EPSILON}
    return {f"{name}.{key}": value for key, value in values.items()}


def mobilefacenet(layers: list[Layer]) -> PreTrainedModel:
    """InsightFace's MobileFaceNet; layers of each type come in the order of our network."""
    model = WEBFACE600K.build({})
    named: dict[str, Layer] = {}
    for kind, (module_class, _) in LAYER_TYPES.items():
        names = [name for name, module in model.named_modules() if isinstance(module, module_class)]
        found = [layer for layer in layers if layer.type == kind]
        if len(found) != len(names):
            raise ValueError(f"{len(found)} {kind} layers, InsightFace's MobileFaceNet has {len(names)}")
        named |= dict(zip(names, found, strict=True))
    return filled(model, weights_of(named), named)


def weights_of(named: dict[str, Layer]) -> StateDict:
    """All weights under the names of our modules."""
    state: StateDict = {}
    for name, layer in named.items():
        parts = LAYER_TYPES[layer.type][1] if layer.type in LAYER_TYPES else ()
        if len(layer.weights) != len(parts):
            raise ValueError(f"{name} is a {layer.type} with {len(layer.weights)} weights, not {len(parts)}")
        state |= {f"{name}.{part}": value for part, value in zip(parts, layer.weights, strict=True)}
        if layer.type == "PRelu":  # one slope for each channel, shaped for broadcasting
            state[f"{name}.weight"] = state[f"{name}.weight"].flatten()
    return state


def filled(model: PreTrainedModel, state: StateDict, named: dict[str, Layer]) -> PreTrainedModel:
    """`model` with the weights, if the graph computes what its modules compute."""
    for name, layer in named.items():
        check_layer(name, layer, model.get_submodule(name))
    check_fit(state, model.state_dict())
    return fill(model, state)


def check_layer(name: str, layer: Layer, module: nn.Module) -> None:
    """Refuse a layer of another type than our module, or one that strides, pads or scales in another way."""
    if layer.type not in LAYER_TYPES or not isinstance(module, LAYER_TYPES[layer.type][0]):
        raise ValueError(f"{name} is a {layer.type}, not a {type(module).__name__}")
    if layer.type == "Conv":
        padding = list(module.padding)
        expected = {"strides": list(module.stride), "pads": padding * 2, "group": module.groups}
        defaults = {"strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1], "auto_pad": b"NOTSET"}
    else:
        defaults = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, "epsilon": 1e-5, "training_mode": 0}
        expected = {"transB": 1} if layer.type == "Gemm" else {}
    for key, default in defaults.items():
        found, right = layer.attributes.get(key, default), expected.get(key, default)
        if found != right and not (key == "epsilon" and abs(found / EPSILON - 1) < 0.01):
            raise ValueError(f"{name}, a {layer.type}, has {key} {found}, not {right}")


def read(path: Path) -> PreTrainedModel:
    """The network of the file with its weights, in eval mode."""
    layers = read_layers(path)
    count = {kind: sum(layer.type == kind for layer in layers) for kind in (*LAYER_TYPES, "Add")}
    try:
        return mobilefacenet(layers) if count["BatchNormalization"] == 1 else iresnet(layers)
    except ValueError as error:
        found = ", ".join(f"{number} {kind}" for kind, number in count.items())
        raise ValueError(
            f"{path} is neither InsightFace's iResNet nor its MobileFaceNet with folded BatchNorm: {error}; "
            f"found {found}"
        ) from error


def run_graph(path: Path, pixel_values: Tensor) -> np.ndarray:
    """What the file itself computes: by onnxruntime, or by onnx's slow reference where that is not installed."""
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(str(path))
        return session.run(None, {session.input_names[0]: pixel_values.numpy()})[0]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name  # the batch may be fixed at 1
    return np.concatenate([session.run(None, {name: image[None].numpy()})[0] for image in pixel_values])


def convert(path: Path, output: Path) -> Conversion:
    """Convert `path` into the folder `output`; source and result are compared as networks, on the probe."""
    model = read(path)
    written = write_network(model, output)
    expected = run_graph(path, probe_images())
    difference, scale = np.abs(expected - outputs(written).numpy()).max().item(), np.abs(expected).max().item()
    probe = (
        "the ONNX file itself against the written folder, the one run by onnxruntime or onnx; "
        f"outputs up to {scale:.3g}"
    )
    count = len(model.state_dict())
    result = Conversion(
        "insightface-onnx", output, count, None, difference, probe, sha256(path), probe_scale=max(1.0, scale)
    )
    write_card(path, ORIGIN, result, EMBEDDER_USAGE)
    return result


CONVERTERS = {"insightface-onnx": Converter("an InsightFace recogniser (ONNX)", convert)}

"""InsightFace's ONNX recognisers (`w600k_r50`, `w600k_mbf`): iResNet-50 and MobileFaceNet, BatchNorm folded where it
follows a convolution.

The exporter renames the folded weights to numbers, so layers are recognised by their order in the graph.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from difiqa_hf.conversion.checkpoint import StateDict, sha256
from difiqa_hf.conversion.family import EMBEDDER_USAGE, outputs
from difiqa_hf.conversion.recognizers import LAYOUTS
from difiqa_hf.conversion.result import Conversion, Origin, probe_images, write_card
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetRecognizer

ORIGIN = Origin(
    title="InsightFace recogniser (ONNX)",
    url="https://github.com/deepinsight/insightface/tree/master/model_zoo",
    licence="models for non-commercial research only",
    paper="Deng et al., ArcFace, CVPR 2019",
)
EPSILON = 1e-5  # of their BatchNorm
LAYER_TYPES = {"Conv", "BatchNormalization", "PRelu", "Gemm", "Add"}
SHAPE_TYPES = {"Flatten", "Reshape", "Shape", "Gather", "Unsqueeze", "Concat", "Constant", "Identity"}


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
        from onnx import numpy_helper
    except ImportError as error:
        raise ImportError("reading ONNX files needs onnx: pip install 'difiqa-hf[onnx]'") from error
    try:
        graph = onnx.load(path).graph
    except Exception as error:  # protobuf's own exceptions
        raise ValueError(f"{path} is no ONNX file: {error}") from error
    weights = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    found = [node.op_type for node in graph.node]
    strange = sorted(set(found) - LAYER_TYPES - SHAPE_TYPES)
    if strange or "Conv" not in found:
        raise ValueError(
            f"{path} is not one of InsightFace's recognisers: {len(found)} nodes, of other types than theirs are "
            f"{', '.join(strange) or 'none, but there is no convolution'}"
        )
    return [
        Layer(
            node.op_type,
            [weights[name] for name in node.input if name in weights],
            {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute},
        )
        for node in graph.node
        if node.op_type in LAYER_TYPES
    ]


def iresnet(layers: list[Layer]) -> IResNetRecognizer:
    """An iResNet of the graph's size. A BatchNorm that was folded into its convolution becomes one that only shifts."""
    additions = [i for i, layer in enumerate(layers) if layer.type == "Add"]
    stem, *_ = layers
    starts = [2, *(i + 1 for i in additions)]
    blocks = [layers[start:end] for start, end in zip(starts, additions, strict=False)]
    last_norm, linear, features = layers[starts[-1] :]
    stages: list[int] = []
    widths: list[int] = []
    state: StateDict = folded("conv1", "bn1", stem) | {"prelu.weight": layers[1].weights[0].flatten()}
    for norm, first, activation, second, *shortcut in blocks:
        if shortcut:
            stages.append(0)
            widths.append(len(second.weights[0]))
        name = f"layer{len(stages)}.{stages[-1]}"
        stages[-1] += 1
        state |= batch_norm(f"{name}.bn1", norm) | folded(f"{name}.conv1", f"{name}.bn2", first)
        state |= {f"{name}.prelu.weight": activation.weights[0].flatten()}
        state |= folded(f"{name}.conv2", f"{name}.bn3", second)
        for layer in shortcut:
            state |= folded(f"{name}.downsample.0", f"{name}.downsample.1", layer)
    state |= batch_norm("bn2", last_norm) | batch_norm("features", features)
    state |= {"fc.weight": linear.weights[0], "fc.bias": linear.weights[1]}
    side = int((linear.weights[0].shape[1] // widths[-1]) ** 0.5)
    config = IResNetConfig(
        layers=stages,
        widths=widths,
        stem_width=len(stem.weights[0]),
        embedding_size=len(linear.weights[0]),
        image_size=side * 2 ** len(stages),
    )
    model = IResNetRecognizer(config)
    counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    model.load_state_dict(counters | state)
    return model


def folded(convolution: str, norm: str, layer: Layer) -> StateDict:
    """A convolution with bias as our pair of convolution without and BatchNorm, which only adds the bias."""
    weight, bias = layer.weights
    one = torch.ones(len(bias))
    values = {"weight": one, "bias": bias, "running_mean": 0 * one, "running_var": one - EPSILON}
    return {f"{convolution}.weight": weight} | {f"{norm}.{name}": value for name, value in values.items()}


def batch_norm(name: str, layer: Layer) -> StateDict:
    """A BatchNorm that stayed one: scale, shift, mean, variance."""
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{key}": value for key, value in zip(names, layer.weights, strict=True)}


def mobilefacenet(layers: list[Layer]) -> MobileFaceNetRecognizer:
    """InsightFace's MobileFaceNet; convolutions and activations in the order of our network."""
    model = MobileFaceNetRecognizer(MobileFaceNetRecognizer.config_class(**LAYOUTS[0].config))
    convolutions = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Conv2d)]
    activations = [name for name, module in model.named_modules() if isinstance(module, torch.nn.PReLU)]
    state: StateDict = {}
    for names, kind in ((convolutions, "Conv"), (activations, "PRelu")):
        found = [layer for layer in layers if layer.type == kind]
        if len(found) != len(names):
            raise ValueError(f"{len(found)} {kind} layers, InsightFace's MobileFaceNet has {len(names)}")
        for name, layer in zip(names, found, strict=True):
            parts = ("weight", "bias") if kind == "Conv" else ("weight",)
            values = layer.weights if kind == "Conv" else [layer.weights[0].flatten()]
            state |= {f"{name}.{part}": value for part, value in zip(parts, values, strict=True)}
    linear, features = (next(layer for layer in layers if layer.type == t) for t in ("Gemm", "BatchNormalization"))
    state |= {"fc.weight": linear.weights[0], "fc.bias": linear.weights[1]} | batch_norm("norm", features)
    model.load_state_dict(state | {"norm.num_batches_tracked": model.norm.num_batches_tracked})
    return model


def read(path: Path) -> PreTrainedModel:
    """The network of the file with its weights, in eval mode."""
    layers = read_layers(path)
    norms = sum(layer.type == "BatchNormalization" for layer in layers)
    count = {kind: sum(layer.type == kind for layer in layers) for kind in sorted(LAYER_TYPES)}
    wrong = [
        layer.attributes["epsilon"] for layer in layers if not 0.9e-5 < layer.attributes.get("epsilon", 1e-5) < 1.1e-5
    ]
    try:
        if wrong:
            raise ValueError(f"BatchNorm with epsilon {wrong[0]:g}, not 1e-5")
        model = mobilefacenet(layers) if norms == 1 else iresnet(layers)
    except (RuntimeError, ValueError, IndexError, StopIteration) as error:
        raise ValueError(
            f"{path} is neither InsightFace's iResNet nor its MobileFaceNet with folded BatchNorm: {error}; "
            f"found {count}"
        ) from error
    return model.requires_grad_(False).eval()


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
    model.save_pretrained(output)
    FaceImageProcessor().save_pretrained(output)
    written = type(model).from_pretrained(output, dtype=torch.float32).eval()
    difference = np.abs(run_graph(path, probe_images()) - outputs(written).numpy()).max().item()
    result = Conversion(
        "insightface-onnx",
        output,
        len(model.state_dict()),
        None,
        difference,
        "the ONNX file itself against the written folder",
        sha256(path),
    )
    write_card(output / "README.md", path, ORIGIN, result, EMBEDDER_USAGE.format(folder=output.name))
    return result


CONVERTERS = {"insightface-onnx": convert}

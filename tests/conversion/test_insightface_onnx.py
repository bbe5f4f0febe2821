"""InsightFace's ONNX recognisers, from graphs in their layout: folded BatchNorm, numbered weights."""

import numpy as np
import official
import pytest
import torch

from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.recognizers import embed, load_recognizer
from rules import made_by_rule
from toys import toy_faces

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class Graph:
    """Writes nodes one after the other; weights get numbers for names, as from the exporter."""

    def __init__(self):
        self.nodes, self.weights = [], []

    def add(self, kind: str, inputs: list[str], *weights: torch.Tensor, **attributes) -> str:
        names = [str(600 + len(self.weights) + i) for i in range(len(weights))]
        self.weights += [
            onnx.numpy_helper.from_array(weight.numpy(), name) for weight, name in zip(weights, names, strict=True)
        ]
        output = f"out{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, [*inputs, *names], [output], **attributes))
        return output

    def conv(self, x: str, weight, bias, stride=1, groups=1) -> str:
        size, padding = list(weight.shape[2:]), 1 if weight.shape[-1] == 3 else 0
        options = {"kernel_shape": size, "strides": [stride] * 2, "pads": [padding] * 4, "group": groups}
        return self.add("Conv", [x], weight, bias, **options)

    def prelu(self, x: str, slope) -> str:
        return self.add("PRelu", [x], slope.view(-1, 1, 1))

    def norm(self, x: str, state: dict, name: str) -> str:
        values = [state[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]
        return self.add("BatchNormalization", [x], *values, epsilon=1e-5)

    def save(self, output: str, size: int, path) -> None:
        value = onnx.helper.make_tensor_value_info
        source = value("input.1", onnx.TensorProto.FLOAT, [None, 3, 112, 112])
        result = value(output, onnx.TensorProto.FLOAT, [None, size])
        graph = onnx.helper.make_graph(self.nodes, "recogniser", [source], [result], self.weights)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)


def fold(state: dict, convolution: str, norm: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution with the BatchNorm behind it."""
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
    weight = state[f"{convolution}.weight"] * scale[:, None, None, None]
    return weight, state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def write_iresnet(state: dict, path) -> None:
    """As w600k_r50.onnx: only the BatchNorms that follow no convolution remain."""
    graph = Graph()
    x = graph.prelu(graph.conv("input.1", *fold(state, "conv1", "bn1")), state["prelu.weight"])
    for s, blocks in enumerate(official.LAYERS, 1):
        for i in range(blocks):
            name = f"layer{s}.{i}"
            out = graph.conv(graph.norm(x, state, f"{name}.bn1"), *fold(state, f"{name}.conv1", f"{name}.bn2"))
            out = graph.prelu(out, state[f"{name}.prelu.weight"])
            out = graph.conv(out, *fold(state, f"{name}.conv2", f"{name}.bn3"), 2 if i == 0 else 1)
            if i == 0:
                x = graph.conv(x, *fold(state, f"{name}.downsample.0", f"{name}.downsample.1"), 2)
            x = graph.add("Add", [out, x])
    x = graph.add("Flatten", [graph.norm(x, state, "bn2")])
    x = graph.add("Gemm", [x], state["fc.weight"], state["fc.bias"], transB=1)
    graph.save(graph.norm(x, state, "features"), official.EMBEDDING, path)


def test_iresnet(tmp_path):
    state = made_by_rule(official.iresnet_shapes())
    write_iresnet(state, tmp_path / "w600k_r50.onnx")
    result = convert_checkpoint("insightface-onnx", tmp_path / "w600k_r50.onnx", tmp_path / "out")
    assert result.tensor_difference is None and result.probe_difference < 1e-4
    recognizer, faces = load_recognizer(tmp_path / "out"), toy_faces(2, 5)
    assert recognizer.config.layers == [*official.LAYERS] and recognizer.config.color_order == "rgb"
    torch.testing.assert_close(embed(recognizer, faces), official.iresnet(state, faces), atol=1e-4, rtol=1e-4)
    card = (tmp_path / "out" / "README.md").read_text()
    assert result.source_sha256 in card and "the ONNX file itself against the written folder" in card


def write_mobilefacenet(model, path) -> None:
    """As w600k_mbf.onnx, from our network's weights: all BatchNorms but the last are folded."""
    graph = Graph()

    def layer(x, part, stride=1, groups=1):
        x = graph.conv(x, part.conv.weight, part.conv.bias, stride, groups)
        slope = getattr(part.activation, "weight", None)
        return x if slope is None else graph.prelu(x, slope)

    x = layer(layer("input.1", model.stem[0], 2), model.stem[1], 1, 64)
    for block in model.blocks:
        stride, groups = block.depthwise.conv.stride[0], block.depthwise.conv.groups
        out = layer(layer(layer(x, block.expand), block.depthwise, stride, groups), block.project)
        x = graph.add("Add", [x, out]) if block.residual else out
    x = graph.add("Flatten", [layer(layer(x, model.last), model.reduce)])
    x = graph.add("Gemm", [x], model.fc.weight, model.fc.bias, transB=1)
    state = {f"norm.{key}": value for key, value in model.norm.state_dict().items()}
    graph.save(graph.norm(x, state, "norm"), 512, path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mobilefacenet_with_the_real_weights(shared, tmp_path):
    """w600k_mbf's weights in its ONNX layout and back: onnxruntime, our network and the original agree."""
    original = load_recognizer(shared / "weights" / "mobilefacenet_webface600k.safetensors")
    write_mobilefacenet(original, tmp_path / "w600k_mbf.onnx")
    result = convert_checkpoint("insightface-onnx", tmp_path / "w600k_mbf.onnx", tmp_path / "out")
    assert result.probe_difference < 1e-3
    converted = load_recognizer(tmp_path / "out")
    assert all(torch.equal(value, converted.state_dict()[key]) for key, value in original.state_dict().items())


def test_other_graphs_are_named(tmp_path):
    state = made_by_rule(official.iresnet_shapes())
    graph = Graph()
    weight, bias = fold(state, "conv1", "bn1")
    graph.save(graph.add("Softmax", [graph.conv("input.1", weight, bias)]), 8, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx is not one of .* of other types than theirs are Softmax"):
        convert_checkpoint("insightface-onnx", tmp_path / "other.onnx", tmp_path / "out")
    graph = Graph()
    graph.save(graph.conv("input.1", weight, bias), 8, tmp_path / "short.onnx")
    with pytest.raises(ValueError, match=r"short\.onnx is neither .*'Conv': 1"):
        convert_checkpoint("insightface-onnx", tmp_path / "short.onnx", tmp_path / "out")
    (tmp_path / "torn.onnx").write_bytes(np.arange(99, dtype=np.uint8).tobytes())
    with pytest.raises(ValueError, match=r"torn\.onnx is no"):
        convert_checkpoint("insightface-onnx", tmp_path / "torn.onnx", tmp_path / "out")

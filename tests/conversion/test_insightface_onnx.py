"""InsightFace's ONNX recognisers, from graphs in their layout: folded BatchNorm, numbered weights."""

import official
import pytest
import torch

from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.insightface_onnx import read
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


def change(path, kind: str, number: int, **attributes) -> None:
    """Rewrite the attributes of the node of a type that comes as `number` in the graph; None removes one."""
    model = onnx.load(path)
    node = [node for node in model.graph.node if node.op_type == kind][number]
    kept = [item for item in node.attribute if item.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    new = {name: value for name, value in attributes.items() if value is not None}
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in new.items())
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("kind", "number", "attributes", "found"),
    [
        ("Conv", 0, {"strides": [2, 2]}, r"conv1, a Conv, has strides \[2, 2\], not \[1, 1\]"),
        ("Conv", 2, {"strides": [1, 1]}, r"layer1.0.conv2, a Conv, has strides \[1, 1\], not \[2, 2\]"),
        ("Conv", 3, {"strides": None}, r"layer1.0.downsample.0, a Conv, has strides \[1, 1\], not \[2, 2\]"),
        ("Conv", 1, {"pads": [0, 0, 0, 0]}, r"layer1.0.conv1, a Conv, has pads \[0, 0, 0, 0\], not \[1, 1, 1, 1\]"),
        ("Conv", 1, {"pads": [0, 0, 2, 2]}, r"layer1.0.conv1, a Conv, has pads \[0, 0, 2, 2\]"),
        ("Conv", 1, {"dilations": [2, 2]}, r"layer1.0.conv1, a Conv, has dilations \[2, 2\], not \[1, 1\]"),
        ("Conv", 1, {"auto_pad": "SAME_LOWER"}, "layer1.0.conv1, a Conv, has auto_pad b'SAME_LOWER'"),
        ("Conv", 1, {"group": 2}, "layer1.0.conv1, a Conv, has group 2, not 1"),
        ("Gemm", 0, {"alpha": 0.5}, "fc, a Gemm, has alpha 0.5, not 1"),
        ("Gemm", 0, {"transB": 0}, "fc, a Gemm, has transB 0, not 1"),
        ("BatchNormalization", 1, {"epsilon": 1e-3}, r"layer2.0.bn1, a BatchNormalization, has epsilon 0.001"),
    ],
)
def test_a_graph_that_computes_otherwise_is_refused(kind, number, attributes, found, tmp_path):
    """Before the probe, which would have to notice it otherwise."""
    write_iresnet(made_by_rule(official.iresnet_shapes()), tmp_path / "other.onnx")
    read(tmp_path / "other.onnx")
    change(tmp_path / "other.onnx", kind, number, **attributes)
    with pytest.raises(ValueError, match=rf"other\.onnx is neither .* BatchNorm: {found}.*; found 15 Conv"):
        read(tmp_path / "other.onnx")


def test_what_no_layer_tells_is_left_to_the_probe(tmp_path):
    """The same layers, a shortcut that begins elsewhere: no folder."""
    write_iresnet(made_by_rule(official.iresnet_shapes()), tmp_path / "w600k_r50.onnx")
    model = onnx.load(tmp_path / "w600k_r50.onnx")
    addition = [node for node in model.graph.node if node.op_type == "Add"][2]  # of a block without a convolution there
    addition.input[1] = addition.input[0]
    onnx.save(model, tmp_path / "w600k_r50.onnx")
    with pytest.raises(ValueError, match="does not agree with the file: largest difference of the probe"):
        convert_checkpoint("insightface-onnx", tmp_path / "w600k_r50.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["complex64", "int32"])
def test_weights_of_other_numbers_are_refused(content, tmp_path):
    state = made_by_rule(official.iresnet_shapes())
    write_iresnet(state, tmp_path / "other.onnx")
    model = onnx.load(tmp_path / "other.onnx")
    bias = model.graph.initializer[1]  # of the first convolution
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias).astype(content), bias.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=rf"wrong \(\d\): bn1\.\w+ holds {content}, not floating point"):
        read(tmp_path / "other.onnx")


def test_other_graphs_are_named(tmp_path):
    state = made_by_rule(official.iresnet_shapes())
    graph = Graph()
    weight, bias = fold(state, "conv1", "bn1")
    graph.save(graph.add("Softmax", [graph.conv("input.1", weight, bias)]), 8, tmp_path / "other.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx is not one of .*: it has Softmax among 2 nodes"):
        convert_checkpoint("insightface-onnx", tmp_path / "other.onnx", tmp_path / "out")
    graph = Graph()
    graph.save(graph.conv("input.1", weight, bias), 8, tmp_path / "short.onnx")
    with pytest.raises(ValueError, match=r"short\.onnx is neither .*: an iResNet has .*; found 1 Conv"):
        convert_checkpoint("insightface-onnx", tmp_path / "short.onnx", tmp_path / "out")
    torn = (tmp_path / "short.onnx").read_bytes()[:99]
    (tmp_path / "torn.onnx").write_bytes(torn)
    with pytest.raises(ValueError, match=r"torn\.onnx is damaged, or no ONNX model \(99 bytes\); fetch it again"):
        convert_checkpoint("insightface-onnx", tmp_path / "torn.onnx", tmp_path / "out")


def test_the_detector_is_no_recogniser(shared, tmp_path):
    with pytest.raises(ValueError, match=r"yunet.* is not one of InsightFace's recognisers.*: it has MaxPool, Relu, "):
        convert_checkpoint("insightface-onnx", shared / "weights" / "yunet" / "yunet_n_640_640.onnx", tmp_path / "out")

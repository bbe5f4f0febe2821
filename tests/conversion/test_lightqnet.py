"""LightQNet's released graphs: a made-up graph in the fast tests, the three real ones where they are."""

import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.frozen_graph import read_graph
from difiqa_hf.conversion.lightqnet import convert_lightqnet
from difiqa_hf.methods import create_method
from difiqa_hf.models.modeling_lightqnet import WIDTHS, resize_levels
from toys import toy_faces, toy_lightqnet


def varint(value: int) -> bytes:
    low = value & 127
    return bytes([low]) if value < 128 else bytes([low | 128]) + varint(value >> 7)


def message(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(name: str, op: str, **attributes: bytes) -> bytes:
    entries = [message(5, message(1, key.encode()) + message(2, value)) for key, value in attributes.items()]
    return message(1, message(1, name.encode()) + message(2, op.encode()) + b"".join(entries))


def constant(name: str, values, shape, *, as_content: bool) -> bytes:
    packed = np.asarray(values, "<f4").tobytes()
    dims = b"".join(message(2, message(1, size)) for size in shape)
    tensor = message(1, 1) + message(2, dims) + message(4 if as_content else 5, packed)
    return node(name, "Const", value=message(8, tensor))


def write(tmp_path, data: bytes):
    path = tmp_path / "graph.pb"
    path.write_bytes(data)
    return path


def test_reads_constants_and_strides(tmp_path):
    graph = constant("a", [1, 2, 3, 4, 5, 6], (2, 3), as_content=True)
    graph += constant("b", [0.5], (2, 2), as_content=False)  # one value stands for all
    graph += node("c", "Conv2D", strides=message(1, message(3, b"\x01\x02\x02\x01")))  # packed
    graph += node("d", "AvgPool", strides=message(1, b"".join(message(3, i) for i in (1, 3, 4, 1))))
    graph += message(4, struct.pack("<i", 7))  # another field of GraphDef is passed over
    nodes = read_graph(write(tmp_path, graph))
    assert list(nodes) == ["a", "b", "c", "d"]
    assert np.array_equal(nodes["a"].value, np.arange(1, 7, dtype="<f4").reshape(2, 3))
    assert np.array_equal(nodes["b"].value, np.full((2, 2), 0.5))
    assert nodes["c"].strides == (2, 2) and nodes["d"].strides == (3, 4) and nodes["c"].value is None


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04not a graph", b"\xff" * 40, constant("a", [1, 2], (3,), as_content=True), b"\x0a\x7f\x00"]
)
def test_what_is_no_graph_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"graph\.pb is not a frozen TensorFlow graph"):
        read_graph(write(tmp_path, data))


def test_a_foreign_graph_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is not a LightQNet: .*found 1 constants"):
        convert_lightqnet(write(tmp_path, constant("dense/weights", [1], (1, 1), as_content=True)))


def test_resize_is_opencv_s():
    cv2 = pytest.importorskip("cv2")
    levels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    ours = resize_levels(torch.from_numpy(levels).permute(2, 0, 1).int(), 96).permute(1, 2, 0)
    assert np.array_equal(ours.numpy(), cv2.resize(levels, (96, 96), interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("color_order", ["bgr", "rgb"])
def test_released_graphs_give_the_golden_scores(shared, width, color_order):
    golden = np.load(shared / "golden" / "recognizers" / "lightqnet_lfw.npz")
    method = create_method(
        "lightqnet", checkpoint=shared / "weights" / "lightqnet" / f"lightqnet-{width}.pb", color_order=color_order
    )
    config = method.model.config
    assert (config.stem_width, tuple(map(tuple, config.blocks)), config.last_width) == WIDTHS[width]
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        images = [np.asarray(Image.open(archive.open(f"lfw/{name}")).convert("RGB")) for name in golden["files"]]
    quality = method(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1)
    assert np.abs(quality.numpy() - golden[f"{width}_{color_order}"]).max() < 1e-6


@pytest.mark.parametrize("width", WIDTHS)
def test_released_graphs_convert(shared, width, tmp_path):
    """The folder scores as the graph, hence as the golden scores; its configuration holds the colour order."""
    file = shared / "weights" / "lightqnet" / f"lightqnet-{width}.pb"
    result = convert_checkpoint("lightqnet", file, tmp_path / "out")
    assert result.probe_difference < 1e-5 and result.source_sha256 in (tmp_path / "out" / "README.md").read_text()
    converted = create_method("lightqnet", checkpoint=tmp_path / "out")
    assert converted.model.config.color_order == "bgr"
    assert AutoImageProcessor.from_pretrained(tmp_path / "out").color_order == "rgb"
    faces = toy_faces(2, 4)
    assert torch.equal(converted(faces), create_method("lightqnet", checkpoint=file)(faces))


def test_another_colour_order_leaves_the_callers_model_alone():
    model, x = toy_lightqnet(), toy_faces(2)
    bgr, rgb = (create_method("lightqnet", checkpoint=model, color_order=order) for order in ("bgr", "rgb"))
    assert model.config.color_order == "bgr" and torch.equal(rgb(x.flip(1)), bgr(x)) and not torch.equal(rgb(x), bgr(x))

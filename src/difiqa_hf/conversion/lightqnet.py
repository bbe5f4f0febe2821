"""The three released LightQNet graphs (lightqnet-dm{100,050,025}.pb, KaenChan/lightqnet, MIT) -> our model."""

import re
from pathlib import Path

import numpy as np
import torch

from difiqa_hf.conversion.checkpoint import check_fit, first, sha256
from difiqa_hf.conversion.file_types import check_type
from difiqa_hf.conversion.frozen_graph import Node, read_graph
from difiqa_hf.conversion.network import SAME_CODE, fill, probe_difference, usage, write_network
from difiqa_hf.conversion.result import Conversion, Converter, Origin, write_card
from difiqa_hf.models.modeling_lightqnet import LightQNet, LightQNetConfig

ORIGIN = Origin(
    title="LightQNet",
    url="https://github.com/KaenChan/lightqnet",
    licence="MIT",
    paper="Chen et al., LightQNet, IEEE SPL 2021",
    input="BGR in the released demo, RGB in the training code; (x - 128) / 128, 96 x 96, aligned to three points",
)
SCOPE = "UncertaintyModule/"
NAMES = {"MobilenetV3/Conv": "stem", "MobilenetV3/Conv_1": "last"}
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert_lightqnet(path: str | Path) -> LightQNet:
    """Read a released LightQNet graph into our model, in eval mode; widths and strides come from the graph.

    Raises:
        ValueError: if the file is no graph, or not LightQNet's.
    """
    path = Path(path)
    check_type(path, "graph")
    graph = read_graph(path)
    constants = {name.removeprefix(SCOPE): node.value for name, node in graph.items() if node.op == "Const"}
    constants.pop("Reshape/shape", None)
    try:
        state = dict(_translate(name, value) for name, value in constants.items())
        model = LightQNet(_config(graph, state))
        check_fit(state, model.state_dict())
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not a LightQNet: {error}; found {len(constants)} constants ({first(sorted(constants))})"
        ) from error
    return fill(model, state)


def _translate(name: str, value: np.ndarray) -> tuple[str, torch.Tensor]:
    """TensorFlow's name and layout (HWIO, depthwise HWC1, linear IO) -> ours."""
    tensor = torch.from_numpy(value.copy())
    if name == "Bottleneck/biases":
        return "fc.bias", tensor
    if name == "Bottleneck/weights":
        return "fc.weight", tensor.T.contiguous()
    module, _, leaf = name.rpartition("/")
    if leaf in BATCH_NORM:
        return f"{_module(module.removesuffix('/BatchNorm'))}.norm.{BATCH_NORM[leaf]}", tensor
    axes = {"weights": (3, 2, 0, 1), "depthwise_weights": (2, 3, 0, 1)}[leaf]
    return f"{_module(module)}.conv.weight", tensor.permute(axes).contiguous()


def _module(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    block, _, part = name.rpartition("/")
    number = re.fullmatch(r"MobilenetV3/expanded_conv(?:_(\d+))?", block)
    if number is None:
        raise KeyError(name)
    return f"blocks.{number[1] or 0}.{part}"


def _config(graph: dict[str, Node], state: dict[str, torch.Tensor]) -> LightQNetConfig:
    """Widths from the shapes of the weights, strides from the depthwise convolutions, in the order of the graph."""
    strides = [node.strides[0] for node in graph.values() if node.op == "DepthwiseConv2dNative"]
    blocks = []
    for i, stride in enumerate(strides):
        expand = state.get(f"blocks.{i}.expand.conv.weight")
        blocks.append([0 if expand is None else len(expand), len(state[f"blocks.{i}.project.conv.weight"]), stride])
    return LightQNetConfig(
        stem_width=len(state["stem.conv.weight"]), blocks=blocks, last_width=len(state["last.conv.weight"])
    )


def convert(path: Path, output: Path) -> Conversion:
    """Convert `path` into the folder `output`."""
    model = convert_lightqnet(path)
    written = write_network(model, output, "lightqnet")
    count, difference = len(model.state_dict()), probe_difference(model, written)
    result = Conversion("lightqnet", output, count, None, difference, SAME_CODE, sha256(path))
    notes = "It resizes the crops to 96 x 96 itself, in the 8-bit arithmetic of the released demo."
    write_card(path, ORIGIN, result, usage("lightqnet"), notes)
    return result


CONVERTERS = {"lightqnet": Converter("LightQNet", convert)}

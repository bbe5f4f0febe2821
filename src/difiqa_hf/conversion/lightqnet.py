"""The three released LightQNet graphs (lightqnet-dm{100,050,025}.pb, KaenChan/lightqnet, MIT) -> our model."""

import re
from pathlib import Path

import numpy as np
import torch

from difiqa_hf.conversion.frozen_graph import Node, read_graph
from difiqa_hf.models.modeling_lightqnet import LightQNet, LightQNetConfig

SCOPE = "UncertaintyModule/"
NAMES = {"MobilenetV3/Conv": "stem", "MobilenetV3/Conv_1": "last"}
BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def convert_lightqnet(path: str | Path) -> LightQNet:
    """Read a released LightQNet graph into our model, in eval mode; widths and strides come from the graph.

    Raises:
        ValueError: if the file is no graph, or not LightQNet's.
    """
    graph = read_graph(path)
    constants = {name.removeprefix(SCOPE): node.value for name, node in graph.items() if node.op == "Const"}
    constants.pop("Reshape/shape", None)
    try:
        state = dict(_translate(name, value) for name, value in constants.items())
        model = LightQNet(_config(graph, state))
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(
            f"{path} is not a LightQNet: {error}; found {len(constants)} constants, the first are "
            f"{sorted(constants)[:3]}"
        ) from error
    return model.eval()


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

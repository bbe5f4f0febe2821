"""Constants and strides of a frozen TensorFlow graph (.pb), read without TensorFlow.

Only the fields of the GraphDef message that carry them are decoded (numbers from the public .proto files): GraphDef
node = 1; NodeDef name = 1, op = 2, attr = 5; AttrValue list = 1, tensor = 8; ListValue i = 3; TensorProto dtype = 1,
tensor_shape = 2, tensor_content = 4, float_val = 5, int_val = 7; TensorShapeProto dim = 2; Dim size = 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: `value` of constants, `strides` (rows, columns) of convolutions and pooling, else None."""

    name: str
    op: str
    value: np.ndarray | None
    strides: tuple[int, int] | None


def read_graph(path: str | Path) -> dict[str, Node]:
    """Name -> node of a frozen graph, in the order of the file.

    Raises:
        ValueError: if the file is not a GraphDef.
    """
    try:
        nodes = [_node(value) for number, value in _fields(Path(path).read_bytes()) if number == 1]
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a frozen TensorFlow graph, or damaged; fetch it again: {error}") from error
    if not nodes:
        raise ValueError(f"{path} is not a frozen TensorFlow graph: it has no nodes; fetch it again")
    return {node.name: node for node in nodes}


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a protobuf message: integers for varints, bytes for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind, value = key & 7, None
        if kind in (0, 2):
            value, position = _varint(data, position)
        if kind in (1, 2, 5):
            size = {1: 8, 2: value, 5: 4}[kind]
            value, position = data[position : position + size], position + size
        if value is None or position > len(data):
            raise ValueError(f"field {key >> 3} of wire type {kind} ends at byte {position} of {len(data)}")
        yield key >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer of seven bits a byte, low ones first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
    raise ValueError(f"an integer of more than 64 bits before byte {position}")


def _integers(value: int | bytes) -> Iterator[int]:
    """A repeated integer field, one value or packed."""
    position = 0
    while not isinstance(value, int) and position < len(value):
        number, position = _varint(value, position)
        yield number
    if isinstance(value, int):
        yield value


def _node(data: bytes) -> Node:
    name, op, value, strides = "", "", None, None
    for number, content in _fields(data):
        if number == 1:
            name = content.decode()
        elif number == 2:
            op = content.decode()
        elif number == 5:
            entry = dict(_fields(content))
            key, attribute = entry[1].decode(), dict(_fields(entry.get(2, b"")))
            if key == "strides":  # NHWC
                strides = tuple(i for n, part in _fields(attribute[1]) if n == 3 for i in _integers(part))[1:3]
            elif key == "value" and op == "Const":
                value = _tensor(attribute[8])
    return Node(name, op, value, strides)


def _tensor(data: bytes) -> np.ndarray:
    """TensorProto -> array; a single value in `float_val` or `int_val` stands for all. Strings become empty."""
    dtype, shape, values = 1, [], []
    for number, value in _fields(data):
        if number == 1:
            dtype = value
        elif number == 2:
            shape = [dict(_fields(dim)).get(1, 0) for n, dim in _fields(value) if n == 2]
        elif number in (4, 5):
            content = np.frombuffer(value, DTYPES.get(dtype, "u1") if number == 4 else "<f4")
            values.append(content)
        elif number == 7:
            values.append(list(_integers(value)))
    if dtype not in DTYPES:
        return np.empty(0)
    flat = np.concatenate(values) if values else np.empty(0)
    if len(flat) not in (1, int(np.prod(shape))):
        raise ValueError(f"{len(flat)} values for a tensor of shape {shape}")
    return np.resize(flat, shape).astype(DTYPES[dtype])

"""The few messages of ONNX that a network needs, written as bytes.

The package onnx writes them too, but takes 30 MB and longer to import than a scan spends in stage 1; it is the oracle in the tests. Field
numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3, encoding: https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Attribute = int | float | Sequence[int]
Shape = tuple[int, ...]

_IR_VERSION, _OPSET = 9, 17
#: Values of enumerations: the type of a tensor, of an attribute, and where a tensor's values lie.
_FLOAT32, _IS_FLOAT, _IS_INT, _IS_INTS, _EXTERNAL = 1, 1, 2, 7, 1
_AXES = 5


def model(nodes: Sequence[bytes], weights: Mapping[str, Shape], image: str, logits: str) -> bytes:
    """Return a ModelProto.

    Parameters
    ----------
    nodes : sequence of bytes
        Of `node`, in the order in which they run.
    weights : mapping of str to tuple of int
        Names and shapes of float32 tensors, whose values the session is given apart from the model.
    image, logits : str
        Names of the one input and the one output, float32 of five axes of any length.
    """
    parts = [_bytes(1, each) for each in nodes] + [_text(2, "cascade")]
    parts += [_bytes(5, _tensor(name, shape)) for name, shape in weights.items()]
    parts += [_bytes(11, _value(image)), _bytes(12, _value(logits))]
    return _number(1, _IR_VERSION) + _text(2, "cascade") + _bytes(7, b"".join(parts)) + _bytes(8, _number(2, _OPSET))


def node(operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute]) -> bytes:
    """Return a NodeProto, named as its output."""
    parts = [_text(1, name) for name in inputs] + [_text(2, output), _text(3, output), _text(4, operator)]
    return b"".join(parts + [_bytes(5, _text(1, name) + _attribute(value)) for name, value in attributes.items()])


def _attribute(value: Attribute) -> bytes:
    if isinstance(value, float):
        return _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, _IS_FLOAT)
    if isinstance(value, int):
        return _number(3, value) + _number(20, _IS_INT)
    return b"".join(_number(8, each) for each in value) + _number(20, _IS_INTS)


def _tensor(name: str, shape: Shape) -> bytes:
    """A TensorProto whose values lie outside; ONNX wants a place named, and the session is given the values instead."""
    place = _bytes(13, _text(1, "location") + _text(2, "safetensors"))
    return b"".join(_number(1, length) for length in shape) + _number(2, _FLOAT32) + _text(8, name) + place + _number(14, _EXTERNAL)


def _value(name: str) -> bytes:
    """A ValueInfoProto."""
    shape = b"".join(_bytes(1, _text(2, f"{name}_{axis}")) for axis in range(_AXES))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT32) + _bytes(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    r"""Encode a number from 0, seven bits a byte, the lowest first.

    >>> _varint(300)
    b'\xac\x02'
    """
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*low, value))

"""MONAI's residual UNet as a graph of ONNX, made from a checkpoint's spec and weights whenever they are loaded.

It is the network of `cascade.networks.unet`, to which the tests compare it. Nothing of it is stored: spec and weights decide all, so the
checkpoint's identity covers it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.networks.onnx_proto import Attribute, model, node

IMAGE, LOGITS = "image", "logits"
Array = NDArray[np.float32]
Triple = tuple[int, int, int]
_SIZES = ("in_channels", "out_channels", "channels", "strides", "num_res_units")
_ONCE = (1, 1, 1)
#: Of instance normalisation, as torch has it by default.
_EPSILON = 1e-5


@dataclass(frozen=True, eq=False)
class Graph:
    """A network for ONNX Runtime.

    Parameters
    ----------
    model : bytes
        A ModelProto from `IMAGE` (1, in_channels, x, y, z) to `LOGITS` (1, out_channels, x, y, z), without the weights.
    weights : mapping of str to array of float32
        What its initializers hold.
    """

    model: bytes
    weights: Mapping[str, Array]


def plain_sizes(network: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a plain UNet is made of; None where spec's network is another, or asks for more.

    A plain one has three dimensions, residual units and instance normalisation, and the rest as MONAI's has it by default.
    """
    rest = {name: value for name, value in arguments.items() if name not in _SIZES}
    if network != "UNet" or rest not in ({"spatial_dims": 3}, {"spatial_dims": 3, "norm": "instance"}):
        return None
    if len(arguments) - len(rest) != len(_SIZES) or arguments["num_res_units"] < 1:
        return None
    if not len(arguments["channels"]) - 1 == len(arguments["strides"]) > 0:
        return None
    return {name: arguments[name] for name in _SIZES}


def triple(stride: int | Sequence[int]) -> Triple:
    """A stride along each axis."""
    x, y, z = (stride,) * 3 if isinstance(stride, int) else stride
    return x, y, z


def unet_graph(sizes: Mapping[str, Any], weights: Mapping[str, Array]) -> Graph:
    """Make the graph of a plain UNet.

    Parameters
    ----------
    sizes : mapping
        Of `plain_sizes`.
    weights : mapping of str to array of float32
        By MONAI's names.

    Raises
    ------
    ValueError
        The weights are not those of a network of these sizes.
    """
    writer, strides = _Writer(weights), [triple(stride) for stride in sizes["strides"]]
    channels, units = sizes["channels"], sizes["num_res_units"]

    def level(depth: int, entering: int, leaving: int, x: str) -> str:
        """Write a level and all below it; return the name of its output."""
        name, own, below = "model" + depth * ".1.submodule", channels[depth], "model" + (depth + 1) * ".1.submodule"
        down = writer.residual(f"{name}.0", (entering, own), strides[depth], units, x)
        if depth + 1 < len(strides):
            deep, joined = level(depth + 1, own, own, down), 2 * own
        else:
            deep, joined = writer.residual(below, (own, channels[-1]), _ONCE, units, down), own + channels[-1]
        both = writer.add("Concat", [down, deep], axis=1)
        grow = writer.shuffled if depth == 0 and max(strides[0]) == 2 else writer.transposed
        up = grow(f"{name}.2.0", (joined, leaving), strides[depth], both)
        return writer.residual(f"{name}.2.1", (leaving, leaving), _ONCE, 1, up, ends_plain=depth == 0)

    writer.add("Identity", [level(0, sizes["in_channels"], sizes["out_channels"], IMAGE)], name=LOGITS)
    return writer.graph()


class _Writer:
    """Nodes in the order in which they run, and the weights that they take."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._given, self._taken, self._nodes = weights, dict[str, Array](), list[bytes]()

    def graph(self) -> Graph:
        """All nodes; every weight that was given must have been taken."""
        unused = [name for name in self._given if name not in self._taken]
        if unused:
            raise ValueError(f"expected no {unused[0]}")
        # A slope stands in its node; ones and zeros are shared by the normalisations of one width.
        initializers = {name: array for name, array in self._taken.items() if not name.endswith(".A.weight")}
        return Graph(model(self._nodes, {name: array.shape for name, array in initializers.items()}, IMAGE, LOGITS), initializers)

    def add(self, operator: str, inputs: Sequence[str], name: str = "", **attributes: Attribute) -> str:
        """Write a node; return the name of its output."""
        name = name or f"x{len(self._nodes)}"
        self._nodes.append(node(operator, inputs, name, attributes))
        return name

    def residual(self, name: str, channels: tuple[int, int], stride: Triple, units: int, x: str, *, ends_plain: bool = False) -> str:
        """Convolutions, the first of them strided, and a way around them."""
        around, (entering, leaving) = x, channels
        if math.prod(stride) != 1:
            around = self._convolution(f"{name}.residual", channels, stride, x)
        elif entering != leaving:
            around = self._convolution(f"{name}.residual", channels, stride, x, kernel=1)
        for unit in range(units):
            unit_name = f"{name}.conv.unit{unit}"
            x = self._convolution(f"{unit_name}.conv", (entering, leaving), stride, x)
            entering, stride = leaving, _ONCE
            if not (ends_plain and unit == units - 1):
                x = self._activated(unit_name, leaving, x)
        return self.add("Add", [x, around])

    def transposed(self, name: str, channels: tuple[int, int], stride: Triple, x: str) -> str:
        """A transposed convolution by which lengths grow by the stride, normalised and activated."""
        taken = [self._take(f"{name}.conv.weight", (*channels, 3, 3, 3)), self._take(f"{name}.conv.bias", channels[1:])]
        grown = [step - 1 for step in stride]
        x = self.add("ConvTranspose", [x, *taken], kernel_shape=(3,) * 3, strides=stride, pads=(1,) * 6, output_padding=grown)
        return self._activated(name, channels[1], x)

    def shuffled(self, name: str, channels: tuple[int, int], stride: Triple, x: str) -> str:
        """`transposed` for steps of 1 and 2, as a convolution for each parity of the result's places: in a fourth of the memory.

        ConvTranspose writes 27 times what its output has channels before it adds that up. Where most channels are, it is quicker.
        """
        weight, bias = self._take(f"{name}.conv.weight", (*channels, 3, 3, 3)), self._take(f"{name}.conv.bias", channels[1:])
        self._taken[weight] = _kernels_by_parity(self._taken[weight], stride)
        self._taken[bias] = np.repeat(self._taken[bias], math.prod(stride))
        kernel = self._taken[weight].shape[2:]
        y = self.add("Conv", [x, weight, bias], kernel_shape=kernel, strides=_ONCE, pads=(*(step % 2 for step in stride), 1, 1, 1))
        lengths = self.add("Shape", [x], start=2)
        y = self.add("Reshape", [y, self.add("Concat", [self._numbers(1, channels[1], *stride), lengths], axis=0)])
        y = self.add("Transpose", [y], perm=(0, 1, 5, 2, 6, 3, 7, 4))
        grown = self.add("Mul", [lengths, self._numbers(*stride)])
        y = self.add("Reshape", [y, self.add("Concat", [self._numbers(1, channels[1]), grown], axis=0)])
        return self._activated(name, channels[1], y)

    def _numbers(self, *values: int) -> str:
        return self.add("Constant", [], value_ints=values)

    def _convolution(self, name: str, channels: tuple[int, int], stride: Triple, x: str, kernel: int = 3) -> str:
        entering, leaving = channels
        taken = [self._take(f"{name}.weight", (leaving, entering, *(kernel,) * 3)), self._take(f"{name}.bias", (leaving,))]
        return self.add("Conv", [x, *taken], kernel_shape=(kernel,) * 3, strides=stride, pads=(kernel // 2,) * 6)

    def _activated(self, name: str, channels: int, x: str) -> str:
        """Normalise each channel, then a leaky rectifier; a PReLU of one slope is the same and takes ONNX Runtime longer."""
        scale, shift = (f"{what}{channels}" for what in ("ones", "zeros"))
        self._taken |= {scale: np.ones(channels, np.float32), shift: np.zeros(channels, np.float32)}
        x = self.add("InstanceNormalization", [x, scale, shift], epsilon=_EPSILON)
        slope = self._take(f"{name}.adn.A.weight", (1,))
        return self.add("LeakyRelu", [x], alpha=float(self._taken[slope][0]))

    def _take(self, name: str, shape: tuple[int, ...]) -> str:
        if name not in self._given or self._given[name].shape != shape:
            found = self._given[name].shape if name in self._given else "none"
            raise ValueError(f"expected {name} of shape {shape}; found {found}")
        self._taken[name] = self._given[name]
        return name


def _kernels_by_parity(weight: Array, stride: Triple) -> Array:
    """Kernels (leaving * parities, entering, x, y, z) of the convolutions that a transposed one of (entering, leaving, 3, 3, 3) is made of.

    Along an axis whose step is 2, an even place of the result is reached from one voxel, by the middle of the kernel, an odd one from two,
    by its ends.
    """
    weight = np.pad(weight, [(0, 0), (0, 0), (0, 1), (0, 1), (0, 1)])  # the last is 0
    for axis, step in zip((2, 4, 6), stride, strict=True):
        weight = np.take(weight, [[2, 1, 0]] if step == 1 else [[1, 3], [2, 0]], axis=axis)
    weight = weight.transpose(1, 2, 4, 6, 0, 3, 5, 7)
    return np.ascontiguousarray(weight.reshape(math.prod(weight.shape[:4]), *weight.shape[4:]))

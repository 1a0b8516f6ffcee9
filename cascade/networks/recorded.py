"""MONAI's networks, written down: which layers of torch they have, and how these are joined.

Importing MONAI takes about as long as all the networks' work on a clinical scan (docs/speed.md). So when weights are saved, MONAI's
network is traced, and what it consists of is kept as JSON beside them. Loading builds the same layers under the same names without
MONAI, from a closed list; nothing in the file is executed. Without a record of the network, MONAI builds it.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cascade.errors import CheckpointError
from cascade.io import schema
from cascade.io.files import replacing

_CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
#: The layers that a record may hold, and what has to be known of each to build it again.
_LAYERS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Conv3d: _CONVOLUTION,
    nn.ConvTranspose3d: (*_CONVOLUTION, "output_padding"),
    nn.InstanceNorm3d: ("num_features", "eps", "affine"),
    nn.PReLU: ("num_parameters",),
    nn.LeakyReLU: ("negative_slope", "inplace"),
    nn.ReLU: ("inplace",),
}
_BY_NAME: Mapping[str, type[nn.Module]] = {layer.__name__: layer for layer in _LAYERS}
#: What joins layers, as torch.fx sees it; channels are what is concatenated.
_JOINTS: Mapping[Callable[..., Any], str] = {operator.add: "add", torch.add: "add", torch.cat: "cat"}
#: Layers that do nothing in inference.
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout3d)
_MAX_STEPS = 10_000


@dataclass(frozen=True)
class Step:
    """One layer or joint of a network.

    Parameters
    ----------
    kind : str
        ``"add"``, ``"cat"``, or the layer's class in `torch.nn`.
    inputs : tuple of int
        The values it takes: 0 is the network's input, n the result of step n.
    name : str
        Of the layer, as in the weights; empty for a joint.
    arguments : mapping
        Of the layer's class.
    """

    kind: str
    inputs: tuple[int, ...]
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


class RecordedNetwork(nn.Module):
    """A network built from its record; its weights have the names that they have in MONAI's.

    Parameters
    ----------
    steps : sequence of Step

    Raises
    ------
    ValueError
        A step is of no known kind, takes a value that is not there yet, or its layer does not take its arguments.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self._last_use = {value: number for number, step in enumerate(self.steps) for value in step.inputs}
        for number, step in enumerate(self.steps):
            if step.kind not in (*_JOINTS.values(), *_BY_NAME) or not step.inputs or not all(0 <= i <= number for i in step.inputs):
                raise ValueError(f"step {number}: expected a known kind and earlier values; found {step.kind!r} of {step.inputs}")
            if step.kind in _BY_NAME:
                self._put(step.name, _layer(step))

    def _put(self, name: str, layer: nn.Module) -> None:
        """Hang a layer into the tree of modules at its dotted name."""
        place: nn.Module = self
        *parents, last = name.split(".")
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = place.get_submodule(parent)
        place.add_module(last, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in_channels, x, y, z) -> (batch, out_channels, x, y, z)."""
        values = {0: x}
        for number, step in enumerate(self.steps):
            inputs = [values[i] for i in step.inputs]
            if step.kind == "add":
                values[number + 1] = inputs[0] + inputs[1]
            elif step.kind == "cat":
                values[number + 1] = torch.cat(inputs, dim=1)
            else:
                values[number + 1] = self.get_submodule(step.name)(inputs[0])
            for used in {i for i in step.inputs if self._last_use[i] == number}:
                del values[used]
        return values[len(self.steps)]


def _layer(step: Step) -> nn.Module:
    kind = _BY_NAME[step.kind]
    if set(step.arguments) != set(_LAYERS[kind]):
        raise ValueError(f"{step.name}: expected the arguments {', '.join(_LAYERS[kind])}; found {', '.join(step.arguments)}")
    try:
        return kind(**step.arguments)
    except (TypeError, RuntimeError, KeyError, AttributeError) as error:
        raise ValueError(f"{step.name}: {error}") from error


def record(network: nn.Module) -> tuple[Step, ...] | None:
    """Write a network down; None if it has a part that a record cannot hold."""
    try:
        graph = torch.fx.symbolic_trace(network).graph
    except (torch.fx.proxy.TraceError, TypeError, ValueError, RuntimeError):
        return None
    steps: list[Step] = []
    values: dict[torch.fx.Node, int] = {}
    for node in graph.nodes:
        inputs = tuple(values[n] for n in node.all_input_nodes)
        layer = network.get_submodule(str(node.target)) if node.op == "call_module" else None
        if node.op == "placeholder":
            values[node] = 0
        elif isinstance(layer, _NOTHING):
            values[node] = inputs[0]
        elif node.op != "output":
            step = _joint(node, inputs) if layer is None else _layer_step(str(node.target), layer, inputs)
            if step is None:
                return None
            steps.append(step)
            values[node] = len(steps)
    return tuple(steps)


def _joint(node: torch.fx.Node, inputs: tuple[int, ...]) -> Step | None:
    known = node.op == "call_function" and node.target in _JOINTS and len(inputs) == 2 and node.kwargs in ({}, {"dim": 1})
    return Step(_JOINTS[node.target], inputs) if known and callable(node.target) else None


def _layer_step(name: str, layer: nn.Module, inputs: tuple[int, ...]) -> Step | None:
    if type(layer) not in _LAYERS or getattr(layer, "track_running_stats", False) or getattr(layer, "padding_mode", "zeros") != "zeros":
        return None
    arguments = {argument: getattr(layer, argument) for argument in _LAYERS[type(layer)]}
    if "bias" in arguments:
        arguments["bias"] = arguments["bias"] is not None
    return Step(type(layer).__name__, inputs, name, arguments)


def save_record(network: nn.Module, path: Path, made_from: Mapping[str, Any]) -> bool:
    """Write a network's record; False if it has a part that a record cannot hold, and nothing is written."""
    steps = record(network)
    if steps:
        with replacing(path) as temporary:
            temporary.write_text(to_json(steps, made_from), encoding="utf-8")
    return bool(steps)


def load_record(path: Path, made_from: Mapping[str, Any]) -> RecordedNetwork | None:
    """Build a network from its record, without memory for its weights; None if there is no record, or it is of another network.

    Raises
    ------
    CheckpointError
        The file is no record.
    """
    if not path.is_file():
        return None
    try:
        steps = from_json(schema.read_text(path), made_from)
        with torch.device("meta"):
            return RecordedNetwork(steps) if steps else None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected the record of a network ({error}); restore the file from the release") from error


def to_json(steps: Sequence[Step], made_from: Mapping[str, Any]) -> str:
    """Return a record as JSON, one line a step, with the network's name and arguments that it was `made_from`."""
    lines = [json.dumps([step.kind, step.inputs, step.name, dict(step.arguments)]) for step in steps]
    return f'{{"made_from": {json.dumps(made_from)},\n"steps": [\n' + ",\n".join(lines) + "\n]}\n"


def from_json(text: str, made_from: Mapping[str, Any]) -> tuple[Step, ...] | None:
    """Parse a record; None if it is of another network than `made_from` says.

    Raises
    ------
    ValueError
        The text is no record.
    """
    try:
        content = json.loads(text)
        if content["made_from"] != json.loads(json.dumps(made_from)):
            return None
        if len(content["steps"]) > _MAX_STEPS:
            raise ValueError(f"expected at most {_MAX_STEPS} steps")
        return tuple(
            Step(str(kind), tuple(int(i) for i in inputs), str(name), {key: _tuples(value) for key, value in arguments.items()})
            for kind, inputs, name, arguments in content["steps"]
        )
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _tuples(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value

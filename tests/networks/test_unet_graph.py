"""The graph for ONNX Runtime is the plain UNet: the package onnx can read it, and it computes what torch computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.networks.onnx_proto import model, node
from cascade.networks.unet import plain_unet
from cascade.networks.unet_graph import IMAGE, LOGITS, Array, Graph, plain_sizes, unet_graph
from tests.networks.test_unet import SMALL, levels


def network_and_weights(arguments: Mapping[str, Any]) -> tuple[torch.nn.Module, dict[str, Array]]:
    torch.manual_seed(0)
    network = plain_unet("UNet", arguments)
    assert network is not None
    return network.eval(), {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def graph_of(arguments: Mapping[str, Any], weights: Mapping[str, Array]) -> Graph:
    sizes = plain_sizes("UNet", arguments)
    assert sizes is not None
    return unet_graph(sizes, weights)


def logits_of(graph: Graph, image: Array) -> Array:
    """Run it with its weights put into the model by the package onnx."""
    whole = onnx.load_model_from_string(graph.model)
    for tensor in whole.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(graph.weights[tensor.name], tensor.name))
    onnx.checker.check_model(whole, full_check=True)
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([LOGITS], {IMAGE: image})[0])


@settings(max_examples=8)
@given(levels=levels, inputs=st.integers(1, 2), outputs=st.integers(2, 4), units=st.integers(1, 3))
def test_it_computes_what_torch_computes(levels: Any, inputs: int, outputs: int, units: int) -> None:
    channels, strides = levels
    arguments = {"spatial_dims": 3, "in_channels": inputs, "out_channels": outputs, "channels": channels, "strides": strides}
    network, weights = network_and_weights(arguments | {"num_res_units": units})
    graph = graph_of(arguments | {"num_res_units": units}, weights)
    for shape in ((16, 16, 16), (8, 24, 16)):
        image = np.random.default_rng(1).standard_normal((1, inputs, *shape), dtype=np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(logits_of(graph, image), expected, atol=1e-4)


def test_no_weight_is_stored_in_it_and_none_is_copied() -> None:
    _, weights = network_and_weights(SMALL)
    graph = graph_of(SMALL, weights)
    assert len(graph.model) < 8000
    tensors = onnx.load_model_from_string(graph.model).graph.initializer
    assert all(tensor.data_location == onnx.TensorProto.EXTERNAL and not tensor.raw_data for tensor in tensors)
    assert {tensor.name: tuple(tensor.dims) for tensor in tensors} == {name: array.shape for name, array in graph.weights.items()}
    shuffled = ("model.2.0.conv.weight", "model.2.0.conv.bias")
    assert all(array is weights[name] for name, array in graph.weights.items() if name in weights and name not in shuffled)


def without_one(weights: dict[str, Array]) -> None:
    del weights["model.2.0.conv.bias"]


def with_one_more(weights: dict[str, Array]) -> None:
    weights["model.3.weight"] = np.zeros(1, np.float32)


def with_another_shape(weights: dict[str, Array]) -> None:
    weights["model.2.0.conv.bias"] = np.zeros(3, np.float32)


def with_a_slope_for_each_channel(weights: dict[str, Array]) -> None:
    weights["model.2.0.adn.A.weight"] = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_one, r"expected model\.2\.0\.conv\.bias of shape \(2,\); found none"),
        (with_one_more, r"expected no model\.3\.weight"),
        (with_another_shape, r"expected model\.2\.0\.conv\.bias of shape \(2,\); found \(3,\)"),
        (with_a_slope_for_each_channel, r"expected model\.2\.0\.adn\.A\.weight of shape \(1,\); found \(2,\)"),
    ],
)
def test_weights_of_another_network_are_refused(change: Callable[[dict[str, Array]], None], said: str) -> None:
    _, weights = network_and_weights(SMALL)
    change(weights)
    with pytest.raises(ValueError, match=said):
        graph_of(SMALL, weights)


@pytest.mark.parametrize(
    "change", [{"norm": "batch"}, {"num_res_units": 0}, {"kernel_size": 5}, {"spatial_dims": 2}, {"channels": [4]}], ids=str
)
def test_what_the_plain_unet_does_not_have_has_no_graph(change: dict[str, Any]) -> None:
    assert plain_sizes("UNet", {**SMALL, **change}) is None


def test_another_network_has_no_graph() -> None:
    assert plain_sizes("UNet", SMALL) is not None
    assert plain_sizes("SegResNet", SMALL) is None


@given(st.one_of(st.integers(0, 2**62), st.floats(width=32, allow_nan=False), st.lists(st.integers(0, 2**40), min_size=1, max_size=9)))
def test_attributes_are_read_as_they_were_written(value: int | float | list[int]) -> None:
    content = model([node("Any", ["a", "b"], "c", {"name": value})], {"b": (3, 300)}, "a", "c")
    read = onnx.load_model_from_string(content)
    (only,) = read.graph.node
    assert (only.op_type, list(only.input), list(only.output)) == ("Any", ["a", "b"], ["c"])
    assert onnx.helper.get_node_attr_value(only, "name") == value
    assert [axis.dim_param for axis in read.graph.input[0].type.tensor_type.shape.dim] == [f"a_{i}" for i in range(5)]

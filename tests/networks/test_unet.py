"""The plain UNet is MONAI's, parameter by parameter and bit by bit; MONAI builds every other network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks import nets

from cascade.errors import CheckpointError
from cascade.networks.checkpoint import build_network, load_checkpoint, packaged_weights
from cascade.networks.kernels import quick_inference
from cascade.networks.spec import CASCADE_STAGES
from cascade.networks.unet import UNet, plain_unet
from tests.synthetic import tiny_spec

SMALL: Mapping[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [2, 4, 3],
    "strides": [[1, 2, 2], 2],
    "num_res_units": 2,
    "norm": "instance",
}
SPEC = dataclasses.replace(tiny_spec("stage1_spine", ("background", "column"), (4.0, 2.0, 2.0)), network="UNet", network_arguments=SMALL)


def pair(arguments: Mapping[str, Any]) -> tuple[UNet, torch.nn.Module]:
    """Ours and MONAI's, from the same seed."""
    torch.manual_seed(0)
    ours = plain_unet("UNet", arguments)
    torch.manual_seed(0)
    monais = nets.UNet(**arguments)
    assert ours is not None
    return ours.eval(), monais.eval()


def ways() -> list[AbstractContextManager[object]]:
    return [torch.inference_mode(), quick_inference(torch.device("cpu"))]


levels = st.lists(st.integers(1, 5), min_size=2, max_size=4).flatmap(
    lambda channels: st.tuples(
        st.just(channels),
        st.lists(st.sampled_from([1, 2, [1, 2, 2], [1, 1, 1]]), min_size=len(channels) - 1, max_size=len(channels) - 1),
    )
)


@settings(max_examples=15)
@given(levels=levels, inputs=st.integers(1, 2), outputs=st.integers(1, 4), units=st.integers(1, 3), norm=st.booleans())
def test_one_seed_gives_the_parameters_and_outputs_of_monai(levels: Any, inputs: int, outputs: int, units: int, norm: bool) -> None:
    channels, strides = levels
    arguments = {"spatial_dims": 3, "in_channels": inputs, "out_channels": outputs, "channels": channels, "strides": strides}
    ours, monais = pair(arguments | {"num_res_units": units} | ({"norm": "instance"} if norm else {}))
    expected = monais.state_dict()
    assert list(ours.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in ours.state_dict().items())
    image = torch.rand(2, inputs, 16, 16, 16)
    with torch.inference_mode():
        assert torch.equal(ours(image), monais(image))


def test_training_takes_the_same_steps_as_with_monai() -> None:
    image = torch.rand(2, 1, 8, 16, 16)
    gradients = []
    for network in pair(SMALL):
        network.train()(image).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert all(gradient is not None and torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())


@pytest.mark.parametrize(
    "change",
    [
        {"norm": ["instance", {"eps": 0.1}]},
        {"norm": "batch"},
        {"num_res_units": 0},
        {"kernel_size": 5},
        {"act": "relu"},
        {"dropout": 0.5},
        {"spatial_dims": 2, "strides": [2, 2]},
    ],
    ids=str,
)
def test_what_the_plain_unet_does_not_have_is_built_by_monai(change: dict[str, Any]) -> None:
    network = build_network(dataclasses.replace(SPEC, network_arguments={**SMALL, **change}))
    assert type(network) is nets.UNet


@pytest.mark.parametrize("change", [{"channels": "many"}, {"channels": [4]}, {"strides": [[2, 2], 2]}, {"num_res_units": "2"}], ids=str)
def test_arguments_that_are_none_are_refused_in_one_line(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="stage1_spine: expected arguments that UNet can be built with"):
        build_network(dataclasses.replace(SPEC, network_arguments={**SMALL, **change}))


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("stage", CASCADE_STAGES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_packaged_weights_give_the_outputs_of_monai(stage: str, layout: torch.memory_format) -> None:
    checkpoint = load_checkpoint(stage)
    assert type(checkpoint.network) is UNet
    monais = nets.UNet(**checkpoint.spec.network_arguments).eval()
    assert str(monais.load_state_dict(checkpoint.network.state_dict())) == "<All keys matched successfully>"
    image = torch.rand(1, 1, 32, 64, 64).to(memory_format=layout)
    ours, monais = (network.to(memory_format=layout) for network in (checkpoint.network, monais))
    for way in ways():
        with way:
            assert torch.equal(ours(image), monais(image))

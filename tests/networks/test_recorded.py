"""A recorded network is MONAI's network, layer by layer, and nothing that stands in a record is executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from cascade.errors import CheckpointError
from cascade.networks.checkpoint import build_network, load_checkpoint, packaged_weights, save_checkpoint, write_record
from cascade.networks.recorded import RecordedNetwork, Step, from_json, record, to_json
from cascade.networks.spec import STAGE_NAMES, StageSpec
from tests.synthetic import tiny_spec

STAGE = "stage1_spine"
MADE_FROM = {"network": "Toy", "network_arguments": {"channels": [1, 2]}}


class Toy(nn.Module):
    """Everything that a record can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv3d(1, 3, 3, stride=2, padding=1), nn.InstanceNorm3d(3), nn.Dropout(0.2), nn.PReLU(), nn.LeakyReLU(0.2), nn.ReLU()
        )
        self.same = nn.Conv3d(3, 3, 1, bias=False)
        self.up = nn.ConvTranspose3d(6, 2, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.down(x)
        return self.up(torch.cat([x, x + self.same(x)], dim=1))


def again(network: nn.Module) -> RecordedNetwork:
    """The network, written down, read, and filled with the same weights."""
    steps = record(network)
    assert steps is not None
    read = from_json(to_json(steps, MADE_FROM), MADE_FROM)
    assert read == steps
    copy = RecordedNetwork(read)
    copy.load_state_dict(network.state_dict())
    return copy.eval()


@pytest.fixture
def spec() -> StageSpec:
    return tiny_spec(STAGE, ("background", "column"), (4.0, 2.0, 2.0))


def same_answer(a: nn.Module, b: nn.Module) -> bool:
    image = torch.rand(2, 1, 16, 16, 16)
    with torch.inference_mode():
        return torch.equal(a.eval()(image), b.eval()(image))


def test_a_network_that_was_written_down_computes_the_same() -> None:
    network = Toy()
    assert same_answer(network, again(network))


def test_a_monai_network_that_was_written_down_computes_the_same(spec: StageSpec) -> None:
    network = build_network(spec)
    copy = again(network)
    assert same_answer(network, copy)
    assert sorted(network.state_dict()) == sorted(copy.state_dict())


def test_a_checkpoint_is_saved_with_its_record_and_loads_with_and_without(spec: StageSpec, tmp_path: Path) -> None:
    save_checkpoint(build_network(spec), spec, tmp_path)
    recorded, built = (load_checkpoint(STAGE, tmp_path, recorded=way).network for way in (True, False))
    assert isinstance(recorded, RecordedNetwork)
    assert not isinstance(built, RecordedNetwork)
    assert not recorded.training
    assert same_answer(recorded, built)


def test_without_a_record_or_with_that_of_another_network_monai_builds_it(spec: StageSpec, tmp_path: Path) -> None:
    save_checkpoint(build_network(spec), spec, tmp_path)
    path = tmp_path / f"{STAGE}.layers.json"
    path.write_text(path.read_text(encoding="utf-8").replace(spec.network, "Another", 1), encoding="utf-8")
    assert not isinstance(load_checkpoint(STAGE, tmp_path, recorded=True).network, RecordedNetwork)
    path.unlink()
    assert not isinstance(load_checkpoint(STAGE, tmp_path, recorded=True).network, RecordedNetwork)
    assert write_record(STAGE, tmp_path)
    assert isinstance(load_checkpoint(STAGE, tmp_path, recorded=True).network, RecordedNetwork)


def test_a_network_that_a_record_cannot_hold_is_none() -> None:
    class Shrinks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(dim=1) if x.sum() > 0 else x

    assert record(Shrinks()) is None
    assert record(nn.Sequential(nn.Conv3d(1, 2, 3), nn.GELU())) is None
    assert record(nn.Sequential(nn.InstanceNorm3d(2, track_running_stats=True))) is None
    assert record(nn.Sequential(nn.Conv3d(1, 2, 3, padding=1, padding_mode="reflect"))) is None


@pytest.mark.parametrize(
    "step",
    [
        ["Module", [0], "a", {}],
        ["__import__", [0], "os", {}],
        ["add", [0, 2], "", {}],
        ["add", [], "", {}],
        ["PReLU", [0], "a", {"num_parameters": 1, "device": "cuda"}],
        ["PReLU", [0], "a", {"num_parameters": "many"}],
        ["Conv3d", [0], "a", {}],
        ["PReLU", [0]],
        "PReLU",
    ],
)
def test_a_record_with_anything_else_in_it_is_refused(step: object, spec: StageSpec, tmp_path: Path) -> None:
    save_checkpoint(build_network(spec), spec, tmp_path)
    made_from = {"network": spec.network, "network_arguments": spec.network_arguments}
    (tmp_path / f"{STAGE}.layers.json").write_text(json.dumps({"made_from": made_from, "steps": [step]}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"stage1_spine.layers.json: expected the record of a network"):
        load_checkpoint(STAGE, tmp_path, recorded=True)


def test_a_record_of_other_layers_than_the_weights_is_refused(spec: StageSpec, tmp_path: Path) -> None:
    save_checkpoint(build_network(spec), spec, tmp_path)
    made_from = {"network": spec.network, "network_arguments": spec.network_arguments}
    steps = [Step("PReLU", (0,), "a", {"num_parameters": 1})]
    (tmp_path / f"{STAGE}.layers.json").write_text(to_json(steps, made_from), encoding="utf-8")
    with pytest.raises(CheckpointError, match="do not fit the network"):
        load_checkpoint(STAGE, tmp_path, recorded=True)


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_the_packaged_networks_are_recorded(stage: str) -> None:
    """If not: ``python -c "from cascade.networks.checkpoint import *; [write_record(s, packaged_weights()) for s in STAGE_NAMES]"``."""
    recorded, built = (load_checkpoint(stage, recorded=way).network for way in (True, False))
    assert isinstance(recorded, RecordedNetwork)
    image = torch.rand(1, 1, 32, 64, 64)
    with torch.inference_mode():
        assert torch.equal(recorded(image), built(image))

"""A leg can start from weights that know fewer classes."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from cascade.errors import TrainingError
from cascade.networks.checkpoint import Checkpoint, build_network
from cascade.networks.spec import StageSpec
from cascade.stage2_levels.target import CLASSES
from cascade.training.widen import NEW_CLASS_ODDS, widened
from tests.synthetic import tiny_spec

FEWER = CLASSES[:4]


def spec(classes: tuple[str, ...], residual_units: int = 0) -> StageSpec:
    made = tiny_spec("stage2_levels", classes, (6.0, 3.0, 3.0))
    arguments = dict(made.network_arguments) | {"num_res_units": residual_units, "norm": "instance"}
    return dataclasses.replace(made, network_arguments=arguments)


@pytest.mark.parametrize("residual_units", [0, 2])
def test_the_old_classes_keep_their_logits_and_the_new_one_is_a_faint_twin_of_background(residual_units: int) -> None:
    torch.manual_seed(0)
    old = Checkpoint(spec(FEWER, residual_units), build_network(spec(FEWER, residual_units)).eval())
    new = widened(old, spec(CLASSES, residual_units))
    image = torch.randn(1, 1, 16, 16, 32)
    with torch.no_grad():
        before, after = old.network(image), new(image)
    torch.testing.assert_close(after[:, :4], before)
    torch.testing.assert_close(after[:, 4], before[:, 0] + math.log(NEW_CLASS_ODDS))


def test_weights_of_the_same_classes_are_taken_as_they_are() -> None:
    checkpoint = Checkpoint(spec(CLASSES), build_network(spec(CLASSES)))
    before, after = checkpoint.network.state_dict(), widened(checkpoint, spec(CLASSES)).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_network_of_the_same_classes_is_refused() -> None:
    with pytest.raises(TrainingError, match="do not fit the network"):
        widened(Checkpoint(spec(CLASSES, 2), build_network(spec(CLASSES, 2))), spec(CLASSES))


def test_classes_in_another_order_are_refused() -> None:
    other = ("background", "disc", "body", "sacrum")
    with pytest.raises(TrainingError, match="expected weights whose classes are the first of"):
        widened(Checkpoint(spec(other), build_network(spec(other))), spec(CLASSES))


def test_another_network_is_refused() -> None:
    checkpoint = Checkpoint(spec(FEWER, 0), build_network(spec(FEWER, 0)))
    with pytest.raises(TrainingError, match="do not fit"):
        widened(checkpoint, spec(CLASSES, 2))

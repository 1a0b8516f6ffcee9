"""How a recipe ends: means of weights, and the odds of a class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cascade.errors import CheckpointError, TrainingError
from cascade.networks.checkpoint import build_network, load_checkpoint, save_checkpoint
from cascade.stage2_levels.target import CLASSES
from cascade.training.mean import write_mean
from tests.synthetic import tiny_spec

STAGE = "stage2_levels"


def store(folder: Path, seed: int, spacing: float = 3.0) -> Path:
    torch.manual_seed(seed)
    spec = tiny_spec(STAGE, CLASSES, (6.0, spacing, spacing))
    save_checkpoint(build_network(spec), spec, folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_checkpoint(STAGE, folder).network.state_dict().items()}


@pytest.fixture
def legs(tmp_path: Path) -> list[Path]:
    return [store(tmp_path / str(seed), seed) for seed in (1, 2)]


def test_the_mean_lies_between_and_what_is_named_twice_counts_twice(legs: list[Path], tmp_path: Path) -> None:
    spec = write_mean(STAGE, [legs[0], legs[0], legs[1]], tmp_path / "mean")
    first, second, mean = weights(legs[0]), weights(legs[1]), weights(tmp_path / "mean")
    for name, value in mean.items():
        torch.testing.assert_close(value, (2 * first[name] + second[name]) / 3, atol=1e-3, rtol=1e-3)
    one, other = (load_checkpoint(STAGE, leg).spec.checkpoint_sha256 for leg in legs)
    assert spec.training["mean_of"] == [one, one, other]


def test_the_mean_of_one_is_that_one(legs: list[Path], tmp_path: Path) -> None:
    write_mean(STAGE, legs[:1], tmp_path / "mean")
    assert (tmp_path / "mean" / f"{STAGE}.safetensors").read_bytes() == (legs[0] / f"{STAGE}.safetensors").read_bytes()


def test_odds_divide_those_of_disc_against_every_other_class(legs: list[Path], tmp_path: Path) -> None:
    write_mean(STAGE, legs[:1], tmp_path / "mean", {"disc": 0.25})
    patch = torch.randn(1, 1, 16, 32, 32)
    with torch.inference_mode():
        before, after = (load_checkpoint(STAGE, f).network(patch).double().softmax(1)[0] for f in (legs[0], tmp_path / "mean"))
    disc, body = CLASSES.index("disc"), CLASSES.index("body")
    torch.testing.assert_close(after[disc] / after[body], 0.25 * before[disc] / before[body], rtol=5e-3, atol=0)
    torch.testing.assert_close(after[0] / after[body], before[0] / before[body], rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    ("odds", "expected"), [({"rib": 2.0}, "rib: expected one of the classes background"), ({"disc": 0.0}, "disc=0: expected a positive")]
)
def test_odds_that_mean_nothing(odds: dict[str, float], expected: str, legs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=expected):
        write_mean(STAGE, legs, tmp_path / "mean", odds)
    assert not (tmp_path / "mean").exists()


def test_weights_at_another_spacing_have_no_mean_with_these(legs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected the network, classes and spacing of"):
        write_mean(STAGE, [*legs, store(tmp_path / "fine", 3, spacing=2.0)], tmp_path / "mean")


def test_weights_that_are_not_there(legs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected a checkpoint file here"):
        write_mean(STAGE, [*legs, tmp_path / "none"], tmp_path / "mean")

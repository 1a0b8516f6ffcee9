"""How a recipe ends: the mean of the weights of several runs, and the odds of a class."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from cascade.errors import TrainingError
from cascade.networks.checkpoint import load_checkpoint, save_checkpoint
from cascade.networks.spec import StageSpec


def write_mean(stage: str, folders: Sequence[Path], out: Path, odds: Mapping[str, float] | None = None) -> StageSpec:
    """Write the mean of the weights in `folders` to `out`, with the StageSpec of the last.

    Weights that went on from the same ones lie close enough together for their mean to be a network that is better than each (Wortsman
    et al. 2022, "Model soups", ICML).

    Parameters
    ----------
    stage : str
        ``"stage1_spine"`` or ``"stage2_levels"``.
    folders : sequence of Path
        Weights of one network; a folder that is named twice counts twice.
    odds : mapping of str to float, optional
        For a class, the factor on its odds before the classes compete: the logarithm is added to its bias in the last layer.

    Raises
    ------
    TrainingError
        The networks differ, a class is not one of theirs, or a factor is not positive.
    CheckpointError
        A folder holds no weights of `stage`.
    """
    checkpoints = [load_checkpoint(stage, folder) for folder in folders]
    spec = checkpoints[-1].spec
    mean = copy.deepcopy(checkpoints[-1].network)
    for checkpoint, folder in zip(checkpoints, folders, strict=True):
        if _architecture(checkpoint.spec) != _architecture(spec):
            raise TrainingError(
                f"{folder}: expected the network, classes and spacing of {folders[-1]}; only runs of one recipe have a mean"
            )
    states = [checkpoint.network.state_dict() for checkpoint in checkpoints]
    mean.load_state_dict({name: torch.stack([state[name].double() for state in states]).mean(0) for name in states[-1]})
    for name, factor in (odds or {}).items():
        _multiply_odds(mean, spec.classes, name, factor)
    legs = [checkpoint.spec.checkpoint_sha256 for checkpoint in checkpoints]
    training = dict(spec.training) | {"mean_of": legs, "odds": dict(odds or {})}
    return save_checkpoint(mean, dataclasses.replace(spec, training=training), out)


def _architecture(spec: StageSpec) -> tuple[object, ...]:
    return spec.network, spec.network_arguments, spec.classes, spec.spacing_mm


def _multiply_odds(network: nn.Module, classes: Sequence[str], name: str, factor: float) -> None:
    biases = [value for key, value in network.named_parameters() if key.endswith("bias") and value.shape == (len(classes),)]
    if name not in classes:
        raise TrainingError(f"{name}: expected one of the classes {', '.join(classes)}")
    if not (factor > 0 and math.isfinite(factor)):
        raise TrainingError(f"{name}={factor:g}: expected a positive factor on the odds")
    if not biases:
        raise TrainingError(f"{name}: the network's last layer has no bias that could carry the odds")
    with torch.no_grad():
        biases[-1][classes.index(name)] += math.log(factor)

"""Training one stage from a bundle's config."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from cascade.bundle.weights import save_weights
from cascade.io.cases import read_cases
from cascade.networks.checkpoint import load_checkpoint
from cascade.networks.spec import StageSpec
from cascade.stages import STAGES, TrainableStage
from cascade.training.examples import Example, prepare_examples
from cascade.training.loop import RunOptions, train
from cascade.training.recipe import Recipe
from cascade.training.shape import with_models_of
from cascade.training.spines import measured_spines

_log = logging.getLogger(__name__)


def stage_of(spec: StageSpec) -> TrainableStage:
    """Tell what a network learns."""
    return next(stage for stage in STAGES.values() if stage.name == spec.stage)


def training_recipe(spec: StageSpec, recipe_file: str | Path | None = None, learning_rate: float | None = None) -> Recipe:
    """Return the recipe of the shipped weights, or that of a file, for the network of the bundle."""
    path = Path(recipe_file) if recipe_file else stage_of(spec).recipe
    return dataclasses.replace(Recipe.read(path, learning_rate=learning_rate), spec=spec)


def training_examples(dataset_dir: str | Path, recipe: Recipe, split: str | None = "train", scheme: str = "verse") -> list[Example]:
    """Prepare the labelled scans of a folder or of its ``cases.tsv``; what cannot be used is logged."""
    cases = read_cases(Path(dataset_dir), split, scheme)
    examples, problems = prepare_examples(cases, recipe.spec, stage_of(recipe.spec).target)
    for problem in problems:
        _log.warning("case-not-used: %s", problem)
    return examples


class Trainer:
    """The training engine: `cascade.training.loop.train` on a schedule of ``max_epochs * epoch_length`` steps.

    Parameters
    ----------
    dataset : sequence of Example
    recipe : Recipe
    network : nn.Module
        Filled with the weights to start from.
    output_dir : path
        Gets ``model.pt`` and ``model.json`` for ``--ckpt_dir`` of the other configs, the same as a checkpoint for
        ``cascade-segment --weights``, the log, and the state.
    max_epochs, epoch_length : int
    resume : bool
        Go on from the state in `output_dir`.
    """

    def __init__(
        self,
        dataset: Sequence[Example],
        recipe: Recipe,
        network: nn.Module,
        output_dir: str | Path,
        *,
        max_epochs: int,
        epoch_length: int,
        resume: bool = False,
    ) -> None:
        self.dataset, self.network, self.output_dir, self.resume = dataset, network, Path(output_dir), resume
        self.max_epochs, self.epoch_length = max_epochs, epoch_length
        fitted = stage_of(recipe.spec).naming(measured_spines(dataset, recipe.spec.classes))
        naming, _ = with_models_of(recipe.spec.naming, fitted)
        spec = dataclasses.replace(recipe.spec, naming=naming)
        self.recipe = dataclasses.replace(recipe, spec=spec, steps=max_epochs * epoch_length)

    def run(self) -> None:
        """Train; raises as `cascade.training.loop.train`."""
        device = str(next(self.network.parameters()).device)
        options = RunOptions(device, self.resume, self.network, progress=self._tell)
        spec = train(self.dataset, self.recipe, self.output_dir, options)
        save_weights(load_checkpoint(spec.stage, self.output_dir), self.output_dir / "model.pt")

    def _tell(self, step: int, steps: int, loss: float) -> None:
        if step % self.epoch_length == 0:
            _log.info("epoch %d of %d: loss %.3f", step // self.epoch_length, steps // self.epoch_length, loss)

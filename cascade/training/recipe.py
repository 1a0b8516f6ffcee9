"""A recipe: everything that decides what a training run computes, in one JSON file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade.checkpoints import StageSpec
from cascade.errors import InputError
from cascade.training.augmentation import Augmentation


@dataclass(frozen=True)
class PatchChoice:
    """One size of training patch, with as many a step as fit the same time."""

    shape: tuple[int, int, int]
    batch: int


@dataclass(frozen=True)
class Recipe:
    """The recipe of one training leg.

    Parameters
    ----------
    spec : StageSpec
        What is trained.
    steps : int
        Length of the schedule: a short warm-up, then a cosine down to a hundredth of the learning rate.
    patches : tuple of PatchChoice
        Each step takes one of them at random.
    learning_rate, weight_decay : float
        Of AdamW.
    ema : float
        Decay of the moving average of the weights; the average is what is shipped.
    jitter_mm : float
        How far a patch's centre strays from a labelled voxel.
    seed : int
    compiled : bool
        Compile the network first: minutes once for each patch shape, then each step is about a fifth faster.
    augmentation : Augmentation
    legs : tuple of str
        What was trained before, for the record.
    """

    spec: StageSpec
    steps: int
    patches: tuple[PatchChoice, ...]
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    ema: float = 0.998
    jitter_mm: float = 30.0
    seed: int = 1
    compiled: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    legs: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path, **overrides: Any) -> Recipe:
        """Read a recipe from JSON; `overrides` that are not None replace its fields.

        Raises
        ------
        InputError
            The file is missing or not a recipe.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            spec = StageSpec.from_json(json.dumps(content.pop("spec")), str(path))
            patches = tuple(PatchChoice(tuple(p["shape"]), p["batch"]) for p in content.pop("patches"))
            augmentation = Augmentation(**content.pop("augmentation", {}))
            legs = tuple(content.pop("legs", ()))
            recipe = cls(spec=spec, patches=patches, augmentation=augmentation, legs=legs, **content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected a training recipe in JSON ({error}); start from the one in the package") from error
        return dataclasses.replace(recipe, **{k: v for k, v in overrides.items() if v is not None})

    def settings(self) -> Mapping[str, Any]:
        """Return what is recorded with the weights: the recipe without the spec."""
        content = dataclasses.asdict(self)
        del content["spec"]
        return content

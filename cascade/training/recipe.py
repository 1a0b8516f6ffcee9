"""A recipe: everything that decides what a training run computes, in one JSON file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cascade.errors import InputError
from cascade.io import schema
from cascade.networks.spec import FORMAT, MAX_PATCH_VOXELS, StageSpec, check_spec
from cascade.training.augmentation import Augmentation


@dataclass(frozen=True)
class PatchChoice:
    """One size of training patch, with as many a step as fit the same time."""

    shape: tuple[int, int, int]
    batch: int


@dataclass(frozen=True)
class Recipe:
    """The recipe of one run of training.

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
    balance : float
        How evenly data sets are drawn: a case of one with n cases in proportion to n to the power of -balance. With 0 all cases are
        drawn equally often, with 1 all data sets.
    seed : int
    compiled : bool
        Compile the network (minutes once for each patch shape, then each step is about a fifth faster). It changes how a step is
        computed, not what, up to rounding.
    augmentation : Augmentation
    spineless : int
        How many synthetic scans without a spine are trained with besides, so that a ball is not taken for one.
    legs : tuple of str
        What was trained before, for the record.
    started_from, teacher : str
        ``checkpoint_sha256`` of the weights that the run starts from, and of its teacher's, for the record; empty without.
    """

    spec: StageSpec
    steps: int
    patches: tuple[PatchChoice, ...]
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    ema: float = 0.998
    jitter_mm: float = 30.0
    balance: float = 0.5
    seed: int = 1
    compiled: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    spineless: int = 0
    legs: tuple[str, ...] = ()
    started_from: str = ""
    teacher: str = ""

    @classmethod
    def read(cls, path: Path, **overrides: Any) -> Recipe:
        """Read a recipe from JSON; `overrides` that are not None replace its fields.

        Raises
        ------
        InputError
            The file is missing or not a recipe, or a value that replaces one of its is out of its range.
        """
        try:
            content = schema.load(schema.read_text(path))
            if not isinstance(content.get("spec"), dict) or content["spec"].pop("format", None) != FORMAT:
                raise ValueError(f"spec: expected a StageSpec of format {FORMAT}")
            content["spec"].pop("checkpoint_sha256", None)  # of the checkpoint that it was taken from; training makes another one
            recipe = schema.build(cls, content)
            check_spec(recipe.spec)
            _check(recipe)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected a training recipe in JSON ({error}); start from the one in the package") from error
        for name, value in overrides.items():
            recipe = recipe if value is None else recipe.with_value(name, value)
        return recipe

    def with_value(self, name: str, value: Any) -> Recipe:
        """Return the recipe with another value.

        Raises
        ------
        InputError
            It is out of its range.
        """
        changed = dataclasses.replace(self, **{name: value})
        try:
            _check(changed)
        except ValueError as error:
            raise InputError(f"{error}; found {value}; choose another") from error
        return changed

    def settings(self) -> Mapping[str, Any]:
        """Return what is recorded with the weights: the recipe without the spec."""
        content = dataclasses.asdict(self)
        del content["spec"]
        return content


def _check(recipe: Recipe) -> None:
    """Raise ValueError where a value of a recipe is out of its range; that of the spec is checked by itself."""
    how = dataclasses.asdict(recipe.augmentation)
    for name, good, expected in (
        ("steps", 1 <= recipe.steps <= 10**8, "1 to 100,000,000"),
        ("patches", recipe.patches, "at least one"),
        (
            "patches",
            all(min(p.shape) >= 1 and math.prod(p.shape) <= MAX_PATCH_VOXELS for p in recipe.patches),
            f"up to {MAX_PATCH_VOXELS} voxels",
        ),
        ("patches", all(1 <= p.batch <= 64 for p in recipe.patches), "batches of 1 to 64"),
        (
            "patches",
            all(n % step == 0 for p in recipe.patches for n, step in zip(p.shape, recipe.spec.stride, strict=True)),
            f"sides that are multiples of the network's stride, {recipe.spec.stride}",
        ),
        (
            "patches",
            all(tuple(p.shape) != tuple(recipe.spec.stride) for p in recipe.patches),
            "more than the network's stride on one side at least",
        ),
        ("learning_rate", 0 < recipe.learning_rate <= 1, "above 0 to 1"),
        ("weight_decay", 0 <= recipe.weight_decay <= 1, "0 to 1"),
        ("ema", 0 <= recipe.ema < 1, "0 to below 1"),
        ("jitter_mm", 0 <= recipe.jitter_mm <= 1000, "0 to 1000"),
        ("balance", 0 <= recipe.balance <= 1, "0 to 1"),
        ("seed", 0 <= recipe.seed < 2**32, "0 to below 2^32"),
        ("spineless", 0 <= recipe.spineless <= 1000, "0 to 1000"),
        ("augmentation", all(0 <= p <= 1 for n, p in how.items() if n.endswith("_probability")), "probabilities from 0 to 1"),
        ("augmentation.scale", 1 <= recipe.augmentation.scale <= 4, "1 to 4"),
        ("augmentation", all(0 <= x <= 180 for x in how.values()), "values from 0 to 180"),
    ):
        if not good:
            raise ValueError(f"{name}: expected {expected}")

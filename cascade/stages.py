"""What differs between the two stages when they are trained: the target and the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cascade.stage1_spine import target as stage1
from cascade.stage2_levels import target as stage2
from cascade.training.examples import Target
from cascade.training.shape import fit_naming
from cascade.volume import FloatArray


@dataclass(frozen=True)
class TrainableStage:
    """A stage as the training loop sees it.

    Parameters
    ----------
    name : str
        Of its checkpoints.
    target : callable
        Labels to bit masks of allowed classes.
    recipe : Path
        That of the shipped weights.
    naming : callable
        Naming parameters fitted to the measured spines of the training, for the StageSpec.
    """

    name: str
    target: Target
    recipe: Path
    naming: Callable[[Iterable[FloatArray]], dict[str, Any]]


#: By the name used on the command line.
STAGES = MappingProxyType(
    {
        "stage1": TrainableStage("stage1_spine", stage1.target, Path(stage1.__file__).with_name("recipe.json"), lambda _: {}),
        "stage2": TrainableStage(
            "stage2_levels", stage2.target, Path(stage2.__file__).with_name("recipe.json"), lambda spines: fit_naming(spines).to_json()
        ),
    }
)

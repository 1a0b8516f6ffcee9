"""What differs between the two stages when they are trained: the target and the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cascade.stage1_spine import train as stage1
from cascade.stage2_levels import train as stage2
from cascade.training.examples import Target


@dataclass(frozen=True)
class TrainableStage:
    """A stage as the training loop sees it."""

    target: Target
    recipe: Path


#: By the name used on the command line.
STAGES = MappingProxyType(
    {
        "stage1": TrainableStage(stage1.target, Path(stage1.__file__).with_name("recipe.json")),
        "stage2": TrainableStage(stage2.target, Path(stage2.__file__).with_name("recipe.json")),
    }
)

"""What a StageSpec may hold: it may come from anybody, so what it can ask for is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cascade.io import schema

#: Largest number among a network's arguments: channels, strides, kernel sizes.
MAX_ARGUMENT = 4096
_MAX_LIST, _MAX_DEPTH = 64, 4
#: Features times levels of `cascade.postproc.shape`.
SHAPE_SIZE = 108


def are_axcodes(text: str) -> bool:
    """Tell whether a text names one direction of each axis, such as ``"RAS"``."""
    return sorted(text.translate(str.maketrans("LPI", "RAS"))) == sorted("RAS")


def check_arguments(value: object, where: str, depth: int = 0) -> None:
    """Refuse what could ask a network's constructor for endless work or memory.

    Raises
    ------
    ValueError
        A number, text or list is too large, or nested too deep; the message says `where`.
    """
    if isinstance(value, Mapping | list) and (len(value) > _MAX_LIST or depth > _MAX_DEPTH):
        raise ValueError(f"{where}: expected at most {_MAX_LIST} entries, {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_arguments(item, f"{where}.{key[:40]}", depth + 1)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            check_arguments(item, f"{where}[{i}]", depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= MAX_ARGUMENT:
        raise ValueError(f"{where}: expected a number up to {MAX_ARGUMENT}")
    elif isinstance(value, str) and len(value) > _MAX_LIST:
        raise ValueError(f"{where}: expected at most {_MAX_LIST} characters")


@dataclass(frozen=True)
class _Shape:
    """The JSON form of `cascade.postproc.shape.ShapeModel`."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]
    degrees_of_freedom: float
    temperature: float


def is_naming(naming: Mapping[str, Any]) -> bool:
    """Tell whether naming parameters are none, or a whole shape model."""
    if not naming:
        return True
    if set(naming) != {"shape_model"}:
        return False
    model = schema.build(_Shape, naming["shape_model"], "naming.shape_model")
    return (
        {len(model.mean), len(model.deviation), len(model.factors)} == {SHAPE_SIZE}
        and len({len(row) for row in model.factors}) == 1
        and all(sum(loading**2 for loading in row) < 1 for row in model.factors)
        and min(*model.deviation, model.degrees_of_freedom, model.temperature) > 0
    )

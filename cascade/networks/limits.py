"""What a StageSpec may hold: it may come from anybody, so what it can ask for is bounded."""

from __future__ import annotations

from collections.abc import Mapping

#: Largest number among a network's arguments: channels, strides, kernel sizes.
MAX_ARGUMENT = 4096
_MAX_LIST, _MAX_DEPTH = 64, 4


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

"""Clicks: points in a scan with what a person says is there, and the files that hold them.

What clicks do to a result is in `cascade.postproc.clicks.apply`; here they are only what they are.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.errors import InputError
from cascade.labels import BODY, DISC, kind_of, level_named

#: What a click can say besides the name of a vertebra or disc.
BACKGROUND, SPLIT, JOIN = "background", "split", "join"
WORDS = (BACKGROUND, BODY, DISC, SPLIT, JOIN)
#: 3D Slicer's names for the two ways to point the axes of the world; ``"0"`` and ``"1"`` in files before Slicer 4.11.
_SIGNS = {"LPS": (-1, -1, 1), "1": (-1, -1, 1), "RAS": (1, 1, 1), "0": (1, 1, 1)}


@dataclass(frozen=True)
class Click:
    """A point, and what a person says is there.

    Parameters
    ----------
    position_mm : (3,) tuple of float
        RAS+.
    structure : str
        A level (``"L3"``, ``"L3-L4"``, ``"sacrum"``), ``"body"`` or ``"disc"`` (one of unknown name), ``"background"`` (no structure
        here), ``"split"`` (two bodies meet here), or ``"join"`` (with the next ``"join"``: both are pieces of one).

    Raises
    ------
    InputError
        The position is no point, or the structure is none of these.

    Examples
    --------
    >>> Click((3, -20, -85), "L5")
    Click(position_mm=(3.0, -20.0, -85.0), structure='L5')
    """

    position_mm: tuple[float, float, float]
    structure: str

    def __post_init__(self) -> None:
        try:
            x, y, z = (float(value) for value in self.position_mm)
        except (TypeError, ValueError):
            x = y = z = math.nan
        if not all(math.isfinite(value) for value in (x, y, z)):
            raise InputError(f"expected the position of a click as three numbers in mm; found {self.position_mm!r}")
        object.__setattr__(self, "position_mm", (x, y, z))
        object.__setattr__(self, "structure", _structure(self.structure))

    @property
    def is_level(self) -> bool:
        """Whether it names a level."""
        return self.structure not in WORDS

    @property
    def kind(self) -> str | None:
        """``"body"``, ``"disc"``, ``"sacrum"`` or ``"background"``: the class of the clicked voxel; None if the click does not say."""
        if self.structure in (SPLIT, JOIN):
            return None
        return self.structure if self.structure in WORDS else kind_of(self.structure)

    def __str__(self) -> str:
        x, y, z = self.position_mm
        return f"{self.structure} at ({x:.1f}, {y:.1f}, {z:.1f}) mm"


#: Clicks, or the file that holds them.
Clicks = Sequence[Click] | str | os.PathLike[str]


def given_clicks(clicks: Clicks) -> tuple[Click, ...]:
    """The clicks themselves; errors as for `read_clicks`."""
    return read_clicks(clicks) if isinstance(clicks, str | os.PathLike) else tuple(clicks)


def read_clicks(path: str | os.PathLike[str]) -> tuple[Click, ...]:
    """Read clicks from JSON.

    Parameters
    ----------
    path : path
        A list of ``{"position_mm": [x, y, z], "structure": "L3"}`` in RAS+ mm, or point lists of 3D Slicer (``.mrk.json``), in which
        the label of each point is the structure and the file says whether it is RAS or LPS.

    Raises
    ------
    InputError
        The file is missing or neither of these.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: expected a file of clicks; it cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{path}: expected clicks in JSON; found something else ({error})") from error
    try:
        return parse_clicks(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_clicks(content: Any) -> tuple[Click, ...]:
    """Turn the content of a file of clicks into clicks.

    Raises
    ------
    InputError
        It is neither a list of clicks nor Slicer's markups.

    Examples
    --------
    >>> parse_clicks([{"position_mm": [3, -20, -85], "structure": "L5"}])
    (Click(position_mm=(3.0, -20.0, -85.0), structure='L5'),)
    >>> point = {"label": "L3/L4", "position": [3, -20, -85]}
    >>> parse_clicks({"markups": [{"coordinateSystem": "LPS", "controlPoints": [point]}]})
    (Click(position_mm=(-3.0, 20.0, -85.0), structure='L3-L4'),)
    """
    if isinstance(content, list):
        return tuple(_click(item) for item in content)
    markups = content.get("markups") if isinstance(content, dict) else None
    if isinstance(markups, list) and all(isinstance(item, dict) for item in markups):
        return tuple(click for item in markups for click in _points(item))
    raise InputError('expected a list of {"position_mm": [x, y, z], "structure": "L3"}, or 3D Slicer\'s "markups"; found neither')


def clicks_to_json(clicks: Iterable[Click]) -> list[dict[str, Any]]:
    """Return clicks as plain types, as `parse_clicks` takes them."""
    return [{"position_mm": list(click.position_mm), "structure": click.structure} for click in clicks]


def _click(item: Any) -> Click:
    if not isinstance(item, dict) or not {"position_mm", "structure"} <= set(item):
        raise InputError(f'expected a click as {{"position_mm": [x, y, z], "structure": "L3"}}; found {json.dumps(item)[:80]}')
    return Click(item["position_mm"], item["structure"])


def _points(markup: Mapping[str, Any]) -> Iterable[Click]:
    """Clicks of one point list of Slicer; a point that was not placed yet has no position and is passed over."""
    system = str(markup.get("coordinateSystem", "LPS")).upper()
    if system not in _SIGNS:
        raise InputError(f"expected points in LPS or RAS; found {system!r}")
    for point in markup.get("controlPoints") or ():
        if point.get("positionStatus", "defined") != "defined":
            continue
        position = point.get("position")
        if not isinstance(position, list) or len(position) != 3:
            raise InputError(f"expected the position of a point as three numbers in mm; found {position!r}")
        click = Click((position[0], position[1], position[2]), point.get("label", ""))
        x, y, z = (sign * value for sign, value in zip(_SIGNS[system], click.position_mm, strict=True))
        yield Click((x, y, z), click.structure)


def _structure(text: Any) -> str:
    """Name a structure as this package does; case does not matter, nor does the way a disc is written.

    >>> _structure("l4/5"), _structure("Background")
    ('L4-L5', 'background')
    """
    plain = str(text).strip()
    if plain.lower() in WORDS:
        return plain.lower()
    if level := level_named(plain):
        return level
    raise InputError(f"expected a click to name a level such as L3, L3-L4 or sacrum, or {', '.join(WORDS)}; found {plain!r}")

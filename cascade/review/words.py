"""What a person can say with a click or a choice, and the clicks and numberings that it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from cascade.errors import InputError
from cascade.labels import CANAL
from cascade.postproc.clicks.click import BACKGROUND, JOIN, SPLIT, Click
from cascade.report.picture import display_name
from cascade.review.edits import Edit
from cascade.segmentation import Perception, Segmentation

Verb = Literal["name", "add", "take", "split", "join", "delete", "number"]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Word:
    """One thing said.

    Parameters
    ----------
    verb : {"name", "add", "take", "split", "join", "delete", "number"}
    points_mm : tuple of (3,) tuple of float
        Where, RAS+: none for ``number``, two for ``join``, else one.
    structure : str
        For ``name`` and ``add``.
    lowest, highest : str or None
    count : int or None
        For ``number``.
    """

    verb: Verb
    points_mm: tuple[Point, ...] = ()
    structure: str = ""
    lowest: str | None = None
    highest: str | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        wanted = {"number": 0, "join": 2}.get(self.verb, 1)
        if self.verb not in get_args(Verb) or len(self.points_mm) != wanted:
            raise InputError(f"expected one of {', '.join(get_args(Verb))}, with as many points as it needs; found {self.verb!r}")

    @classmethod
    def from_json(cls, content: Any) -> Word:
        """Read what the page sends; InputError if it is nothing that can be said."""
        try:
            points = tuple(Click(tuple(point), BACKGROUND).position_mm for point in content.get("points_mm", ()))
            numbering = {name: content.get(name) or None for name in ("lowest", "highest")}
            count = None if content.get("count") in (None, "") else int(content["count"])
            return cls(content["verb"], points, str(content.get("structure", "")), count=count, **numbering)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError("expected a verb and its points") from error


def edit_of(word: Word, now: Edit, shown: Segmentation, seen: Perception | None) -> Iterator[Edit]:
    """What to try, one after the other, when a word is said.

    Parameters
    ----------
    word : Word
    now : Edit
        What has been said before.
    shown : Segmentation
        What holds.
    seen : Perception or None
        The networks' answer.
    """
    if word.verb == "number":
        said = ", ".join(f"{name} {getattr(word, name)}" for name in ("lowest", "highest", "count") if getattr(word, name))
        yield now.numbered(f"numbering: {said or 'as found'}", lowest=word.lowest, highest=word.highest, count=word.count)
        return
    if word.verb == "name":
        click = Click(_inside(word.points_mm[0], shown), word.structure)
        says = f"this is {display_name(click.structure)}"
        yield now.named(click, says)
        if now.names:
            yield now.renamed(click, says)
        return
    here = structure_at(shown, word.points_mm[0])
    if word.verb == "add":
        yield now.clicked(click := Click(word.points_mm[0], word.structure), says=f"added to {display_name(click.structure)}")
    elif word.verb == "take":
        yield now.clicked(Click(word.points_mm[0], BACKGROUND), says=f"taken from {display_name(here or 'the result')}")
    elif word.verb == "split":
        yield now.clicked(Click(word.points_mm[0], SPLIT), says=f"split {display_name(here or 'a body')}")
    elif word.verb == "join":
        yield now.clicked(*(Click(point, JOIN) for point in word.points_mm), says="joined two pieces")
    else:
        yield now.clicked(Click(_middle(word.points_mm[0], here, seen), BACKGROUND), says=f"deleted {display_name(here or '')}")


def structure_at(result: Segmentation, point_mm: Point) -> str | None:
    """The structure at a point, if there is one."""
    grid = result.labels.grid
    voxel = np.rint(grid.to_voxels(point_mm)).astype(int)
    if not ((voxel >= 0) & (voxel < grid.shape)).all():
        return None
    value = int(result.labels.data[tuple(voxel)])
    return result.labels.scheme.structure(value) if value else None


def _inside(point_mm: Point, shown: Segmentation) -> Point:
    """The middle of the structure that a point lies in, from which its neighbours are far; the point itself where there is none."""
    name = structure_at(shown, point_mm)
    if name is None or name == CANAL:
        return point_mm
    grid = shown.labels.grid
    voxels = np.argwhere(shown.labels[name])
    away = np.linalg.norm((voxels - voxels.mean(axis=0)) * grid.spacing_mm, axis=1)
    x, y, z = (float(v) for v in grid.to_world(voxels[away.argmin()]))
    return x, y, z


def _middle(point_mm: Point, here: str | None, seen: Perception | None) -> Point:
    """The middle of the component that a point lies in, where a click on the background removes all of it."""
    if seen is None or here is None or here == CANAL:
        raise InputError("expected a structure to delete; there is none here; click inside one")
    grid, values = seen.evidence.grid, seen.evidence.automatic.values
    voxel = np.rint(grid.to_voxels(point_mm)).astype(int)
    inside = bool(((voxel >= 0) & (voxel < grid.shape)).all())
    value = int(values[tuple(voxel)]) if inside else 0
    if not value:
        raise InputError(f"expected a part of {here} that the networks saw; found one that was added by a click; undo that instead")
    voxels = np.argwhere(values == value)
    away = np.linalg.norm((voxels - voxels.mean(axis=0)) * grid.spacing_mm, axis=1)
    x, y, z = (float(v) for v in grid.to_world(voxels[away.argmin()]))
    return x, y, z

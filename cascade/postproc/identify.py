"""The third step of the cascade: class probabilities in, named instances out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cascade.centreline import SpineLine
from cascade.errors import NoSpineError
from cascade.labels import BODIES, SACRUM, disc_below
from cascade.notices import Notice
from cascade.postproc.chain import Chain, build_chain
from cascade.postproc.costs import s1_odds
from cascade.postproc.instances import Edits, Instance, InstanceMap, find_instances
from cascade.postproc.naming import Naming, Numbering, anchored_links, name_chain
from cascade.postproc.parameters import MeasuringParameters, NamingParameters
from cascade.postproc.shape import spine_shape
from cascade.postproc.shape_model import DEPTH, STEP_FEATURES
from cascade.postproc.told import Named, about_chain, lies_beside, lowest_may_be_s1, numbering_notices
from cascade.volume import FloatArray, Grid


@dataclass(frozen=True, eq=False)
class Identified:
    """Named instances.

    Parameters
    ----------
    instances : InstanceMap
    structures : mapping of str to Instance
        Structure name to instance, cranial to caudal.
    names : mapping of int to str
        Every instance value that is part of a named structure.
    naming : Naming
    notices : tuple of Notice
    """

    instances: InstanceMap
    structures: Mapping[str, Instance]
    names: Mapping[int, str]
    naming: Naming
    notices: tuple[Notice, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that the names follow from, but for what a person knows.

    Parameters
    ----------
    probabilities : array of float32, (classes, x, y, z)
    classes : tuple of str
    grid : Grid
        Of the probabilities, RAS axes.
    centreline_mm : (n, 3) array
    scan_grid : Grid
        Of the whole scan, RAS axes: says where the field of view ends.
    parameters : NamingParameters
        Of the StageSpec.
    """

    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    grid: Grid
    centreline_mm: FloatArray
    scan_grid: Grid
    parameters: NamingParameters = field(default_factory=NamingParameters)

    @cached_property
    def line(self) -> SpineLine:
        """The centreline as a ruler."""
        return SpineLine(self.centreline_mm)

    @cached_property
    def field_of_view(self) -> tuple[float, float]:
        """First and last row of `grid` inside the scan, allowing for one row of rounding."""
        ends = self.grid.to_voxels(self.scan_grid.to_world([[0, 0, -0.5], [0, 0, self.scan_grid.shape[2] - 0.5]]))[:, 2]
        return float(ends[0]) + 1.5, float(ends[1]) - 1.5

    @cached_property
    def automatic(self) -> InstanceMap:
        """The components of every class, as far as they are structures."""
        return self.instances(None)

    def class_at(self, voxel: tuple[int, int, int]) -> str:
        """The most probable class of a voxel."""
        return self.classes[int(self.probabilities[(slice(None), *voxel)].argmax())]

    def instances(self, edits: Edits | None) -> InstanceMap:
        """The same, with a person's word about them."""
        return find_instances(
            self.probabilities, self.classes, self.grid, self.line, self.field_of_view, edits, parameters=self.parameters.instances
        )


def identify(evidence: Evidence, numbering: Numbering | None = None, edits: Edits | None = None) -> Identified:
    """Find the vertebral bodies and discs along the centreline and name them.

    Parameters
    ----------
    evidence : Evidence
    numbering : Numbering, optional
        What a person knows about the levels.
    edits : Edits, optional
        What a person knows about the components.

    Raises
    ------
    NoSpineError
        No vertebral body was found.
    NumberingError
        What the user said contradicts what was found.
    """
    numbering, parameters = numbering or Numbering(), evidence.parameters
    laid = lay_out(evidence, edits)
    instances, chain, room_below = laid.instances, laid.chain, laid.room_below_mm
    anchored = anchors_in(laid, evidence.grid, numbering)
    naming = name_chain(chain, room_below, shape=laid.shape, parameters=parameters, numbering=numbering, anchored=anchored)
    structures = dict(_named(chain, naming))
    names = {instance.value: name for name, instance in structures.items()}
    names |= dict.fromkeys((part.value for part in _other_sacral_parts(chain, naming) if SACRUM in structures), SACRUM)
    names |= {piece: names[whole] for piece, whole in chain.merged if whole in names}
    about_all = numbering_notices(naming, structures, room_below[naming.last], parameters.costs, told=numbering)
    doubt = "" if numbering.says_where else doubt_about_lowest(laid, naming, evidence)
    named = Named(chain, naming, structures, frozenset(instances.split), doubt)
    notices = (*about_all, *about_chain(named, parameters.costs))
    return Identified(instances, structures, names, naming, notices)


@dataclass(frozen=True, eq=False)
class Laid:
    """Bodies and discs in a row, and what their names rest on.

    Parameters
    ----------
    instances : InstanceMap
    chain : Chain
    room_below_mm : list of float
        For each link the field of view below its body.
    shape : (9, links) array or None
        From `cascade.postproc.shape.spine_shape`.
    """

    instances: InstanceMap
    chain: Chain
    room_below_mm: list[float]
    shape: FloatArray | None


def lay_out(evidence: Evidence, edits: Edits | None = None) -> Laid:
    """Find the vertebral bodies and discs along the centreline, without naming them; see `identify`.

    Raises
    ------
    NoSpineError
        No vertebral body was found.
    """
    instances = evidence.instances(edits) if edits else evidence.automatic
    parameters = evidence.parameters
    chain = build_chain(instances.instances, parameters.chain)
    _check_spine(chain)
    weighs_shape = parameters.shape_model or parameters.s1_looks
    shape = _shape(chain, instances, evidence.grid, parameters.measuring) if weighs_shape else None
    return Laid(instances, chain, _room_below(chain, evidence.grid, evidence.field_of_view), shape)


def anchors_in(laid: Laid, grid: Grid, numbering: Numbering) -> dict[int, str]:
    """The links of a chain on which a person's anchors lie, and the names that they give; errors as for `anchored_links`."""
    return anchored_links(laid.chain, numbering, _values_at(numbering, laid.instances, grid))


def _check_spine(chain: Chain) -> None:
    volumes, how = [body.volume_mm3 for body in chain.bodies], chain.parameters
    if not volumes or max(volumes) < how.min_largest_body_mm3:
        raise NoSpineError("no spine found: a column was located but no vertebral body in it; check the scan's contrast and field of view")
    if len(volumes) < how.min_bodies:
        found = f"only one vertebral body in it ({max(volumes) / 1000:.0f} ml)"
        raise NoSpineError(f"no spine found: a column was located but {found}; names need two or more in view")


def _shape(chain: Chain, instances: InstanceMap, grid: Grid, how: MeasuringParameters) -> FloatArray:
    """Measure the bodies; of one that was cut from another, where is a guess, only the steps from centre to centre count."""
    above = [chain.disc_above, *(link.disc for link in chain.links[:-1])]
    discs = [None if disc is None else _points_mm(disc, chain, instances, grid) for disc in above]
    shape = spine_shape(_bodies_mm(chain, instances, grid, how.whole_share), how, discs)
    shape[STEP_FEATURES:, [link.body is not None and link.body.value in instances.split for link in chain.links]] = np.nan
    return shape


def _bodies_mm(chain: Chain, instances: InstanceMap, grid: Grid, whole_share: float) -> list[FloatArray | None]:
    """World points of the voxels of each link's body; None where it is missing or cut short by the border."""
    whole = [body.length_mm for body in chain.bodies if not body.touches_border]
    shortest = whole_share * float(np.median(whole)) if whole else np.inf
    points: list[FloatArray | None] = []
    for body in (link.body for link in chain.links):
        if body is None or (body.touches_border and body.length_mm < shortest):
            points.append(None)
            continue
        points.append(_points_mm(body, chain, instances, grid))
    return points


def _points_mm(body: Instance, chain: Chain, instances: InstanceMap, grid: Grid) -> FloatArray:
    """World points of the voxels of a body and the pieces that were merged into it."""
    masks = [instances.mask(v) for v in (body.value, *(piece for piece, large in chain.merged if large == body.value))]
    return grid.to_world(np.concatenate([np.argwhere(mask) + [side.start for side in box] for box, mask in masks]))


def doubt_about_lowest(laid: Laid, naming: Naming, evidence: Evidence) -> str:
    """What speaks for the sacrum's beginning elsewhere than below the lowest vertebra, though one follows it; empty if nothing does."""
    if laid.chain.sacrum is None:
        return ""
    if _leaves_out_sacrum_beside(laid.chain):
        return "a piece of sacrum beside the vertebrae was left out; where the sacrum begins is not certain"
    odds = s1_odds(laid.shape, evidence.parameters, len(laid.chain.links))
    return lowest_may_be_s1(naming, _sacral_share(laid, naming, evidence), float(odds[naming.last]), evidence.parameters.costs)


def _leaves_out_sacrum_beside(chain: Chain) -> bool:
    length_mm = float(np.median([body.length_mm for body in chain.bodies]))
    parts = [part for link in chain.links for part in (link.body, link.disc) if part]
    return any(stray.kind == SACRUM and lies_beside(stray, parts, length_mm) for stray in chain.strays)


def _sacral_share(laid: Laid, naming: Naming, evidence: Evidence) -> float:
    """Depth from front to back of the first sacral body beside L3 and L4, the two above the lowest vertebra; NaN if one is missing."""
    chain, last = laid.chain, naming.last
    bodies = [*(link.body for link in chain.links[max(last - 2, 0) : last + 1]), chain.sacrum]
    if SACRUM in naming.names or last + 1 < len(chain.links) or len(bodies) < 4:
        return float("nan")
    points = [_points_mm(body, chain, laid.instances, evidence.grid) if body else None for body in bodies]
    depth = spine_shape(points, evidence.parameters.measuring)[DEPTH]
    return float(depth[-1] / depth[:2].mean())


def _room_below(chain: Chain, grid: Grid, field_of_view: tuple[float, float]) -> list[float]:
    """For each link the height of the field of view below its body, in mm (0 where no body was found)."""
    rooms = []
    for body in (link.body for link in chain.links):
        row = float(grid.to_voxels(body.centroid_mm)[2]) if body else 0.0
        rooms.append((row - field_of_view[0]) * grid.spacing_mm[2] - body.length_mm / 2 if body else 0.0)
    return rooms


def _values_at(numbering: Numbering, instances: InstanceMap, grid: Grid) -> dict[str, int]:
    values = {}
    for name, point in numbering.anchors.items():
        voxel = np.rint(grid.to_voxels(point)).astype(int)
        inside = bool(((voxel >= 0) & (voxel < grid.shape)).all())
        values[name] = int(instances.values[tuple(voxel)]) if inside else 0
    return values


def _named(chain: Chain, naming: Naming) -> Iterator[tuple[str, Instance]]:
    """Structure names with their instances, cranial to caudal."""
    first = next(name for name in naming.names if name)
    if chain.disc_above is not None and first in BODIES and first != BODIES[0] and first == naming.names[0]:
        above = {"L1": "T13" if naming.variant == "thirteen-thoracic" else "T12"}.get(first, BODIES[BODIES.index(first) - 1])
        above = "T11" if naming.variant == "eleven-thoracic" and first == "L1" else above
        yield disc_below(above, first), chain.disc_above
    following = [*naming.sequence[1:], SACRUM if naming.variant == "four-lumbar" else None]
    for link, name, next_name in zip(chain.links, naming.sequence, following, strict=True):
        if name is None:
            continue
        if link.body is not None:
            yield name, link.body
        if link.disc is not None and name != SACRUM:
            yield disc_below(name, next_name), link.disc
    if chain.sacrum is not None and SACRUM not in naming.names:
        yield SACRUM, chain.sacrum


def _other_sacral_parts(chain: Chain, naming: Naming) -> tuple[Instance, ...]:
    """What belongs to the sacrum beside the part that it is known by: its other parts, and what of it was taken for a body or two."""
    taken_for_bodies = chain.bodies_below(naming.last)
    return (*chain.sacral_parts, *([chain.sacrum] if chain.sacrum and SACRUM in naming.names else []), *taken_for_bodies)

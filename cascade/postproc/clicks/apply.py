"""What clicks do: a corrected reading of the class probabilities, with every guarantee of the automatic one.

Clicks are taken together, in no order, and always against what the networks said: the same clicks give the same result. They
change, one after the other,

1. whole components: ``background`` in the middle of one removes it; ``sacrum`` inside a body makes it that, and the other way round;
2. pieces: between two joined pieces the hull is filled;
3. probabilities around the clicks (`cascade.postproc.clicks.refine`), from which a structure that was missed grows;
4. instances: a split, or two names in one body, cuts it; a joined pair, or one name in two neighbours, is one;
5. names: a level is what its click says, and all others follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import convex_hull_image

from cascade.errors import CascadeError, NumberingError
from cascade.labels import BODY, CANAL, DISC, SACRUM, is_disc
from cascade.notices import Notice
from cascade.postproc.clicks.click import BACKGROUND, JOIN, SPLIT, Click
from cascade.postproc.clicks.hints import Hints
from cascade.postproc.clicks.refine import Seed, grown, refine
from cascade.postproc.identify import Evidence, Identified, identify
from cascade.postproc.instances import Instance, InstanceMap, Voxel
from cascade.postproc.naming import Numbering
from cascade.volume import Grid, Volume, box_around

#: A click within this many standard deviations of a component's voxels from its centroid speaks of the whole component: that is
#: about the inner 45 % of each half axis.
CORE = 1.0
#: To remove all of it, a click on the background has to be in its very middle: half as far. An error may well reach into the core
#: of a thin structure, and what was removed by mistake cannot be seen any more.
MIDDLE = 0.5
#: A positive click further than this from every structure of its kind is about one that was missed.
MISSED_MM = 5.0
#: A click no further than this from the structure of its name belongs to it.
BESIDE_MM = 15.0
#: Two bodies meet at a split if both come this near to it.
SPLIT_MM = 6.0
#: Volumes of a body and a disc where the scan holds none to compare with, in mm3.
TYPICAL_MM3 = {"body": 25_000.0, "disc": 6_000.0, "sacrum": 15_000.0}


@dataclass(frozen=True)
class Placed:
    """A click and its voxel."""

    click: Click
    voxel: Voxel

    @property
    def kind(self) -> str | None:
        """As `Click.kind`."""
        return self.click.kind


def identify_with_clicks(
    evidence: Evidence, scan: Volume, clicks: Sequence[Click], numbering: Numbering | None = None
) -> tuple[Identified, Evidence]:
    """Find and name the bodies and discs as `cascade.postproc.identify.identify` does, and as clicks say.

    Parameters
    ----------
    evidence : Evidence
    scan : Volume
        With axes along those of the evidence.
    clicks : sequence of Click
    numbering : Numbering, optional

    Returns
    -------
    found : Identified
    evidence : Evidence
        With the probabilities that it was found in.

    Raises
    ------
    NumberingError
        Clicks contradict each other, what was found, or `numbering`; the message says what was found where.
    NoSpineError
        No vertebral body is left.
    """
    placed = [_placed(click, evidence.grid) for click in clicks]
    _check_voxels(placed)
    before = evidence.automatic
    pairs = tuple(_pairs(placed, before))
    probabilities = _joined(_whole_components(evidence, before, placed), evidence, before, pairs)
    corrected = dataclasses.replace(evidence, probabilities=probabilities)
    _check_splits(placed, corrected)
    corrected = dataclasses.replace(corrected, probabilities=_refined(corrected, before, scan, placed, _names(evidence, numbering)))
    hints = None if _only_names(placed, before, evidence, corrected) else _hints(placed, pairs, corrected)
    corrected = corrected if hints else evidence
    numbering = numbering or Numbering()
    anchors = {p.click.structure: p.click.position_mm for p in reversed(placed) if p.click.is_level and p.click.structure != SACRUM}
    numbering = dataclasses.replace(numbering, anchors={**numbering.anchors, **anchors})
    found = identify(corrected, numbering, hints)
    for each in placed:
        _check_kept(each, found, evidence.grid)
    return dataclasses.replace(found, notices=(*found.notices, *_without_effect(placed, pairs, evidence))), corrected


def _only_names(placed: Sequence[Placed], before: InstanceMap, evidence: Evidence, corrected: Evidence) -> bool:
    """Whether the clicks change no component: each names another one that is there, so that none has to be looked for again."""
    named = [before.at(each.voxel) if each.click.is_level else None for each in placed]
    values = [instance.value if instance else 0 for instance in named]
    return corrected.probabilities is evidence.probabilities and 0 not in values and len(set(values)) == len(values)


def _names(evidence: Evidence, numbering: Numbering | None) -> Mapping[str, Instance]:
    """What the structures are called without clicks; nothing where that fails."""
    try:
        return identify(evidence, numbering).structures
    except CascadeError:
        return {}


def _placed(click: Click, grid: Grid) -> Placed:
    x, y, z = (int(v) for v in np.rint(grid.to_voxels(click.position_mm)))
    if not all(0 <= v < n for v, n in zip((x, y, z), grid.shape, strict=True)):
        low, high = np.sort(grid.to_world(np.array([(0, 0, 0), grid.shape]) - [[0], [1]]), axis=0).round().astype(int).tolist()
        raise NumberingError(
            f"expected the click {click} in the part of the scan around the spine, from {tuple(low)} to {tuple(high)} mm (RAS+); "
            "it lies outside; move it, or check whether the point was meant in LPS"
        )
    return Placed(click, (x, y, z))


def _without_effect(placed: Sequence[Placed], pairs: Sequence[tuple[Placed, Placed]], evidence: Evidence) -> Iterator[Notice]:
    """Tell of clicks that remove what is not there, or join what is one already."""
    before = evidence.automatic
    for each in placed:
        if each.kind == BACKGROUND and before.at(each.voxel) is None and evidence.class_at(each.voxel) != CANAL:
            yield Notice("click-without-effect", None, f"the click {each.click} removes nothing: no structure was found there")
    for first, second in pairs:
        if before.at(first.voxel) is before.at(second.voxel):
            yield Notice("click-without-effect", None, f"the clicks {first.click} and {second.click} join nothing: both lie in one piece")


def _check_voxels(placed: Sequence[Placed]) -> None:
    """Refuse clicks of one voxel that say different things."""
    said: dict[tuple[Voxel, bool], Click] = {}
    for each in placed:
        other = said.setdefault((each.voxel, each.kind is None), each.click)
        if other.structure != each.click.structure:
            raise NumberingError(f"expected one structure at a point; found the clicks {other} and {each.click} in one voxel; remove one")


def _whole_components(evidence: Evidence, before: InstanceMap, placed: Sequence[Placed]) -> NDArray[np.float32]:
    """Clicks in the core of a component that speak of all of it."""
    probabilities = evidence.probabilities
    for each in placed:
        instance = before.at(each.voxel)
        if instance is None or not _speaks_of_all(each, instance, before, evidence.grid, placed):
            continue
        box, mask = before.mask(instance.value)
        source, target = evidence.classes.index(instance.kind), evidence.classes.index(each.kind or BACKGROUND)
        probabilities = probabilities.copy() if probabilities is evidence.probabilities else probabilities
        part = probabilities[(slice(None), *box)]
        part[target, mask], part[source, mask] = np.maximum(part[source, mask], part[target, mask]), 0.0
        if target == 0:
            part[1:, mask], part[0, mask] = 0.0, 1.0
    return probabilities


def _speaks_of_all(each: Placed, instance: Instance, before: InstanceMap, grid: Grid, placed: Sequence[Placed]) -> bool:
    if each.kind == instance.kind or (each.kind != BACKGROUND and {each.kind, instance.kind} != {BODY, SACRUM}):
        return False
    if any(other.kind == instance.kind and before.values[other.voxel] == instance.value for other in placed):
        return False
    voxels = np.argwhere(before.values == instance.value) * np.asarray(grid.spacing_mm)
    away = np.asarray(each.voxel) * grid.spacing_mm - voxels.mean(axis=0)
    covariance = np.cov(voxels.T) + np.diag(np.square(grid.spacing_mm)) / 12
    return bool(away @ np.linalg.solve(covariance, away) <= (MIDDLE if each.kind == BACKGROUND else CORE) ** 2)


# ---------------------------------------------------------------------------------------------- pieces


def _pairs(placed: Sequence[Placed], before: InstanceMap) -> Iterator[tuple[Placed, Placed]]:
    """Clicks that lie in two pieces of one structure: each ``join`` with the next, and equal names in different pieces."""
    joins = [each for each in placed if each.click.structure == JOIN]
    if len(joins) % 2:
        raise NumberingError(f"expected clicks to join in pairs; found {joins[-1].click} without another; click both pieces")
    candidates = list(zip(joins[::2], joins[1::2], strict=True))
    by_name: dict[str, Placed] = {}
    for each in (p for p in placed if p.click.is_level):
        first = by_name.setdefault(each.click.structure, each)
        a, b = before.at(first.voxel), before.at(each.voxel)
        if a is not None and b is not None and a is not b and a.kind == b.kind == each.kind:
            candidates.append((first, each))
    for first, second in candidates:
        _check_pair(first, second, before)
        yield first, second


def _check_pair(first: Placed, second: Placed, before: InstanceMap) -> None:
    a, b = before.at(first.voxel), before.at(second.voxel)
    for each, instance in ((first, a), (second, b)):
        if instance is None:
            raise NumberingError(f"expected a body or disc at the click {each.click}; found none there; click inside the piece")
    if a is None or b is None or a.kind != b.kind:
        kinds = " and ".join(instance.kind for instance in (a, b) if instance)
        raise NumberingError(f"expected two pieces of one structure at the clicks {first.click} and {second.click}; found {kinds}")
    low, high = sorted((a.position_mm, b.position_mm))
    between = [i for i in before.instances if i.kind == a.kind and i.value not in (a.value, b.value) and low < i.position_mm < high]
    if between:
        place = ", ".join(f"{v:.0f}" for v in between[0].centroid_mm)
        raise NumberingError(
            f"expected neighbours at the clicks {first.click} and {second.click}; found another {a.kind} between them, "
            f"at ({place}) mm; correct the clicks"
        )


def _joined(
    probabilities: NDArray[np.float32], evidence: Evidence, before: InstanceMap, pairs: Sequence[tuple[Placed, Placed]]
) -> NDArray[np.float32]:
    """Fill the hull of joined pieces, so that they touch."""
    for first, second in pairs:
        a, b = before.at(first.voxel), before.at(second.voxel)
        if a is None or b is None or a is b:
            continue
        values = [a.value, b.value]
        boxes = [before.mask(value)[0] for value in values]
        x, y, z = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(*boxes, strict=True))
        part = before.values[x, y, z]
        others = {i.value for i in before.instances if i.kind in (BODY, SACRUM, a.kind)} - set(values)
        hull = _hull(np.isin(part, values)) & ~np.isin(part, list(others))
        probabilities = probabilities.copy() if probabilities is evidence.probabilities else probabilities
        view = probabilities[:, x, y, z]
        view[:, hull] = 0.0
        view[evidence.classes.index(a.kind), hull] = 1.0
    return probabilities


def _check_splits(placed: Sequence[Placed], corrected: Evidence) -> None:
    for each in placed:
        if each.click.structure == SPLIT and (found := corrected.class_at(each.voxel)) != BODY:
            raise NumberingError(
                f"expected a vertebral body to split at the click {each.click}; found {found} there; click where the two bodies meet"
            )


# ---------------------------------------------------------------------------------------------- voxels


def _refined(
    evidence: Evidence, before: InstanceMap, scan: Volume, placed: Sequence[Placed], names: Mapping[str, Instance]
) -> NDArray[np.float32]:
    """Re-weight around the clicks that say what a voxel is; lead a structure to a click beside it; grow what was missed.

    What clicks on the background have taken stays background.
    """
    seeds = [Seed(each.voxel, evidence.classes.index(each.kind)) for each in placed if each.kind]
    refined = refine(evidence.probabilities, scan, evidence.grid, seeds, before.values)
    if refined is evidence.probabilities and not any(_reaches_out(each, before, names, evidence.grid) for each in placed):
        return refined
    taken = (refined.argmax(axis=0) == 0) & (evidence.probabilities.argmax(axis=0) != 0)
    for each in sorted(placed, key=lambda p: (p.click.structure, p.voxel)):
        if each.kind in (None, BACKGROUND):
            continue
        channel = evidence.classes.index(str(each.kind))
        near = names.get(each.click.structure)
        if near is not None and _gap_mm(each, near.value, before, evidence.grid) <= BESIDE_MM:
            piece = _bridge(refined[channel] >= refined.max(axis=0), each, near.value, before)
        elif _is_missed(each, before, evidence):
            free = (before.values == 0) & ~taken
            piece = grown(evidence.probabilities[channel], evidence.grid, each.voxel, free=free, volume_mm3=_typical(each, before))
        else:
            continue
        piece &= ~taken
        for other in placed:
            piece[other.voxel] &= other.kind in (None, each.kind)
        refined = refined.copy()
        refined[:, piece] = 0.0
        refined[channel, piece] = 1.0
    return refined


def _reaches_out(each: Placed, before: InstanceMap, names: Mapping[str, Instance], grid: Grid) -> bool:
    """Whether a click says that there is something where nothing of its kind is, or lies beside the structure of its name."""
    if each.kind in (None, BACKGROUND):
        return False
    here, near = before.at(each.voxel), names.get(each.click.structure)
    if here is None or here.kind != each.kind:
        return True
    return near is not None and near.value != here.value and _gap_mm(each, near.value, before, grid) <= BESIDE_MM


def _bridge(winning: NDArray[np.bool_], each: Placed, value: int, before: InstanceMap) -> NDArray[np.bool_]:
    """What lies between a structure and a click beside it, as far as it was taken for no other; nothing where the two touch already."""
    result = np.zeros(winning.shape, dtype=bool)
    (x, y, z), _ = before.mask(value)
    x, y, z = (slice(min(s.start, v), max(s.stop, v + 1)) for s, v in zip((x, y, z), each.voxel, strict=True))
    part = before.values[x, y, z]
    at = tuple(v - s.start for v, s in zip(each.voxel, (x, y, z), strict=True))
    pieces, _ = ndimage.label(winning[x, y, z])
    if pieces[at] and (pieces[part == value] == pieces[at]).any():
        return result
    own = part == value
    own[at] = True
    result[x, y, z] = _hull(own) & np.isin(part, [0, value, part[at]])
    return result


def _hull(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The convex hull of a mask that fills its box; of one in a single slice, which scikit-image gives none, that within the slice."""
    hull = convex_hull_image(np.pad(mask, [(0, int(length == 1)) for length in mask.shape], mode="edge"))
    return np.asarray(hull[tuple(map(slice, mask.shape))])


def _gap_mm(each: Placed, value: int, before: InstanceMap, grid: Grid) -> float:
    """Distance of a click from the nearest voxel of an instance."""
    (x, y, z), mask = before.mask(value)
    away = (np.argwhere(mask) + np.array([x.start, y.start, z.start]) - each.voxel) * grid.spacing_mm
    return float(np.linalg.norm(away, axis=1).min())


def _is_missed(each: Placed, before: InstanceMap, evidence: Evidence) -> bool:
    """Whether no structure of the click's kind is near it."""
    values = {i.value for i in before.instances if i.kind == each.kind}
    box = box_around(each.voxel, evidence.grid, MISSED_MM)
    near = np.argwhere(np.isin(before.values[box], list(values))) + [s.start for s in box]
    distance = np.linalg.norm((near - each.voxel) * evidence.grid.spacing_mm, axis=1)
    return bool((distance > MISSED_MM).all())


def _typical(each: Placed, before: InstanceMap) -> float:
    volumes = [i.volume_mm3 for i in before.instances if i.kind == each.kind]
    return float(np.median(volumes)) if volumes else TYPICAL_MM3[str(each.kind)]


# ---------------------------------------------------------------------------------------------- instances and names


def _hints(placed: Sequence[Placed], pairs: Sequence[tuple[Placed, Placed]], evidence: Evidence) -> Hints:
    named = [(each.click.structure, each.voxel) for each in placed if each.click.is_level and each.kind == BODY]
    return Hints(
        evidence,
        cuts=tuple(each.voxel for each in placed if each.click.structure == SPLIT),
        joins=tuple((first.voxel, second.voxel) for first, second in pairs),
        names=tuple(named),
        clicked=tuple(each.voxel for each in placed if each.kind not in (None, BACKGROUND)),
    )


def _check_kept(each: Placed, found: Identified, grid: Grid) -> None:
    """Make sure that the result says at a click what the click says."""
    here = found.instances.at(each.voxel)
    name = found.names.get(here.value) if here else None
    structure = each.click.structure
    if structure == SPLIT:
        fine = len(_bodies_near(each, found, grid)) > 1
    elif structure == BACKGROUND:
        fine = name is None
    elif structure in (BODY, DISC, JOIN):
        fine = name is not None
    else:
        fine = name is not None and is_disc(name) == is_disc(structure) and name.split("-")[0] == structure.split("-")[0]
    if not fine:
        there = name or (f"a {here.kind} that is no part of the chain" if here else "nothing")
        raise NumberingError(
            f"expected {'two bodies' if structure == SPLIT else structure} at the click {each.click}; found {there}, in the chain "
            f"{' '.join(found.structures)}; move or remove this click, or another that contradicts it"
        )


def _bodies_near(each: Placed, found: Identified, grid: Grid) -> set[str]:
    values = np.unique(found.instances.values[box_around(each.voxel, grid, SPLIT_MM)])
    return {name for value in values if (name := found.names.get(int(value))) and not is_disc(name)}

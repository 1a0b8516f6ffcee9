"""One numbering for all series of a patient, from the evidence of all.

What each series says of a numbering is the cost that `cascade.postproc.naming` gives it, in nats. The costs of all series are added;
the numbering that costs least is that of the study. Series that show the same bodies do not make it any surer: the study is never
surer than its surest series.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cascade.errors import NumberingError
from cascade.labels import SACRUM
from cascade.notices import Notice
from cascade.postproc.clicks.click import Click
from cascade.postproc.costs import SPINES, lumbar_count
from cascade.postproc.identify import Evidence, Laid, anchors_in, doubt_about_lowest, lay_out
from cascade.postproc.naming import Naming, Numbering, Weighed, choose, weigh
from cascade.postproc.told import numbering_notices
from cascade.study.columns import Column, Row, match
from cascade.volume import FloatArray

#: Codes of warnings about the names of a single series that the study knows better.
KNOWN_BETTER = frozenset({"possible-lstv", "lumbar-count-4", "lumbar-count-6", "no-sacrum-in-view"})


@dataclass(frozen=True, eq=False)
class Witness:
    """One series and what it says about the names.

    Parameters
    ----------
    name : str
    evidence : Evidence
    across : (3,) array
        Unit vector from slice to slice, RAS+.
    """

    name: str
    evidence: Evidence
    across: FloatArray

    @cached_property
    def laid(self) -> Laid:
        """Its bodies and discs in a row; NoSpineError where there are none."""
        return lay_out(self.evidence)

    @property
    def row(self) -> Row:
        """Its bodies in the world."""
        nowhere = (np.nan, np.nan, np.nan)
        points = [link.body.centroid_mm if link.body else nowhere for link in self.laid.chain.links]
        return Row(self.name, np.array(points, dtype=float), self.across)

    @property
    def found(self) -> list[bool]:
        """Whether the body of each link was found."""
        return [link.body is not None for link in self.laid.chain.links]

    def hits(self, numbering: Numbering) -> Numbering:
        """What a person knows, with those anchors alone that lie in a structure of this series."""
        anchors = {name: point for name, point in numbering.anchors.items() if self._is_hit(name, point)}
        return dataclasses.replace(numbering, anchors=anchors)

    def _is_hit(self, name: str, point: tuple[float, float, float]) -> bool:
        try:
            return bool(anchors_in(self.laid, self.evidence.grid, Numbering({name: point})))
        except NumberingError:
            return False

    def weigh(self, numbering: Numbering, *, ends: bool) -> list[Weighed]:
        """Weigh all sequences of names; where the view `ends` but another series shows what lies below, that it ends says nothing."""
        laid, parameters, known = self.laid, self.evidence.parameters, self.hits(numbering)
        if not ends:
            parameters = dataclasses.replace(parameters, costs=dataclasses.replace(parameters.costs, not_l5_by_default=0.0))
        anchored = anchors_in(laid, self.evidence.grid, known)
        return weigh(laid.chain, laid.room_below_mm, shape=laid.shape, parameters=parameters, numbering=known, anchored=anchored)

    def anchors(self, names: Sequence[str | None]) -> dict[str, tuple[float, float, float]]:
        """A point in each body that has a name, by that name."""
        pairs = zip(names, self.laid.chain.links, strict=True)
        return {name: self._point_in(link.body.value) for name, link in pairs if name and link.body}

    def _point_in(self, value: int) -> tuple[float, float, float]:
        """The voxel of an instance that is nearest to its centre, in mm."""
        box, mask = self.laid.instances.mask(value)
        voxels = np.argwhere(mask) + [s.start for s in box]
        nearest = voxels[np.linalg.norm((voxels - voxels.mean(axis=0)) * self.evidence.grid.spacing_mm, axis=1).argmin()]
        x, y, z = self.evidence.grid.to_world(nearest)
        return float(x), float(y), float(z)


@dataclass(frozen=True, eq=False)
class Agreement:
    """The numbering of series that show the same spine.

    Parameters
    ----------
    column : Column
    naming : Naming
        A name for each place of the column.
    confidence : float
        Of the naming: at most that of the surest series.
    disagreeing : mapping of str to tuple of (str or None)
        Series that alone, and without doubt, would be named otherwise, and how, from head to foot.
    notices : tuple of Notice
        About the names, whichever the series.
    known : Numbering
        What a person said.
    """

    column: Column
    naming: Naming
    confidence: float
    disagreeing: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    known: Numbering = field(default_factory=Numbering)

    def names_in(self, series: str) -> tuple[str | None, ...]:
        """The names of the bodies of one series, from head to foot."""
        return tuple(self.naming.names[place] for place in self.column.places[series])


def agree(witnesses: Sequence[Witness], numbering: Numbering) -> Agreement:
    """Match the bodies of several series and choose one numbering.

    Parameters
    ----------
    witnesses : sequence of Witness
        Of one frame of reference; each shows a spine.
    numbering : Numbering
        What a person knows: the count holds for all, an anchor for those in which it lies.

    Raises
    ------
    NumberingError
        No sequence fits what the person said.
    """
    column = match([witness.row for witness in witnesses])
    matched = sorted((w for w in witnesses if w.name in column.places), key=lambda w: w.name)
    lowest = len(column.points_mm) - 1
    weighed = {w.name: w.weigh(numbering, ends=column.places[w.name][-1] == lowest) for w in matched}
    costs = matched[0].evidence.parameters.costs
    naming = choose(_joint(column, weighed), _found(column, matched), numbering, costs)
    alone = {w.name: choose(weighed[w.name], w.found, numbering, costs) for w in matched}
    surest = max(each.confidence for each in alone.values())
    agreed = Agreement(column, naming, min(naming.confidence, surest), known=numbering)
    disagreeing = {
        name: each.names
        for name, each in alone.items()
        if each.confidence >= costs.uncertain_below and _differ(each.names, agreed.names_in(name))
    }
    shows_sacrum = any(w.laid.chain.sacrum is not None for w in matched)
    room = max(w.laid.room_below_mm[-1] for w in matched)
    sure = dataclasses.replace(naming, confidence=agreed.confidence)
    notices = tuple(numbering_notices(sure, {SACRUM} if shows_sacrum else set(), room, costs, told=numbering))
    if sure.confidence >= costs.uncertain_below and not numbering.says_where:
        notices += tuple(_doubts(matched, alone, agreed))[:1]
    return dataclasses.replace(agreed, disagreeing=disagreeing, notices=notices)


def _doubts(witnesses: Iterable[Witness], alone: Mapping[str, Naming], agreed: Agreement) -> Iterator[Notice]:
    """What speaks against names that are probable in themselves, by each series, in the names that all agreed upon."""
    for witness in witnesses:
        naming = dataclasses.replace(alone[witness.name], names=agreed.names_in(witness.name))
        if doubt := doubt_about_lowest(witness.laid, naming, witness.evidence):
            yield Notice("numbering-uncertain", None, doubt)


def _joint(column: Column, weighed: Mapping[str, Sequence[Weighed]]) -> list[Weighed]:
    """The costs of all series together for each row of names that the column can have.

    A spine, and the level at which the column begins in it, give a name to every place, but for a part of the sacrum that was taken for
    a body; a series pays what those of its sequences cost together that agree with them.
    """
    paid = {name: _costs_of_spines(column.places[name], sequences) for name, sequences in weighed.items()}
    joint: dict[tuple[int, tuple[str | None, ...]], Weighed] = {}
    in_all = set.intersection(*(set(costs) for costs in paid.values()))
    for variant, start in sorted(in_all, key=lambda spine: (list(SPINES).index(spine[0]), spine[1])):
        levels = SPINES[variant][0]
        at = range(start, start + len(column.points_mm))
        names = tuple(levels[i] if 0 <= i < len(levels) and levels[i] != SACRUM else None for i in at)
        cost, key = sum(costs[variant, start] for costs in paid.values()), (lumbar_count(variant), names)
        if key not in joint or cost < joint[key][0]:
            joint[key] = (cost, variant, names)
    if not joint:
        raise NumberingError("expected a numbering that fits all series; found none; segment them one by one")
    return sorted(joint.values(), key=lambda item: item[0])


def _costs_of_spines(places: Sequence[int], weighed: Sequence[Weighed]) -> dict[tuple[str, int], float]:
    """The cost of each spine, by its name and the level with which the column begins in it: of all its sequences together."""
    costs: dict[tuple[str, int], float] = {}
    for cost, variant, names in weighed:
        for spine in _spines_with(places, names, variant):
            costs[spine] = -float(np.logaddexp(-cost, -costs.get(spine, np.inf)))
    return costs


def _spines_with(places: Sequence[int], names: Sequence[str | None], variant: str) -> Iterator[tuple[str, int]]:
    """The spines, and the levels with which the column begins in them, in which bodies at these places have these names.

    A sequence of a spine with another lumbar count than five was weighed as such; a usual one fits the others as long as it does not show
    what tells them. A body that was left out is no vertebra, but may be a part of the sacrum.
    """
    named = [(place, name) for place, name in zip(places, names, strict=True) if name is not None]
    left_out = [place for place, name in zip(places, names, strict=True) if name is None]
    count = lumbar_count(variant)
    for other, (levels, telling) in SPINES.items():
        if count != lumbar_count(other) and (count != 5 or set(telling) <= set(names)):
            continue
        starts = {levels.index(name) - place if name in levels else None for place, name in named}
        if len(starts) == 1 and (start := starts.pop()) is not None:
            others = [levels[start + place] for place in left_out if 0 <= start + place < len(levels)]
            if set(others) <= {SACRUM}:
                yield other, start


def _found(column: Column, witnesses: Sequence[Witness]) -> list[bool]:
    """Whether any series shows the body of each place."""
    there = {place for w in witnesses for place, found in zip(column.places[w.name], w.found, strict=True) if found}
    return [place in there for place in range(len(column.points_mm))]


def _differ(one: Sequence[str | None], other: Sequence[str | None]) -> bool:
    return any(a != b for a, b in zip(one, other, strict=True) if a is not None and b is not None)


def shared_numbering(witness: Witness, agreed: Agreement, clicks: Sequence[Click] = ()) -> Numbering:
    """What the study knows about one series, as a person would say it: every body by its name, but for those that clicks are about."""
    count, grid = lumbar_count(agreed.naming.variant), witness.evidence.grid
    clicked = {witness.laid.instances.at(voxel) for click in clicks if (voxel := grid.voxel_at(click.position_mm)) is not None}
    about = {instance.value for instance in clicked if instance is not None}
    links = zip(agreed.names_in(witness.name), witness.laid.chain.links, strict=True)
    names = [None if link.body and link.body.value in about else name for name, link in links]
    anchors = {**witness.anchors(names), **witness.hits(agreed.known).anchors}
    return Numbering(anchors, count=agreed.known.count or (count if count != 5 else None))

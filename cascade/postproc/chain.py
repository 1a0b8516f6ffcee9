"""From loose instances to one chain: bodies in order, the disc below each, the sacrum at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cascade.postproc.instances import Instance
from cascade.postproc.parameters import ChainParameters


@dataclass(frozen=True)
class Link:
    """One level of the chain: a body (None where one must be missing) and the disc below it (None where none was found).

    A level may consist of several instance values that were pieces of one.
    """

    body: Instance | None
    disc: Instance | None


@dataclass(frozen=True)
class Chain:
    """The ordered spine, cranial to caudal.

    Parameters
    ----------
    links : tuple of Link
    disc_above : Instance or None
        A disc above the first body.
    sacrum : Instance or None
        The part of it that the names rest on.
    sacral_parts : tuple of Instance
        What else belongs to the sacrum: other parts and bodies beside it.
    merged : mapping of int to int
        Instance values that are pieces of another, and that other's value.
    strays : tuple of Instance
        What was left out.
    parameters : ChainParameters
        By which it was built.
    """

    links: tuple[Link, ...]
    disc_above: Instance | None = None
    sacrum: Instance | None = None
    sacral_parts: tuple[Instance, ...] = ()
    merged: tuple[tuple[int, int], ...] = ()
    strays: tuple[Instance, ...] = ()
    parameters: ChainParameters = field(default_factory=ChainParameters)

    @property
    def bodies(self) -> tuple[Instance, ...]:
        """The bodies that were found, cranial to caudal."""
        return tuple(link.body for link in self.links if link.body is not None)

    def bodies_below(self, link: int) -> list[Instance]:
        """The bodies that were found below that of a link."""
        return [lower.body for lower in self.links[link + 1 :] if lower.body is not None]

    @cached_property
    def sacral(self) -> tuple[float, ...]:
        """For each link by how much likelier the sacrum is inside its body than inside the others; half of `half_sacral` if unclear."""
        if not self.bodies:
            return (0.0,) * len(self.links)
        usual = float(np.median([body.sacral for body in self.bodies]))
        large = self.parameters.sliver * float(np.median([body.volume_mm3 for body in self.bodies]))

        def share(body: Instance | None) -> float:
            if body is None:
                return 0.0
            is_sliver = body.touches_border and body.volume_mm3 < large
            return self.parameters.half_sacral / 2 if is_sliver else max(0.0, body.sacral - usual)

        return tuple(share(link.body) for link in self.links)


def build_chain(instances: Iterable[Instance], parameters: ChainParameters | None = None) -> Chain:
    """Order instances along the spine; join pieces, leave out strays, and put one disc between two bodies.

    The cost is O(n log n) in the number of instances, but for the few that overlap.
    """
    parameters = parameters or ChainParameters()
    near, strays = _near_the_line(instances, parameters)
    bodies, merged_bodies = _join_pieces([i for i in near if i.kind == "body"], parameters.same_level_overlap)
    discs, merged_discs = _join_pieces([i for i in near if i.kind == "disc"], parameters.same_level_overlap)
    sacrum, other_sacra = _sacrum([i for i in near if i.kind == "sacrum"], bodies, parameters)
    bodies, not_above = _above_the_sacrum(bodies, sacrum)
    lower = (*other_sacra, *not_above)
    sacral_parts = tuple(part for part in lower if sacrum and _gap_mm(part, sacrum) <= parameters.sacral_gap_mm)
    levels = _with_gaps(bodies, parameters)
    slots, surplus = _discs_by_gap(discs, levels, sacrum, parameters)
    return Chain(
        tuple(Link(body, slots.get(i)) for i, (body, _) in enumerate(levels)),
        slots.get(-1),
        sacrum,
        sacral_parts,
        (*merged_bodies, *merged_discs),
        (*strays, *(other for other in lower if other not in sacral_parts), *surplus),
        parameters,
    )


def _near_the_line(instances: Iterable[Instance], parameters: ChainParameters) -> tuple[list[Instance], list[Instance]]:
    near: list[Instance] = []
    far: list[Instance] = []
    for instance in sorted(instances, key=lambda i: (i.position_mm, i.value)):
        limit = parameters.max_sacrum_offset_mm if instance.kind == "sacrum" else parameters.max_offset_mm
        (near if instance.offset_mm <= limit else far).append(instance)
    return near, far


def _join_pieces(ordered: Sequence[Instance], most_overlap: float) -> tuple[list[Instance], list[tuple[int, int]]]:
    """Join neighbours that lie at the same height into the larger of the two."""
    joined: list[Instance] = []
    merged: list[tuple[int, int]] = []
    for instance in ordered:
        if joined and _overlap(joined[-1], instance) > most_overlap:
            large, small = sorted((joined[-1], instance), key=lambda i: i.volume_mm3, reverse=True)
            merged = [(value, large.value if target == small.value else target) for value, target in merged]
            merged.append((small.value, large.value))
            joined[-1] = _union(large, small)
        else:
            joined.append(instance)
    return joined, merged


def _overlap(a: Instance, b: Instance) -> float:
    shared = min(a.end_mm, b.end_mm) - max(a.start_mm, b.start_mm)
    return shared / max(min(a.length_mm, b.length_mm), 1e-6)


def _union(large: Instance, small: Instance) -> Instance:
    weights = np.array([large.volume_mm3, small.volume_mm3])
    share = weights / weights.sum()
    x, y, z = share @ np.array([large.centroid_mm, small.centroid_mm])
    return dataclasses.replace(
        large,
        centroid_mm=(float(x), float(y), float(z)),
        position_mm=float(share @ [large.position_mm, small.position_mm]),
        start_mm=min(large.start_mm, small.start_mm),
        end_mm=max(large.end_mm, small.end_mm),
        volume_mm3=float(weights.sum()),
        confidence=float(share @ [large.confidence, small.confidence]),
        sacral=float(share @ [large.sacral, small.sacral]),
        touches_border=large.touches_border or small.touches_border,
    )


def _sacrum(candidates: list[Instance], bodies: list[Instance], parameters: ChainParameters) -> tuple[Instance | None, list[Instance]]:
    """The uppermost large sacrum that lies below the middle of the chain, and the others."""
    middle = float(np.median([b.position_mm for b in bodies])) if bodies else -np.inf
    typical = float(np.median([b.volume_mm3 for b in bodies])) if bodies else 0.0
    fit = [c for c in candidates if c.position_mm > middle]
    fit = [c for c in fit if not c.touches_border or c.volume_mm3 >= parameters.large_sacrum_at_border * typical]
    largest = max((c.volume_mm3 for c in fit), default=0.0)
    best = min((c for c in fit if c.volume_mm3 >= parameters.large_sacrum * largest), key=lambda c: c.position_mm, default=None)
    return best, [c for c in candidates if c is not best]


def _above_the_sacrum(bodies: list[Instance], sacrum: Instance | None) -> tuple[list[Instance], list[Instance]]:
    """Bodies above the sacrum, and the others: parts of it that were taken for bodies, or something in the pelvis."""
    if sacrum is None:
        return bodies, []
    above = [b for b in bodies if b.position_mm < sacrum.position_mm]
    return above, [b for b in bodies if b not in above]


def _gap_mm(part: Instance, sacrum: Instance) -> float:
    return max(part.start_mm - sacrum.end_mm, sacrum.start_mm - part.end_mm)


def _discs_by_gap(
    discs: list[Instance], levels: list[tuple[Instance | None, float]], sacrum: Instance | None, parameters: ChainParameters
) -> tuple[dict[int, Instance], list[Instance]]:
    """Give each gap its largest disc: gap i is below level i, gap -1 above the first; below the last one the nearest disc counts."""
    positions = [position for _, position in levels]
    by_gap: dict[int, list[Instance]] = {}
    surplus = [disc for disc in discs if any(body and _inside(disc, body, parameters.inside_body) for body, _ in levels)]
    for disc in (d for d in discs if d not in surplus):
        by_gap.setdefault(int(np.searchsorted(positions, disc.position_mm)) - 1, []).append(disc)
    slots: dict[int, Instance] = {}
    for gap, found in by_gap.items():
        best = _best_disc(gap, found, [body for body, _ in levels], sacrum, parameters)
        if best is not None:
            slots[gap] = best
        surplus += [disc for disc in found if disc is not best]
    return slots, surplus


def _inside(disc: Instance, body: Instance, share: float) -> bool:
    """Whether what looks like a disc lies so near to the middle of a body."""
    return abs(disc.position_mm - body.position_mm) < share * body.length_mm


def _best_disc(
    gap: int, found: list[Instance], bodies: list[Instance | None], sacrum: Instance | None, parameters: ChainParameters
) -> Instance | None:
    if 0 <= gap < len(bodies) - 1:
        return max(found, key=lambda d: d.volume_mm3)
    outermost = bodies[0 if gap < 0 else -1] if bodies else None
    if outermost is None:
        return None
    nearest = min(found, key=lambda d: abs(d.position_mm - outermost.position_mm))
    if sacrum is not None and gap >= 0 and nearest.position_mm > sacrum.position_mm:
        return None
    reach = parameters.disc_reach * max(outermost.length_mm, parameters.min_disc_reach_height_mm)
    return nearest if abs(nearest.position_mm - outermost.position_mm) < reach else None


def _with_gaps(bodies: list[Instance], parameters: ChainParameters) -> list[tuple[Instance | None, float]]:
    """Bodies with their positions, and None where two are so far apart that others must lie between them."""
    steps = np.diff([body.position_mm for body in bodies])
    typical = float(np.median(np.sort(steps)[:-1])) if len(steps) > 1 else np.inf
    length = float(np.median([body.length_mm for body in bodies])) if bodies else 0.0
    levels: list[tuple[Instance | None, float]] = []
    for i, body in enumerate(bodies):
        levels.append((body, body.position_mm))
        step = float(steps[i]) if i < len(steps) else 0.0
        free = bodies[i + 1].start_mm - body.end_mm if i < len(steps) else 0.0
        far = step > parameters.missing_body_steps * typical and free > length  # the centre of a body that was cut is a guess
        has_room = far or free > parameters.missing_body_lengths * length
        parts = max(2, int(step / typical + 0.3)) if has_room else 1
        levels += [(None, body.position_mm + step * k / parts) for k in range(1, parts)]
    return levels

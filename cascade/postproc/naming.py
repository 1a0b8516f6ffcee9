"""Names for the bodies of a chain: the best of all monotone sequences, from evidence over the whole chain.

A spine can be numbered in few ways: the usual one, with a sixth or without a fifth lumbar vertebra, with thirteen
or eleven thoracic ones, or with S1 mistaken for a body; and the chain can be any window of it. That is at most
about a hundred sequences, so the optimum is found by weighing all of them, together with the second best.

Costs are negative log likelihoods (nats).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from cascade.errors import NumberingError
from cascade.labels import BODIES, SACRUM, is_disc
from cascade.postproc.chain import HALF_SACRAL, Chain
from cascade.postproc.shape import NO_LEVEL, S1, ShapeModel
from cascade.volume import FloatArray

_THORACIC = tuple(f"T{n}" for n in range(1, 13))
_LUMBAR = tuple(f"L{n}" for n in range(1, 6))
#: Whole presacral spines by what is unusual about them, with the structures that must be in the chain to tell.
_SPINES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "usual": (_THORACIC + _LUMBAR, ()),
        "six-lumbar": (_THORACIC + _LUMBAR + ("L6",), ("L6",)),
        "four-lumbar": (_THORACIC + _LUMBAR[:4], ("L4",)),
        "thirteen-thoracic": ((*_THORACIC, "T13", *_LUMBAR), ("T13",)),
        "eleven-thoracic": (_THORACIC[:11] + _LUMBAR, ("T11", "L1")),
        "s1-as-body": ((*_THORACIC, *_LUMBAR, SACRUM), (SACRUM,)),
        "six-lumbar-s1-as-body": ((*_THORACIC, *_LUMBAR, "L6", SACRUM), ("L6", SACRUM)),
        "four-lumbar-s1-as-body": ((*_THORACIC, *_LUMBAR[:4], SACRUM), ("L4", SACRUM)),
    }
)
#: Cost of what is unusual about a spine, and of another lumbar count than five unless that is asked for.
_RARITY = MappingProxyType({"thirteen-thoracic": 7.0, "eleven-thoracic": 7.0, "s1-as-body": 4.0})
_RARE_COUNT = 5.0
#: What a spine with one lumbar vertebra more or less looks like: the usual one from a level upwards moved by one. A middle lumbar
#: level is there twice or not at all; or the lowest is missing, which has become a part of the sacrum.
_LOOKS: Mapping[int, tuple[tuple[int, int], ...]] = MappingProxyType({4: ((3, 1), (0, 1)), 5: ((0, 0),), 6: ((3, -1),)})
#: By convention the lowest presacral body is L5. Another count is named only if it is cheaper by this much without being
#: asked for, and is mentioned as possible if it is dearer by less than this.
_OVERWHELMING, _POSSIBLE = 6.0, 3.0
#: Cost of a last body that is not the lowest presacral one although the sacrum is seen below it, or although
#: the field of view goes on below it; and of one that is although it is cut off there.
_NOT_LAST_ABOVE_SACRUM, _NOT_LAST_WITH_ROOM, _NOT_L5_BY_DEFAULT = 14.0, 5.0, 0.7
#: Cost of a disc above the sacrum that is smaller than this share of the others, of which little more than a remnant is left
#: between S1 and S2; and of a larger one where S1 is said to have been taken for a body.
_SURPRISING_DISC, SMALL_DISC = 3.0, 0.25
#: Cost of a presacral body that may be a part of S1: none up to half of `HALF_SACRAL`, this much more for each `HALF_SACRAL` beyond
#: that, and its limit, which is lower for a body that the end of the field of view cuts, as stage 2 sees too little of it; and of
#: something at the lower end that is no presacral body, although the sacrum is seen, and not in it: twice that between two discs, and
#: less the likelier the sacrum is in it, down to none at `HALF_SACRAL`.
_SACRAL, _SACRAL_LIMIT, _SACRAL_LIMIT_AT_BORDER, _NOT_SACRAL = 20.0, 20.0, 6.0, 6.0
#: Cost of a body that is none: that this is rare, the more so the larger it is beside the others; and, if no shape
#: model says so, that its place is not that of the next level.
_GHOST, _LARGE_GHOST, _GHOST_WITHOUT_MODEL = 2.0, 6.0, 10.0
#: Cost, variant and names of a sequence.
_Weighed = tuple[float, str, tuple[str | None, ...]]
#: Where the field of view goes on for so many mm below the last body, one more would be seen.
VIEW_OF_ONE_MORE_MM = 45.0


@dataclass(frozen=True)
class Numbering:
    """What the user knows about the levels.

    Parameters
    ----------
    anchors : mapping of str to (3,) tuple of float
        Level name to a RAS+ mm point that lies in that level.
    lowest, highest : str, optional
        The lowest and highest vertebra in the scan.
    count : int, optional
        Lumbar vertebrae, 4 to 6.
    """

    anchors: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    lowest: str | None = None
    highest: str | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        bodies = {*BODIES, SACRUM}
        for name in (*self.anchors, self.lowest, self.highest):
            if name is not None and name.split("-")[0] not in bodies:
                raise NumberingError(f"expected a level such as L5, T12 or L4-L5, got {name!r}")
        if self.count is not None and self.count not in (4, 5, 6):
            raise NumberingError(f"expected 4, 5 or 6 lumbar vertebrae, got {self.count}")


@dataclass(frozen=True)
class Naming:
    """The chosen sequence.

    Parameters
    ----------
    names : tuple of (str or None)
        One name a link of the chain, None where no body was found; ``"sacrum"`` where S1 had been taken for a body.
    variant : str
        ``"usual"``, ``"six-lumbar"``, ``"four-lumbar"``, ``"thirteen-thoracic"``, ``"eleven-thoracic"`` or ``"s1-as-body"``, or
        one of the lumbar counts and the last, ``"six-lumbar-s1-as-body"``, ``"four-lumbar-s1-as-body"``.
    confidence : float
        Posterior probability of the sequence among all of as many lumbar vertebrae.
    second_best : tuple of (str or None)
        The next sequence that names a body differently, or the one of `possible`; empty if there is none.
    margin : float
        Its cost above the best, in nats; 0 if only the convention speaks against it.
    sequence : tuple of (str or None)
        The names with those of the bodies that were not found.
    possible : str
        A variant with another lumbar count that the shape of the spine would fit nearly as well or better, or ``""``.
    """

    names: tuple[str | None, ...]
    variant: str
    confidence: float
    second_best: tuple[str | None, ...]
    margin: float
    sequence: tuple[str | None, ...] = ()
    possible: str = ""


def name_chain(
    chain: Chain,
    room_below_mm: Sequence[float],
    *,
    shape: FloatArray | None = None,
    shape_model: ShapeModel | None = None,
    numbering: Numbering | None = None,
    anchored: Mapping[int, str] | None = None,
) -> Naming:
    """Choose the names of a chain, leaving out bodies at its ends that are none.

    Parameters
    ----------
    chain : Chain
        With at least one body.
    room_below_mm : sequence of float
        For each link the field of view below its body.
    shape : (6, links) array, optional
        From `cascade.postproc.shape.spine_shape`.
    shape_model : ShapeModel, optional
        Weighs `shape`.
    numbering : Numbering, optional
        Sequences that contradict it are out.
    anchored : mapping of int to str, optional
        Link index to the name that the user's anchors give it.

    Raises
    ------
    NumberingError
        No sequence fits what the user said.
    """
    numbering, anchored = numbering or Numbering(), anchored or {}
    weigh = _ShapeCosts(chain, shape, shape_model)
    weighed: list[_Weighed] = []
    for first, stop in _kept_parts(chain):
        for variant, window, last in _windows(stop - first, chain, numbering):
            names = (None,) * first + window + (None,) * (len(chain.links) - stop)
            if not _agrees(names, window, numbering, anchored):
                continue
            cost = weigh(first, stop, last, variant) + _end_cost(last, chain, stop - 1, room_below_mm[stop - 1])
            cost += _sacral_cost(chain, names, stop)
            weighed.append((cost + _rarity(variant, numbering), variant, names))
    if not weighed:
        raise NumberingError(_contradiction(chain, numbering, anchored))
    return _choose(sorted(weighed, key=lambda item: item[0]), chain, numbering)


def _rarity(variant: str, numbering: Numbering) -> float:
    is_rare_count = numbering.count is None and _lumbar_count(variant) != 5
    return _RARE_COUNT * is_rare_count + sum(cost for trait, cost in _RARITY.items() if variant.endswith(trait))


def _lumbar_count(variant: str) -> int:
    return sum(name.startswith("L") for name in _SPINES[variant][0])


class _ShapeCosts:
    """What it costs to keep a part of the chain whose last body is a certain level; each is computed once."""

    def __init__(self, chain: Chain, shape: FloatArray | None, model: ShapeModel | None) -> None:
        self._shape = shape
        self._model = model if shape is not None else None
        self._volumes = np.array([link.body.volume_mm3 if link.body else 0.0 for link in chain.links])
        self._costs: dict[tuple[int, int, int, tuple[tuple[int, int], ...]], float] = {}

    def __call__(self, first: int, stop: int, last: int, variant: str) -> float:
        looks = _LOOKS[_lumbar_count(variant)]
        key = (first, stop, last, looks)
        if key not in self._costs:
            # each look is as likely as the others
            kept = [self._kept(first, stop, last, look) for look in looks]
            self._costs[key] = self._ghosts(first, stop) + float(np.log(len(looks)) - np.logaddexp.reduce(np.negative(kept)))
        return self._costs[key]

    def _ghosts(self, first: int, stop: int) -> float:
        kept = self._volumes[first:stop]
        left_out = np.r_[self._volumes[:first], self._volumes[stop:]]
        sizes = np.minimum(1.0, left_out[left_out > 0] / np.median(kept[kept > 0]))
        rarity = _GHOST if self._model else _GHOST + _GHOST_WITHOUT_MODEL
        return float((rarity + _LARGE_GHOST * sizes).sum())

    def _kept(self, first: int, stop: int, last: int, look: tuple[int, int]) -> float:
        if self._shape is None or self._model is None:
            return 0.0
        above, by = look
        levels = [last + stop - 1 - i for i in range(self._shape.shape[1])]
        alike = [level + by if level >= above else level for level in levels]
        return self._model.cost(self._shape, [level if first <= i < stop else NO_LEVEL for i, level in enumerate(alike)])


def _kept_parts(chain: Chain) -> Iterator[tuple[int, int]]:
    """First and past-the-last link of the chain without up to one body at its top and up to two at its bottom."""
    there = [i for i, link in enumerate(chain.links) if link.body is not None]
    for above, below in itertools.product(range(2), range(3)):
        kept = there[above : len(there) - below]
        if kept and len(kept) >= (2 if above + below else 1):
            yield kept[0], kept[-1] + 1


def _windows(length: int, chain: Chain, numbering: Numbering) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """All windows of all spines: what is unusual, the names, and how many bodies of that spine lie below the last one."""
    for variant, (spine, telling) in _SPINES.items():
        count = _lumbar_count(variant)
        asked_for = count == numbering.count
        if numbering.count is not None and not asked_for:
            continue
        if chain.sacrum is None and count == 4 and not asked_for:
            continue
        for start in range(len(spine) - length + 1):
            names = spine[start : start + length]
            below = len(spine) - start - length
            if asked_for or (set(telling) <= set(names) and (count != 4 or below == 0)):
                yield variant, names, below - (SACRUM in spine)


def _agrees(names: Sequence[str | None], window: Sequence[str], numbering: Numbering, anchored: Mapping[int, str]) -> bool:
    vertebrae = [name for name in window if name != SACRUM]
    lowest = vertebrae[-1] if vertebrae else SACRUM
    return (
        numbering.lowest in (None, lowest)
        and numbering.highest in (None, window[0])
        and all(names[i] == name for i, name in anchored.items())
    )


def _end_cost(last: int, chain: Chain, index: int, room_below_mm: float) -> float:
    """How well the place of the last body (0 = lowest presacral, -1 = S1) goes with what is seen below it."""
    if _adjoins_sacrum(chain, index):
        is_surprising = (last == S1) != _has_small_disc_below(chain, index)
        return _NOT_LAST_ABOVE_SACRUM if last > 0 else _SURPRISING_DISC * is_surprising
    if room_below_mm > VIEW_OF_ONE_MORE_MM:
        return 0.0 if last <= 0 else _NOT_LAST_WITH_ROOM
    return 0.0 if last <= 0 else _NOT_L5_BY_DEFAULT


def _sacral_cost(chain: Chain, names: Sequence[str | None], stop: int) -> float:
    """How well the names go with where stage 2 sees a part of the sacrum."""
    cost = 0.0
    for i, (link, name, share) in enumerate(zip(chain.links, names, chain.sacral, strict=True)):
        beyond = share / HALF_SACRAL - 0.5
        if name not in (None, SACRUM):
            limit = _SACRAL_LIMIT_AT_BORDER if link.body and link.body.touches_border else _SACRAL_LIMIT
            cost += min(_SACRAL * max(0.0, beyond), limit)
        elif link.body and chain.sacrum and (name == SACRUM or i >= stop):
            cost += _NOT_SACRAL * min(1.0, max(0.0, 1 - 2 * beyond)) * (2 if _is_between_discs(chain, i) else 1)
    return cost


def _is_between_discs(chain: Chain, index: int) -> bool:
    """Whether a disc was found above and below this link's body, as of a vertebra."""
    above = chain.links[index - 1].disc if index else chain.disc_above
    return above is not None and chain.links[index].disc is not None


def _has_small_disc_below(chain: Chain, index: int) -> bool:
    """Whether the disc below the body of this link is missing or tiny beside those above, as the remnant of S1/S2 is."""
    above = [link.disc.volume_mm3 for link in chain.links[:index] if link.disc is not None]
    disc = chain.links[index].disc
    return bool(above) and (disc.volume_mm3 if disc else 0.0) < SMALL_DISC * float(np.median(above))


def _adjoins_sacrum(chain: Chain, index: int) -> bool:
    """Whether the sacrum, or what was half taken for it, follows the body of this link, with no room for another one between them."""
    body = chain.links[index].body
    beneath = zip(chain.links[index + 1 :], chain.sacral[index + 1 :], strict=True)
    sacra = [link.body for link, share in beneath if share > HALF_SACRAL]
    below = [s.position_mm for s in (*sacra, chain.sacrum) if s is not None]
    if body is None or not below:
        return False
    steps = np.diff([b.position_mm for b in chain.bodies])
    typical = float(np.median(steps)) if len(steps) else 35.0
    return 0 < min(below) - body.position_mm < 1.7 * typical


def _choose(weighed: Sequence[_Weighed], chain: Chain, numbering: Numbering) -> Naming:
    """The best sequence, its probability, and the best one that gives some body another name.

    What has another lumbar count than five stands back behind the convention unless it is asked for or overwhelming.
    """
    found = [link.body is not None for link in chain.links]
    usual = [item for item in weighed if _lumbar_count(item[1]) == 5 or numbering.count is not None] or weighed
    other = next((item for item in weighed if item not in usual), None)
    if other is not None and other[0] + _OVERWHELMING < usual[0][0]:
        usual, other = weighed, None
    cost, variant, best = usual[0]
    posterior = np.exp([cost - item[0] for item in usual])
    rivals = [i for i, item in enumerate(usual) if _differ(best, item[2])]
    second = usual[rivals[0]] if rivals else None
    possible = other if other is not None and other[0] < cost + _POSSIBLE and _differ(best, other[2]) else None
    second = possible or second
    return Naming(
        _only_found(best, found),
        variant,
        float(1 - posterior[rivals].sum() / posterior.sum()),
        _only_found(second[2], found) if second else (),
        max(0.0, float(second[0] - cost)) if second else float("inf"),
        tuple(best),
        possible[1] if possible else "",
    )


def _differ(a: Sequence[str | None], b: Sequence[str | None]) -> bool:
    """Whether two sequences name some body differently (leaving one out is no other name)."""
    return any(x != y for x, y in zip(a, b, strict=True) if x is not None and y is not None)


def _only_found(names: Sequence[str | None], found: Sequence[bool]) -> tuple[str | None, ...]:
    return tuple(name if there else None for name, there in zip(names, found, strict=True))


def _contradiction(chain: Chain, numbering: Numbering, anchored: Mapping[int, str]) -> str:
    said = [f"lowest {numbering.lowest}"] * (numbering.lowest is not None)
    said += [f"highest {numbering.highest}"] * (numbering.highest is not None)
    said += [f"{numbering.count} lumbar vertebrae"] * (numbering.count is not None)
    said += [f"body {i + 1} from the top is {name}" for i, name in anchored.items()]
    places = ", ".join(f"({x:.0f}, {y:.0f}, {z:.0f})" for x, y, z in (b.centroid_mm for b in chain.bodies))
    return (
        f"expected levels that agree with {'; '.join(said) or 'a lumbar spine'}; "
        f"found {len(chain.links)} levels in a row, bodies at {places} mm from the head down; correct what was given"
    )


def anchored_links(chain: Chain, numbering: Numbering, value_at: Mapping[str, int]) -> dict[int, str]:
    """Translate the user's anchors to links of the chain.

    Parameters
    ----------
    chain : Chain
    numbering : Numbering
    value_at : mapping of str to int
        For each anchor the instance value at its point (0 if there is none).

    Raises
    ------
    NumberingError
        An anchor's point lies in no vertebra or disc of the chain, or two anchors give one body different names.
    """
    merged = dict(chain.merged)
    links: dict[int, str] = {}
    for name in numbering.anchors:
        value = merged.get(value_at[name], value_at[name])
        part = "disc" if is_disc(name) else "body"
        above = is_disc(name) and chain.disc_above is not None and chain.disc_above.value == value
        wanted = name.split("-")[1].replace("S1", SACRUM) if above else name.split("-")[0]
        found = (i for i, link in enumerate(chain.links) if (item := getattr(link, part)) is not None and item.value == value)
        index = 0 if above else next(found, None)
        if index is None:
            x, y, z = numbering.anchors[name]
            raise NumberingError(f"expected a {part} at the anchor {name}=({x:g}, {y:g}, {z:g}) mm; none was found there; move the point")
        if links.setdefault(index, wanted) != wanted:
            raise NumberingError(f"expected one name for body {index + 1} from the top; found {links[index]} and {wanted}; remove one")
    return links

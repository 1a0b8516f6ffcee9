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

import numpy as np

from cascade.errors import NumberingError
from cascade.labels import SACRUM, is_disc, level_named
from cascade.notices import count_of
from cascade.postproc.chain import Chain
from cascade.postproc.costs import SPINES, ShapeCosts, end_cost, lumbar_count, rarity, s1_odds, sacral_cost
from cascade.postproc.parameters import CostParameters, NamingParameters
from cascade.volume import FloatArray

#: Cost, variant and names of a sequence.
Weighed = tuple[float, str, tuple[str | None, ...]]


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

    Raises
    ------
    NumberingError
        A name is that of no level, a point is none, or the count is another. Names may be written as people do: ``"l4"``, ``"L4/L5"``.

    Examples
    --------
    >>> Numbering(lowest="l3").lowest, Numbering({"L5": (3, -20, -85)}, count=6).count
    ('L3', 6)
    """

    anchors: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    lowest: str | None = None
    highest: str | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        for end in ("lowest", "highest"):
            object.__setattr__(self, end, _vertebra(getattr(self, end)))
        anchors = {_level(name): point for name, point in self.anchors.items()}
        if len(anchors) < len(self.anchors):
            raise NumberingError(f"expected one anchor a level, got {', '.join(map(str, self.anchors))}")
        for name, point in anchors.items():
            _check_point(name, point)
        object.__setattr__(self, "anchors", anchors)
        if self.count is not None and self.count not in (4, 5, 6):
            raise NumberingError(f"expected 4, 5 or 6 lumbar vertebrae, got {self.count}")

    @property
    def says_where(self) -> bool:
        """Whether it names a vertebra, not only how many there are."""
        return bool(self.anchors or self.lowest or self.highest)


def given_numbering(numbering: object) -> Numbering | None:
    """The numbering itself, or None; anything else, such as the name of a level, is a NumberingError."""
    if numbering is None or isinstance(numbering, Numbering):
        return numbering
    raise NumberingError(f"expected a Numbering, such as cascade.Numbering(lowest='L4'), got {numbering!r}")


def _vertebra(given: str | None) -> str | None:
    name = None if given is None else level_named(given)
    if given is not None and (name is None or is_disc(name)):
        raise NumberingError(f"expected a vertebra such as L5 or T12, got {given!r}")
    return name


def _level(given: str) -> str:
    name = level_named(given)
    if name is None:
        raise NumberingError(f"expected a level such as L5, T12 or L4/L5, got {given!r}")
    return name


def _check_point(name: str, point: Sequence[float]) -> None:
    if np.shape(point) != (3,) or not np.isfinite(np.asarray(point, dtype=float)).all():
        raise NumberingError(f"expected the anchor {name} as three numbers in mm, got {point}")


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
        Posterior probability of these names among all numberings with as many lumbar vertebrae: five, or as many as the user
        says. Among those of every count where another count is overwhelming.
    second_best : tuple of (str or None)
        The next of the same numberings that names a body differently; empty if there is none.
    margin : float
        Its cost above the best, in nats; infinite if there is none.
    sequence : tuple of (str or None)
        The names with those of the bodies that were not found.
    possible : str
        A variant with another lumbar count that the shape of the spine would fit nearly as well or better, or ``""``. By
        convention it takes nothing from `confidence`.
    possible_names : tuple of (str or None)
        The names in that variant.
    possible_margin : float
        Its cost above the best, in nats: below 0 if the shape fits it better, infinite if there is none.
    """

    names: tuple[str | None, ...]
    variant: str
    confidence: float
    second_best: tuple[str | None, ...]
    margin: float
    sequence: tuple[str | None, ...] = ()
    possible: str = ""
    possible_names: tuple[str | None, ...] = ()
    possible_margin: float = float("inf")

    @property
    def last(self) -> int:
        """The link of the lowest body that has a name."""
        return max(i for i, name in enumerate(self.names) if name)


def name_chain(
    chain: Chain,
    room_below_mm: Sequence[float],
    *,
    shape: FloatArray | None = None,
    parameters: NamingParameters | None = None,
    numbering: Numbering | None = None,
    anchored: Mapping[int, str] | None = None,
) -> Naming:
    """Choose the names of a chain, leaving out bodies at its ends that are none: the best of what `weigh` returns.

    The parameters and errors are those of `weigh`.
    """
    found = [link.body is not None for link in chain.links]
    weighed = weigh(chain, room_below_mm, shape=shape, parameters=parameters, numbering=numbering, anchored=anchored)
    return choose(weighed, found, numbering or Numbering(), (parameters or NamingParameters()).costs)


def weigh(
    chain: Chain,
    room_below_mm: Sequence[float],
    *,
    shape: FloatArray | None = None,
    parameters: NamingParameters | None = None,
    numbering: Numbering | None = None,
    anchored: Mapping[int, str] | None = None,
) -> list[Weighed]:
    """Weigh all sequences of names that a chain can have; the one of least cost first.

    Parameters
    ----------
    chain : Chain
        With at least one body.
    room_below_mm : sequence of float
        For each link the field of view below its body.
    shape : (9, links) array, optional
        From `cascade.postproc.shape.spine_shape`.
    parameters : NamingParameters, optional
        Their models weigh `shape`.
    numbering : Numbering, optional
        Sequences that contradict it are out.
    anchored : mapping of int to str, optional
        Link index to the name that the user's anchors give it.

    Raises
    ------
    NumberingError
        No sequence fits what the user said.
    """
    numbering, anchored, parameters = numbering or Numbering(), anchored or {}, parameters or NamingParameters()
    shape_costs, costs = ShapeCosts(chain, shape, parameters), parameters.costs
    odds = s1_odds(shape, parameters, len(chain.links))
    weighed: list[Weighed] = []
    for first, stop in _kept_parts(chain):
        for variant, window, last in _windows(stop - first, chain, numbering):
            names = (None,) * first + window + (None,) * (len(chain.links) - stop)
            if not _agrees(names, window, numbering, anchored):
                continue
            cost = shape_costs(first, stop, last, variant)
            cost += end_cost(last, chain, stop - 1, room_below_mm[stop - 1], costs)
            cost += sacral_cost(chain, names, stop, costs, odds)
            weighed.append((cost + rarity(variant, numbering.count, costs), variant, names))
    if not weighed:
        raise NumberingError(_contradiction(chain, numbering, anchored))
    return sorted(weighed, key=lambda item: item[0])


def _kept_parts(chain: Chain) -> Iterator[tuple[int, int]]:
    """First and past-the-last link of the chain without up to one body at its top and up to two at its bottom."""
    there = [i for i, link in enumerate(chain.links) if link.body is not None]
    for above, below in itertools.product(range(2), range(3)):
        kept = there[above : len(there) - below]
        if kept and len(kept) >= (2 if above + below else 1):
            yield kept[0], kept[-1] + 1


def _windows(length: int, chain: Chain, numbering: Numbering) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """All windows of all spines: what is unusual, the names, and how many bodies of that spine lie below the last one."""
    for variant, (spine, telling) in SPINES.items():
        count = lumbar_count(variant)
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


def choose(weighed: Sequence[Weighed], found: Sequence[bool], numbering: Numbering, costs: CostParameters) -> Naming:
    """The best sequence, and its probability and margin among the numberings that compete with it.

    What has another lumbar count than five stands back behind the convention unless it is asked for or overwhelming.

    Parameters
    ----------
    weighed : sequence of Weighed
        The one of least cost first; at least one.
    found : sequence of bool
        Whether the body of each link was found.
    numbering : Numbering
        Its count decides which numberings compete.
    costs : CostParameters
    """
    competing = [item for item in weighed if lumbar_count(item[1]) == 5 or numbering.count is not None] or weighed
    other = next((item for item in weighed if item not in competing), None)
    if other is not None and other[0] + costs.overwhelming < competing[0][0]:
        competing, other = weighed, None
    cost, variant, best = competing[0]
    posterior = np.exp([cost - item[0] for item in competing])
    rivals = [i for i, item in enumerate(competing) if _differ(best, item[2])]
    second = competing[rivals[0]] if rivals else None
    possible = other if other is not None and other[0] < cost + costs.possible and _differ(best, other[2]) else None
    return Naming(
        _only_found(best, found),
        variant,
        float(1 - posterior[rivals].sum() / posterior.sum()),
        _only_found(second[2], found) if second else (),
        float(second[0] - cost) if second else float("inf"),
        tuple(best),
        possible[1] if possible else "",
        _only_found(possible[2], found) if possible else (),
        float(possible[0] - cost) if possible else float("inf"),
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
        f"found {count_of(len(chain.links), 'level')} in a row, bodies at {places} mm from the head down; correct what was given"
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
    sacral = {part.value for part in (chain.sacrum, *chain.sacral_parts) if part}
    links: dict[int, str] = {}
    for name in numbering.anchors:
        value = merged.get(value_at[name], value_at[name])
        if name == SACRUM and value in sacral:
            continue
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

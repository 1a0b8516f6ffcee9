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
from typing import Any

import numpy as np

from cascade.errors import NumberingError
from cascade.labels import BODIES, SACRUM, is_disc
from cascade.postproc.chain import Chain
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
    }
)
_RARITY = MappingProxyType(
    {"usual": 0.0, "six-lumbar": 6.0, "four-lumbar": 6.0, "thirteen-thoracic": 7.0, "eleven-thoracic": 7.0, "s1-as-body": 4.0}
)
#: Cost of a last body that is not the lowest presacral one although the sacrum is seen below it, or although
#: the field of view goes on below it; and of one that is although it is cut off there.
_NOT_LAST_ABOVE_SACRUM, _NOT_LAST_WITH_ROOM, _NOT_L5_BY_DEFAULT = 14.0, 5.0, 0.7
#: Room for one more level below the last body, in mm.
ROOM_FOR_A_BODY_MM = 45.0


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
class ShapeModel:
    """A normal distribution of how spines bend and how far their bodies are apart, counted from the sacrum upwards.

    Parameters
    ----------
    mean : (2 n,) array
        Tilt of each step in the sagittal plane in degrees (positive where the spine runs backwards on its way down),
        then length of each step in mm. Step 0 leads from the lowest presacral body to S1, step 1 to the lowest
        presacral body, and so on upwards.
    covariance : (2 n, 2 n) array
        Between subjects.
    """

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> ShapeModel:
        """Build from the ``shape_model`` of a StageSpec's naming parameters."""
        return cls(np.array(parameters["mean"]), np.array(parameters["covariance"]))

    def cost(self, last: int, centroids_mm: Sequence[FloatArray | None]) -> float:
        """Negative log likelihood of a chain's shape.

        Parameters
        ----------
        last : int
            What its last body is: 0 the lowest presacral one, 1 the one above, -1 S1.
        centroids_mm : sequence of (3,) array or None
            From head to foot.
        """
        count = len(self.mean) // 2
        steps, values = [], []
        for i, (start, end) in enumerate(itertools.pairwise(centroids_mm)):
            step = last + len(centroids_mm) - 1 - i
            if start is not None and end is not None and step < count:
                steps.append(step)
                values.append(step_shape(start, end))
        if not steps:
            return 0.0
        index = [*steps, *(step + count for step in steps)]
        difference = np.array(values).T.ravel() - self.mean[index]
        covariance = self.covariance[np.ix_(index, index)]
        _, log_determinant = np.linalg.slogdet(covariance)
        return float(0.5 * (difference @ np.linalg.solve(covariance, difference) + log_determinant))


def step_shape(start_mm: FloatArray, end_mm: FloatArray) -> tuple[float, float]:
    """Sagittal tilt in degrees and length in mm of the step from one body's centroid to the next one's."""
    _, forward, upward = step = np.asarray(end_mm) - np.asarray(start_mm)
    return float(np.degrees(np.arctan2(-forward, -upward))), float(np.linalg.norm(step))


@dataclass(frozen=True)
class Naming:
    """The chosen sequence.

    Parameters
    ----------
    names : tuple of (str or None)
        One name a link of the chain, None where no body was found; ``"sacrum"`` where S1 had been taken for a body.
    variant : str
        ``"usual"``, ``"six-lumbar"``, ``"four-lumbar"``, ``"thirteen-thoracic"``, ``"eleven-thoracic"`` or ``"s1-as-body"``.
    confidence : float
        Posterior probability of the sequence among all.
    second_best : tuple of (str or None)
        The next sequence that names a body differently; empty if there is none.
    margin : float
        Its cost above the best, in nats.
    sequence : tuple of str
        The names with those of the bodies that were not found.
    """

    names: tuple[str | None, ...]
    variant: str
    confidence: float
    second_best: tuple[str | None, ...]
    margin: float
    sequence: tuple[str, ...] = ()


def name_chain(
    chain: Chain,
    room_below_mm: float,
    *,
    shape_model: ShapeModel | None = None,
    numbering: Numbering | None = None,
    anchored: Mapping[int, str] | None = None,
) -> Naming:
    """Choose the names of a chain.

    Parameters
    ----------
    chain : Chain
        With at least one body.
    room_below_mm : float
        Field of view below the last body.
    shape_model : ShapeModel, optional
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
    centroids = [None if link.body is None else np.array(link.body.centroid_mm) for link in chain.links]
    weighed: list[tuple[float, str, tuple[str, ...]]] = []
    for variant, names, last in _sequences(len(chain.links), chain, numbering):
        if not _agrees(names, numbering, anchored):
            continue
        cost = _end_cost(names[-1], variant, chain, room_below_mm)
        cost += 0.0 if numbering.count is not None and variant.endswith("lumbar") else _RARITY[variant]
        cost += shape_model.cost(last, centroids) if shape_model else 0.0
        weighed.append((cost, variant, names))
    if not weighed:
        raise NumberingError(_contradiction(chain, numbering, anchored))
    return _choose(sorted(weighed), chain)


def _sequences(length: int, chain: Chain, numbering: Numbering) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """All windows of all spines: what is unusual, the names, and how many bodies of that spine lie below the last one."""
    for variant, (spine, telling) in _SPINES.items():
        if variant == "s1-as-body" and chain.sacrum is not None:
            continue
        if numbering.count not in (None, sum(name.startswith("L") for name in spine)):
            continue
        if variant == "four-lumbar" and chain.sacrum is None and numbering.count is None:
            continue
        told = numbering.count is not None and variant.endswith("lumbar")
        for start in range(len(spine) - length + 1):
            names = spine[start : start + length]
            ends_low_enough = variant != "four-lumbar" or names[-1] == "L4"
            if told or (set(telling) <= set(names) and ends_low_enough):
                yield variant, names, len(spine) - start - length - (variant == "s1-as-body")


def _agrees(names: Sequence[str], numbering: Numbering, anchored: Mapping[int, str]) -> bool:
    vertebrae = [name for name in names if name != SACRUM]
    lowest = vertebrae[-1] if vertebrae else SACRUM
    return (
        numbering.lowest in (None, lowest)
        and numbering.highest in (None, names[0])
        and all(names[i] == name for i, name in anchored.items())
    )


def _end_cost(last: str, variant: str, chain: Chain, room_below_mm: float) -> float:
    """How well the name of the last body goes with what is seen below it."""
    is_last = last == SACRUM or (last == "L5" and variant != "six-lumbar") or last == "L6" or (variant == "four-lumbar" and last == "L4")
    if chain.sacrum is not None and _adjoins(chain):
        return 0.0 if is_last else _NOT_LAST_ABOVE_SACRUM
    if room_below_mm > ROOM_FOR_A_BODY_MM:
        return 0.0 if is_last else _NOT_LAST_WITH_ROOM
    return 0.0 if last == "L5" else _NOT_L5_BY_DEFAULT


def _adjoins(chain: Chain) -> bool:
    """Whether the sacrum follows the last body, with no room for another one between them."""
    bodies = chain.bodies
    if chain.sacrum is None or not bodies:
        return False
    steps = np.diff([b.position_mm for b in bodies])
    typical = float(np.median(steps)) if len(steps) else 35.0
    return chain.sacrum.position_mm - bodies[-1].position_mm < 1.7 * typical


def _choose(weighed: Sequence[tuple[float, str, tuple[str, ...]]], chain: Chain) -> Naming:
    found = [link.body is not None for link in chain.links]
    costs = np.array([cost for cost, _, _ in weighed])
    posterior = np.exp(costs[0] - costs)
    posterior /= posterior.sum()
    best = weighed[0][2]
    second = next((i for i, (_, _, names) in enumerate(weighed) if names != best), None)
    margin = float(costs[second] - costs[0]) if second is not None else float("inf")
    return Naming(
        _only_found(best, found),
        weighed[0][1],
        float(posterior[0]),
        () if second is None else _only_found(weighed[second][2], found),
        margin,
        tuple(best),
    )


def _only_found(names: Sequence[str], found: Sequence[bool]) -> tuple[str | None, ...]:
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
        An anchor's point lies in no vertebra or disc of the chain.
    """
    merged = dict(chain.merged)
    links: dict[int, str] = {}
    for name in numbering.anchors:
        value = merged.get(value_at[name], value_at[name])
        part = "disc" if is_disc(name) else "body"
        index = next((i for i, link in enumerate(chain.links) if (item := getattr(link, part)) is not None and item.value == value), None)
        if index is None:
            x, y, z = numbering.anchors[name]
            raise NumberingError(f"expected a {part} at the anchor {name}=({x:g}, {y:g}, {z:g}) mm; none was found there; move the point")
        links[index] = name.split("-")[0]
    return links

"""Whose numbers are these? The label schemes that a file of numbers can follow, by how its structures lie and look.

A number alone says little: 20 is L1 in one scheme and a disc between T8 and T9 in another. But read in the wrong scheme, structures lie in
the wrong order, too near to each other or too far apart, discs are thicker than bodies, or a canal is as short as they are. What is left
after these signs is either one reading, or it is not known which, and a person has to say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.errors import SchemeError
from cascade.labels import BODIES, CANAL, PARTLY, SACRUM, SCHEMES, SPIDER, LabelScheme, in_order, is_disc, is_level, rank
from cascade.volume import FloatArray, Grid

#: What the tools of a scheme also number, and what is never used here: the neck and its discs, cord, coccyx, end plates.
BESIDE: Mapping[str, frozenset[int]] = {
    "verse": frozenset({*range(1, 8), 27, 60, *range(101, 108), *range(201, 229)}),
    "spider": frozenset({*range(18, 26), *range(118, 126), *range(218, 226)}),
    "totalspineseg": frozenset({1, *range(11, 18), *range(63, 68), 71}),
    "totalsegmentator_mr": frozenset(range(19, 26)),
}
#: Height of a level. Thoracic ones are 20 mm and more, lumbar ones up to 45 mm; the centre of S1 lies nearer to L5.
STEP_MM = (10.0, 65.0)
#: The centre of a whole vertebra lies lower than its body's, down to the disc below; a disc may seem so much too high.
BETWEEN_MM = 5.0
#: The median disc has at most this share of the median body's volume (lumbar discs a quarter to a half).
DISC_SHARE = 0.8
#: Thickness over depth in the sagittal plane: discs 0.2 to 0.4, bodies 0.7 to 0.9, whole vertebrae 0.4 to 0.6.
THICKEST_DISC, THINNEST_BODY = 0.65, 0.3
#: A canal is at least so many times as long as the longest body is high.
CANAL_LENGTH = 1.2
#: A reading needs twice as many levels as numbers that it leaves out; if it does not know them, it needs this many levels.
FEWEST_KNOWN = 3
#: Beyond this angle from the vertical a header does not say where the head is.
MAX_LEAN_DEG = 50.0
#: Of more voxels every second, third and so on is looked at, and of more voxels with a number measured: memory stays below 0.5 GB.
MOST_LOOKED_AT, MOST_MEASURED = 1 << 25, 1 << 21
#: Scans of the lumbar spine show one of these or something below.
HIGHEST_SEEN = "T11"


@dataclass(frozen=True, eq=False)
class Tagged:
    """Size, place and spread of what has one number.

    Parameters
    ----------
    volume_ml : float
    centre_mm : (3,) array
        RAS+.
    spread_mm2 : (3, 3) array
        Covariance of the voxels' places.
    """

    volume_ml: float
    centre_mm: FloatArray
    spread_mm2: FloatArray

    @property
    def flatness(self) -> float:
        """Thickness over depth in the sagittal plane: 0 is a line, 1 a circle or square."""
        low, high = np.linalg.eigvalsh(self.spread_mm2[1:, 1:])
        return float(np.sqrt(max(low, 0.0) / high))

    def length_mm(self, direction: FloatArray) -> float:
        """Length along a direction, of a box with this spread."""
        return float(np.sqrt(12.0 * direction @ self.spread_mm2 @ direction))


@dataclass(frozen=True)
class Reading:
    """What the numbers of a file mean in one scheme.

    Parameters
    ----------
    scheme : LabelScheme
    names : mapping of int to str
        Number to structure, of the numbers that are there and known.
    unknown : tuple of int
        Numbers that the scheme does not know.
    upside_down : bool
        The order is right if head and foot are exchanged.
    """

    scheme: LabelScheme
    names: Mapping[int, str]
    unknown: tuple[int, ...]
    upside_down: bool

    def __str__(self) -> str:
        named = ", ".join(f"{number} = {self.names[number]}" for number in sorted(self.names)[:3])
        return f"{self.scheme.name} ({named}{', ...' if len(self.names) > 3 else ''})"


def known_numbers(scheme: LabelScheme) -> dict[int, str | None]:
    """What each number of a scheme means; None for what its tools also number and is never used here.

    Examples
    --------
    >>> numbers = known_numbers(SPIDER)
    >>> numbers[1], numbers[101], numbers[201], numbers[100], numbers[25]
    ('L5', 'L5', 'L5-S1', 'canal', None)
    """
    known: dict[int, str | None] = dict.fromkeys(BESIDE.get(scheme.name, ()))
    if scheme.name == SPIDER.name:
        known |= {number + PARTLY: name for name, number in scheme.ids.items() if name in BODIES}
    return known | {number: name for name, number in scheme.ids.items()}


def look_at(numbers: NDArray[Any], grid: Grid) -> dict[int, Tagged]:
    """Measure everything that has a number.

    Parameters
    ----------
    numbers : array of int, shape = grid.shape
    grid : Grid
    """
    step = numbers.size // MOST_LOOKED_AT + 1
    found = step * np.flatnonzero(numbers.ravel()[::step])
    thinning = len(found) // MOST_MEASURED + 1
    found = found[::thinning]
    voxels = np.stack(np.unravel_index(found, numbers.shape), axis=1)
    tags, which = np.unique(numbers.ravel()[found], return_inverse=True)
    places = grid.to_world(voxels)
    amounts = np.bincount(which, minlength=len(tags))
    centres = _sums(places, which, len(tags)) / amounts[:, None]
    off = places - centres[which]
    products = (off[:, :, None] * off[:, None, :]).reshape(-1, 9)
    spreads = (_sums(products, which, len(tags)) / amounts[:, None]).reshape(-1, 3, 3)
    of_a_voxel = grid.vox2world[:3, :3] @ grid.vox2world[:3, :3].T / 12
    ml = grid.voxel_mm3 * step * thinning / 1000
    return {int(tag): Tagged(float(n * ml), c, s + of_a_voxel) for tag, n, c, s in zip(tags, amounts, centres, spreads, strict=True)}


def readings(tagged: Mapping[int, Tagged], schemes: Iterable[LabelScheme] = tuple(SCHEMES.values())) -> tuple[Reading, ...]:
    """The readings that nothing speaks against, of the best kind that there is.

    The kinds, from the best: head and foot as the header says and every number known; numbers unknown; head and foot exchanged. The last
    needs bodies and discs between each other, as bodies alone may just as well be counted the other way.
    """
    found = [reading for scheme in schemes for reading in _of_scheme(tagged, scheme)]
    for upside_down in (False, True):
        for whole in (True, False):
            best = tuple(r for r in found if r.upside_down == upside_down and (not r.unknown) == whole)
            if best:
                return best
    return ()


def leans(tagged: Mapping[int, Tagged]) -> bool:
    """Whether three things or more lie in a row that does not run from head to foot."""
    return len(tagged) > 2 and not _direction([*tagged.values()])[1]


def doubt(numbers: NDArray[Any], grid: Grid, scheme: LabelScheme) -> str:
    """What speaks against reading numbers in a scheme; empty if they fit it, or no other.

    Parameters
    ----------
    numbers : array of int, shape = grid.shape
    grid : Grid
    scheme : LabelScheme
    """
    tagged = look_at(numbers, grid)
    fitting = readings(tagged)
    own = {reading.scheme.name for reading in (*fitting, *readings(tagged, [scheme]))}
    if not fitting or scheme.name in own:
        return ""
    others = " or ".join(str(reading) for reading in distinct(fitting))
    return f"by order, distances and shapes the numbers are not those of {scheme.name}, but of {others}"


def recognised(numbers: NDArray[Any], grid: Grid, name: str) -> Reading:
    """The only reading of numbers.

    Parameters
    ----------
    numbers : array of int, shape = grid.shape
    grid : Grid
    name : str
        Of the file, for messages.

    Raises
    ------
    SchemeError
        There is none, or more than one.
    """
    tagged = look_at(numbers, grid)
    found = distinct(readings(tagged))
    if len(found) != 1:
        what = " or ".join(map(str, found)) or f"{' '.join(map(str, sorted(tagged)[:12]))}, which fit no scheme that is known"
        raise SchemeError(f"{name}: expected numbers of one label scheme, or a note of it; found {what}; say it with --scheme")
    return found[0]


def distinct(found: Iterable[Reading]) -> tuple[Reading, ...]:
    """One reading of those that say the same about every number."""
    return tuple({tuple(sorted(reading.names.items())): reading for reading in reversed([*found])}.values())[::-1]


def _sums(values: FloatArray, which: NDArray[np.intp], count: int) -> FloatArray:
    return np.stack([np.bincount(which, weights=column, minlength=count) for column in values.T], axis=1)


def _of_scheme(tagged: Mapping[int, Tagged], scheme: LabelScheme) -> Iterator[Reading]:
    known = known_numbers(scheme)
    names = {number: name for number in tagged if (name := known.get(number))}
    unknown = tuple(sorted(set(tagged) - set(known)))
    levels = in_order(names.values())
    if not levels or rank(levels[-1]) < rank(HIGHEST_SEEN):
        return
    if 2 * (len(tagged) - len(names)) > len(levels) or (unknown and len(levels) < FEWEST_KNOWN):
        return
    chain = [(name, tagged[number]) for number, name in sorted(names.items(), key=lambda item: _place(item[1])) if is_level(name)]
    direction, sure = _direction([item for _, item in chain])
    if not (_shapes_fit(chain) and _canal_fits(chain, names, tagged, direction)):
        return
    for upside_down in (False, True):
        if _order_fits(chain, -direction if upside_down else direction) and (_alternates(chain) or (sure and not upside_down)):
            yield Reading(scheme, names, unknown, upside_down and sure)
            return


def _place(name: str) -> float:
    return rank(name) if is_level(name) else -1.0


def _direction(items: Sequence[Tagged]) -> tuple[FloatArray, bool]:
    """From foot to head along the centres, and whether the header makes sure which is which."""
    up = np.array([0.0, 0.0, 1.0])
    centres = np.array([item.centre_mm for item in items])
    if len(centres) < 2:
        return up, True
    along = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)[2][0]
    along = along if along[2] >= 0 else -along
    return along, bool(along[2] >= np.cos(np.radians(MAX_LEAN_DEG)))


def _order_fits(chain: list[tuple[str, Tagged]], direction: FloatArray) -> bool:
    """Whether levels of one kind follow each other at the distance of their names, and discs lie between their bodies."""
    heights = {name: float(item.centre_mm @ direction) for name, item in chain}
    places = _levels(heights)
    for kind in (True, False):
        for upper, lower in pairwise(name for name in heights if is_disc(name) == kind):
            if not STEP_MM[0] <= (heights[upper] - heights[lower]) / (places[lower] - places[upper]) <= STEP_MM[1]:
                return False
    return all(heights[upper] - heights[lower] >= -BETWEEN_MM for upper, lower in pairwise(heights))


def _levels(names: Iterable[str]) -> dict[str, float]:
    """Place of each name in levels from the head; a T13 or L6 counts only where it is named."""
    named = list(names)
    bodies = [body for body in BODIES if body not in ("T13", "L6") or body in {name.partition("-")[0] for name in named}]
    return {name: bodies.index(name.partition("-")[0]) + 0.5 * is_disc(name) if name != SACRUM else float(len(bodies)) for name in named}


def _shapes_fit(chain: list[tuple[str, Tagged]]) -> bool:
    """Whether discs are smaller than bodies, and flat where bodies are not."""
    discs = [item for name, item in chain if is_disc(name)]
    bodies = [item for name, item in chain if name in BODIES]
    if discs and bodies and np.median([d.volume_ml for d in discs]) > DISC_SHARE * np.median([b.volume_ml for b in bodies]):
        return False
    if discs and np.median([d.flatness for d in discs]) > THICKEST_DISC:
        return False
    return not bodies or bool(np.median([b.flatness for b in bodies]) >= THINNEST_BODY)


def _canal_fits(chain: list[tuple[str, Tagged]], names: Mapping[int, str], tagged: Mapping[int, Tagged], direction: FloatArray) -> bool:
    lengths = [item.length_mm(direction) for name, item in chain if name != SACRUM]
    canals = [tagged[number].length_mm(direction) for number, name in names.items() if name == CANAL]
    return not canals or not lengths or max(canals) >= CANAL_LENGTH * max(lengths)


def _alternates(chain: list[tuple[str, Tagged]]) -> bool:
    """Whether bodies and discs lie between each other: then the order holds from either end, and the kinds say which scheme it is."""
    kinds = [is_disc(name) for name, _ in chain]
    return len(kinds) >= FEWEST_KNOWN and len(set(kinds)) == 2

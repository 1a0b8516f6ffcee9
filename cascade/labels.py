"""Label schemes: which number means which structure, in whose data.

Structures are named by anatomy: vertebral bodies ``"T8"`` ... ``"T13"``, ``"L1"`` ... ``"L6"``, ``"sacrum"``
(the S1 body), discs by the two levels they join (``"L4-L5"``, ``"L5-S1"``), and ``"canal"``.
A disc is identified by the vertebra above it: ``"L5-S1"`` and ``"L5-L6"`` share an id, as ``"L4-L5"`` and ``"L4-S1"`` do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from cascade.errors import SchemeError

#: Every vertebral body that can be named, cranial to caudal.
BODIES = (*(f"T{n}" for n in range(1, 14)), *(f"L{n}" for n in range(1, 7)))
#: The kinds of structures. Of two of them there is only one in a spine, which has the same name.
BODY: Final = "body"
DISC: Final = "disc"
SACRUM: Final = "sacrum"
CANAL: Final = "canal"
Kind = Literal["body", "disc", "sacrum", "canal"]
#: Those that make the chain of levels; what is of another kind runs along it.
KINDS: tuple[Kind, ...] = (BODY, DISC, SACRUM)
_ALONE: Mapping[str, Kind] = {SACRUM: SACRUM, CANAL: CANAL}
#: Added to the id of a vertebra that the field of view cuts, in a scheme that counts from below (SPIDER).
PARTLY = 100


def kind_of(structure: str) -> Kind:
    """Tell what kind a structure is.

    >>> kind_of("L4"), kind_of("L4-L5"), kind_of("sacrum"), kind_of("canal")
    ('body', 'disc', 'sacrum', 'canal')
    """
    return DISC if is_disc(structure) else _ALONE.get(structure, BODY)


def is_level(structure: str) -> bool:
    """Tell whether a structure has a place in the chain.

    >>> is_level("L4-L5"), is_level("canal")
    (True, False)
    """
    return kind_of(structure) in KINDS


def is_disc(structure: str) -> bool:
    """Tell whether `structure` names a disc.

    >>> is_disc("L4-L5"), is_disc("L4")
    (True, False)
    """
    return "-" in structure


def level_named(text: object) -> str | None:
    """The level that a person names, as it is written here; None if it is none. Case does not matter, nor how a disc is written.

    >>> level_named("l4"), level_named("S1"), level_named("l4/5"), level_named("L5-sacrum"), level_named("C7")
    ('L4', 'sacrum', 'L4-L5', 'L5-S1', None)
    """
    upper, *lower = (part.upper().replace("SACRUM", "S1") for part in re.split(r"\s*[-/]\s*", str(text).strip()))
    if not lower:
        return SACRUM if upper == "S1" else upper if upper in BODIES else None
    below = f"{upper[:1]}{lower[0]}" if lower[0].isdigit() else lower[0]
    follows = below == "S1" or (below in BODIES and upper in BODIES and BODIES.index(below) > BODIES.index(upper))
    return disc_below(upper, below) if upper in BODIES and len(lower) == 1 and follows else None


def disc_below(body: str, next_body: str | None = None) -> str:
    """Name the disc below `body`, above `next_body` (by default the usual neighbour).

    >>> disc_below("L4"), disc_below("L5"), disc_below("L5", "L6"), disc_below("T12", "T13")
    ('L4-L5', 'L5-S1', 'L5-L6', 'T12-T13')
    """
    usual = {"T12": "L1", "T13": "L1", "L5": "S1", "L6": "S1"}
    below = next_body or usual.get(body) or f"{body[0]}{int(body[1:]) + 1}"
    return f"{body}-{'S1' if below == SACRUM else below}"


def _key(structure: str) -> str:
    """Reduce a structure to what identifies it: a disc to the vertebra above it."""
    return f"{structure.split('-')[0]}-" if is_disc(structure) else structure


@dataclass(frozen=True)
class LabelScheme:
    """A mapping from structures to positive integers.

    Parameters
    ----------
    name : str
        Short name, as used on the command line.
    ids : mapping of str to int
        Structure name to id; one id per structure, no id twice.
    source : str
        Where the numbers come from.
    from_below : bool
        Numbers are counted from the lowest presacral vertebra that is present, so that with a sixth lumbar
        vertebra every id moves up by one (SPIDER).

    Examples
    --------
    >>> VERSE["L5"], VERSE["L5-S1"], VERSE["L5-L6"]
    (24, 124, 124)
    >>> CASCADE.structure(6)
    'L1-L2'
    """

    name: str
    ids: Mapping[str, int]
    source: str
    from_below: bool = False
    _by_key: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.ids.values())) != len(self.ids) or min(self.ids.values(), default=1) < 1:
            raise SchemeError(f"label scheme {self.name!r}: expected distinct positive ids, got {dict(self.ids)}")
        object.__setattr__(self, "ids", MappingProxyType(dict(self.ids)))
        object.__setattr__(self, "_by_key", {_key(name): number for name, number in self.ids.items()})

    def __reduce__(self) -> tuple[type[LabelScheme], tuple[object, ...]]:
        return type(self), (self.name, dict(self.ids), self.source, self.from_below)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.ids.items())))

    def __contains__(self, structure: str) -> bool:
        return _key(structure) in self._by_key

    def __getitem__(self, structure: str) -> int:
        try:
            return self._by_key[_key(structure)]
        except KeyError:
            raise SchemeError(f"label scheme {self.name!r} has no {structure!r}; it has {', '.join(self.ids)}") from None

    def structure(self, number: int) -> str:
        """Name the structure that `number` stands for; SchemeError if none does."""
        for name, value in self.ids.items():
            if value == number:
                return name
        raise SchemeError(f"label scheme {self.name!r} has no structure with id {number}")

    def for_chain(self, structures: Iterable[str], cut: Collection[str] = ()) -> LabelScheme:
        """Adapt a scheme that counts from below to the structures of one spine; others are returned unchanged.

        Vertebrae in `cut` are only partly in view; they get ids of their own (`PARTLY`).

        >>> SPIDER.for_chain(["L4", "L5", "L6"])["L5"], SPIDER.for_chain(["L4", "sacrum"])["L4"]
        (2, 1)
        >>> SPIDER.for_chain(["T12", "L1", "L2"], cut=["T12"])["T12"]
        106
        """
        if not self.from_below:
            return self
        there = [body for body in reversed(BODIES) if body not in _absent(set(structures))]
        ids = {body: n for n, body in enumerate(there, start=1)}
        discs = {disc_below(body): 200 + n for body, n in ids.items()}
        ids = {body: n + PARTLY if body in cut else n for body, n in ids.items()} | discs | {CANAL: self.ids[CANAL]}
        return self if ids == self.ids else LabelScheme(self.name, ids, self.source, from_below=True)


def _absent(present: set[str]) -> set[str]:
    """Vertebrae that this spine does not have; one that is merely out of view is not absent."""
    absent = {"T13", "L6"} - present
    if "T11-L1" in present:
        absent.add("T12")
    if {SACRUM, "L4"} <= present and "L5" not in present:
        absent.add("L5")
    return absent


def _numbered(bodies: Iterable[str], numbers: Iterable[int]) -> dict[str, int]:
    return dict(zip(bodies, numbers, strict=True))


def _span(first: str, last: str) -> tuple[str, ...]:
    """Bodies from `first` to `last` in the usual spine (no T13, no L6), cranial to caudal."""
    usual = [body for body in BODIES if body not in ("T13", "L6")]
    return tuple(usual[usual.index(first) : usual.index(last) + 1])


def _discs(first: str, last: str) -> tuple[str, ...]:
    return tuple(disc_below(body) for body in _span(first, last))


_NINE = _numbered(_span("L1", "L5"), range(1, 6)) | _numbered(_discs("L1", "L4"), range(6, 10))

CASCADE = LabelScheme("cascade", _NINE, "Project Week 37: L1-L5 = 1..5, discs L1/L2-L4/L5 = 6..9, top to bottom")

CASCADE_EXTENDED = LabelScheme(
    "cascade-extended",
    _NINE
    | {"L5-S1": 10, "T12-L1": 11, "T12": 12, "T11": 13, "T10": 14, "T9": 15, "T8": 16}
    | {"T11-T12": 17, "T10-T11": 18, "T9-T10": 19, "T8-T9": 20}
    | {SACRUM: 21, "L6": 22, "L6-S1": 23, "T13": 24, "T13-L1": 25, CANAL: 26},
    "the nine of `cascade`, continued above and below",
)

VERSE = LabelScheme(
    "verse",
    _numbered(_span("T1", "L5"), range(8, 25))
    | {"L6": 25, SACRUM: 26, "T13": 28, CANAL: 61}
    | _numbered(_discs("T1", "L5"), range(108, 125))
    | {"L6-S1": 125, "T13-L1": 128},
    "VerSe 2019/2020 (Sekuboyina et al. 2021); discs and canal as in TPTBox: 100 + the vertebra above",
)

_UPWARD = tuple(reversed(_span("T1", "L5")))

SPIDER = LabelScheme(
    "spider",
    _numbered(_UPWARD, range(1, 18)) | {CANAL: 100} | _numbered(map(disc_below, _UPWARD), range(201, 218)),
    "SPIDER (van der Graaf et al. 2024): vertebrae from the lowest upward, disc = 200 + the vertebra above, a vertebra that is cut + 100",
    from_below=True,
)

TOTALSPINESEG = LabelScheme(
    "totalspineseg",
    _numbered(_span("T1", "T12"), range(21, 33))
    | _numbered(_span("L1", "L5"), range(41, 46))
    | {"L6": 46, SACRUM: 50, CANAL: 2}
    | _numbered(_discs("T1", "T11"), range(72, 83))
    | {"T12-L1": 91}
    | _numbered(_discs("L1", "L4"), range(92, 96))
    | {"L5-S1": 100},
    "TotalSpineSeg label table, step 2 output",
)

MRSPINESEG = LabelScheme(
    "mrspineseg",
    {SACRUM: 1} | _numbered(reversed(_span("T9", "L5")), range(2, 11)) | _numbered(reversed(_discs("T9", "L5")), range(11, 20)),
    "MRSpineSeg challenge: S = 1, L5 = 2 and upward to T9 = 10, L5/S1 = 11 and upward to T9/T10 = 19",
)

TOTALSEGMENTATOR_MR = LabelScheme(
    "totalsegmentator_mr",
    {SACRUM: 1} | _numbered(_UPWARD, range(2, 19)),
    "TotalSegmentator, task vertebrae_mr: sacrum = 1, L5 = 2 and upward; no discs",
)

#: The schemes by the name used on the command line.
SCHEMES: Mapping[str, LabelScheme] = MappingProxyType(
    {scheme.name: scheme for scheme in (CASCADE, CASCADE_EXTENDED, VERSE, SPIDER, TOTALSPINESEG, MRSPINESEG, TOTALSEGMENTATOR_MR)}
)


def get_scheme(scheme: str | LabelScheme) -> LabelScheme:
    """Return the scheme of this name, or `scheme` itself.

    Raises
    ------
    SchemeError
        No scheme has this name.

    Examples
    --------
    >>> get_scheme("verse")["L1"]
    20
    """
    if isinstance(scheme, LabelScheme):
        return scheme
    if scheme not in SCHEMES:
        raise SchemeError(f"no label scheme {scheme!r}; expected one of {', '.join(SCHEMES)}")
    return SCHEMES[scheme]


def rank(structure: str) -> float:
    """Position along the spine, growing from head to foot; a disc lies half a step below the vertebra above it.

    >>> sorted(["L5-S1", "sacrum", "T12", "L5", "T12-L1"], key=rank)
    ['T12', 'T12-L1', 'L5', 'L5-S1', 'sacrum']
    """
    if structure == SACRUM:
        return float(len(BODIES))
    if is_disc(structure):
        return BODIES.index(structure.split("-")[0]) + 0.5
    if structure not in BODIES:
        raise SchemeError(f"{structure!r} has no place in the chain of vertebrae and discs")
    return float(BODIES.index(structure))


def in_order(structures: Iterable[str]) -> list[str]:
    """The structures of the chain, from head to foot; what runs along it is left out.

    >>> in_order(["canal", "L1", "T12-L1", "T12"])
    ['T12', 'T12-L1', 'L1']
    """
    return sorted(filter(is_level, structures), key=rank)


def skipped(structures: Iterable[str]) -> tuple[str, ...]:
    """Levels that a set of labels passes over: bodies between labelled bodies, discs between labelled discs, cranial to caudal.

    A T13 or L6 is only expected where it is labelled. Where no body (no disc) is labelled at all, none is passed over.

    >>> skipped(["L1", "L2", "L4", "L1-L2", "L4-L5"])
    ('L2-L3', 'L3', 'L3-L4')
    >>> skipped(["T12", "L1", "L2"]), skipped(["L1-L2", "L3-L4"])
    ((), ('L2-L3',))
    """
    present = {_key(name) for name in structures if is_level(name)}
    if not present:
        return ()
    ranks = [rank(key) for key in present]
    kinds = {is_disc(key) for key in present if key != SACRUM}
    usual = [body for body in BODIES if body not in ("T13", "L6") or body in present]
    levels = [name for body, below in zip(usual, [*usual[1:], SACRUM], strict=True) for name in (body, disc_below(body, below))]
    return tuple(name for name in levels if min(ranks) < rank(name) < max(ranks) and is_disc(name) in kinds and _key(name) not in present)

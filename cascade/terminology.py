"""What structures are called elsewhere, SNOMED CT codes as DICOM SEG and 3D Slicer carry them, and their colours.

The codes are those of the DICOM content mapping resource (PS3.16). A structure without a code of its own (L6, T13 and
the discs below them) gets its parent's; its name stays in the segment's label.
"""

from __future__ import annotations

from typing import NamedTuple

from cascade.labels import CANAL, SACRUM, is_disc, rank


class Code(NamedTuple):
    """A coded concept of the coding scheme ``SCT`` (SNOMED CT)."""

    value: str
    meaning: str


CATEGORY = Code("123037004", "Anatomical Structure")
VERTEBRA = Code("51282000", "Vertebra")
DISC = Code("360499006", "Intervertebral disc")

#: Colours that people with colour blindness can tell apart (Okabe and Ito 2008); neighbours never share one.
_BODY_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0))
_DISC_COLOURS = ((240, 228, 66), (204, 121, 167))

_BODY_VALUES = {
    "T1": "64864005",
    "T2": "53733008",
    "T3": "1626008",
    "T4": "73071006",
    "T5": "56401006",
    "T6": "45296009",
    "T7": "62487009",
    "T8": "11068009",
    "T9": "82687006",
    "T10": "7610001",
    "T11": "12989004",
    "T12": "23215003",
    "L1": "66794005",
    "L2": "14293000",
    "L3": "36470004",
    "L4": "11994002",
    "L5": "49668003",
}
_DISC_VALUES = {
    "T1-T2": "40908007",
    "T2-T3": "6004007",
    "T3-T4": "2620004",
    "T4-T5": "82965004",
    "T5-T6": "72692000",
    "T6-T7": "74401007",
    "T7-T8": "28693002",
    "T8-T9": "9188009",
    "T9-T10": "113209001",
    "T10-T11": "34959001",
    "T11-T12": "1537001",
    "T12-L1": "76206002",
    "L1-L2": "80064006",
    "L2-L3": "67459009",
    "L3-L4": "62551000",
    "L4-L5": "84020006",
    "L5-S1": "715056000",
}
_OTHERS = {SACRUM: Code("54735007", "Sacrum"), CANAL: Code("61853006", "Vertebral canal")}
_WORDS = {SACRUM: "S1 vertebral body", CANAL: "Vertebral canal"}
#: Of what has no level.
_OTHER_COLOURS = {CANAL: (153, 153, 153)}


def code_of(structure: str) -> Code:
    """The code of a structure, or its parent's where it has none of its own.

    >>> code_of("L4"), code_of("L4-L5")
    (Code(value='11994002', meaning='L4 vertebra'), Code(value='84020006', meaning='L4/L5 disc'))
    >>> code_of("L6"), code_of("L5-L6")
    (Code(value='51282000', meaning='Vertebra'), Code(value='360499006', meaning='Intervertebral disc'))
    """
    if structure in _OTHERS:
        return _OTHERS[structure]
    if is_disc(structure):
        value = _DISC_VALUES.get(structure)
        return Code(value, f"{structure.replace('-', '/')} disc") if value else DISC
    value = _BODY_VALUES.get(structure)
    return Code(value, f"{structure} vertebra") if value else VERTEBRA


def description_of(structure: str) -> str:
    """What a structure is, in words: for people who read a segment list.

    >>> description_of("sacrum"), description_of("L4"), description_of("L4-L5")
    ('S1 vertebral body', 'L4 vertebral body', 'L4/L5 intervertebral disc')
    """
    if structure in _WORDS:
        return _WORDS[structure]
    return f"{structure.replace('-', '/')} intervertebral disc" if is_disc(structure) else f"{structure} vertebral body"


def colour_of(structure: str) -> tuple[int, int, int]:
    """The colour of a structure, red, green, blue from 0 to 255; the same in every picture."""
    if structure in _OTHER_COLOURS:
        return _OTHER_COLOURS[structure]
    palette = _DISC_COLOURS if is_disc(structure) else _BODY_COLOURS
    return palette[int(rank(structure)) % len(palette)]

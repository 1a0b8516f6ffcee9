"""Notes, warnings and alarms: what a person should know about a result, under stable codes, which are all in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType
from typing import Literal, get_args

About = Literal["names", "structure", "scan", "case"]
#: note: good to know, nothing to do; warning: look at the result; alarm: do not use it without having looked, it may well be wrong.
Rank = Literal["note", "warning", "alarm"]
RANKS: tuple[Rank, ...] = get_args(Rank)


@dataclass(frozen=True)
class Meaning:
    """What a code means.

    Parameters
    ----------
    about : {"names", "structure", "scan", "case"}
        The names of the levels, a single structure, the scan and its files, or a labelled case.
    rank : {"note", "warning", "alarm"}
        Unless a notice says otherwise.
    text : str
    """

    about: About
    rank: Rank
    text: str


#: The way out where nobody knows how the axes run.
HOW_TO_PLACE = "if they run otherwise names and sides are wrong: convert the scan again, or say how they run (docs/formats.md)"

#: Every code of a warning. ``docs/warnings.md`` says more about each.
CODES: Mapping[str, Meaning] = MappingProxyType(
    {
        "numbering-uncertain": Meaning("names", "alarm", "the names are not sure"),
        "no-sacrum-in-view": Meaning("names", "warning", "no sacrum was found, and the field of view ends below the last body"),
        "possible-lstv": Meaning("names", "warning", "a transitional vertebra, or another number of lumbar vertebrae, is possible"),
        "lumbar-count-6": Meaning("names", "warning", "six lumbar vertebrae are named"),
        "lumbar-count-4": Meaning("names", "warning", "four lumbar vertebrae are named"),
        "missing-body": Meaning("names", "alarm", "a body between two others was not found"),
        "axial-alone": Meaning("names", "warning", "axial slices were segmented without a sagittal series"),
        "series-disagree": Meaning("names", "alarm", "a series of a study would alone be named otherwise, without doubt"),
        "series-not-matched": Meaning("names", "warning", "a series of a study could not be matched with the others; it is named alone"),
        "cut-by-border": Meaning("structure", "note", "the field of view cuts the structure"),
        "body-split": Meaning("structure", "warning", "the body was fused with a neighbour and has been cut apart"),
        "missing-disc": Meaning("structure", "warning", "no disc was found between two bodies"),
        "stray-component-removed": Meaning("structure", "note", "something that is no part of the chain was left out"),
        "click-without-effect": Meaning("scan", "warning", "a click asks for something that is so already, or not there"),
        "few-slices": Meaning("scan", "note", "the outer parts of the spine are not in view"),
        "not-finite": Meaning("scan", "warning", "some voxels are NaN or infinite"),
        "stage1-low-confidence": Meaning("scan", "alarm", "the column was located, but not surely"),
        "unknown-contrast": Meaning("scan", "note", "more of the column was found with an equalised histogram"),
        "forms-disagree": Meaning("scan", "warning", "two ways in which a header places the scan disagree"),
        "header-mended": Meaning("scan", "warning", "something in a header cannot be as it stands"),
        "spacing-disagrees": Meaning("scan", "warning", "a header says two voxel spacings"),
        "slices-missing": Meaning("scan", "warning", "slices inside the series are missing and interpolated"),
        "duplicate-slices": Meaning("scan", "note", "slices are there more than once"),
        "dicom-incomplete": Meaning("scan", "warning", "DICOM files lack something that was assumed"),
        "dicom-repaired": Meaning("scan", "note", "values of DICOM headers were put right in what is written"),
        "no-orientation": Meaning("scan", "alarm", "the header gives no orientation"),
        "no-spacing": Meaning("scan", "warning", "the header gives no distance between voxels"),
        "series-moved": Meaning("scan", "warning", "the patient lies elsewhere than in the other series of the study"),
        "series-not-segmented": Meaning("scan", "warning", "a series of a study was not segmented"),
        "slices-not-reached": Meaning("scan", "note", "axial slices lie where no sagittal result reaches"),
        "structures-not-in-scheme": Meaning("scan", "note", "the label scheme has no number for some structures"),
        "scored-as-empty": Meaning("case", "alarm", "the prediction cannot be used"),
        "values-not-in-scheme": Meaning("case", "warning", "values of the prediction mean nothing in its scheme"),
        "bodies-cut": Meaning("case", "warning", "whole vertebrae were cut to bodies along the canal"),
        "scheme-recognised": Meaning("case", "note", "nobody said the label scheme; it was recognised"),
        "scheme-doubtful": Meaning("case", "warning", "the numbers look like those of another label scheme"),
        "case-not-used": Meaning("case", "warning", "the case cannot be trained on"),
    }
)


@dataclass(frozen=True)
class Notice:
    """A note, a warning or an alarm.

    Parameters
    ----------
    code : str
        A key of `CODES`, for machines.
    level : str or None
        The structure that it is about.
    text : str
        For people.
    rank : {"note", "warning", "alarm"}, optional
        By default that of the code.

    Raises
    ------
    ValueError
        There is no such code or rank.

    Examples
    --------
    >>> Notice("few-slices", None, "only 7 slices").rank
    'note'
    """

    code: str
    level: str | None
    text: str
    rank: Rank = ""  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"expected a code of {__name__}.CODES; found {self.code!r}")
        if not self.rank:
            object.__setattr__(self, "rank", CODES[self.code].rank)
        elif self.rank not in RANKS:
            raise ValueError(f"expected one of {', '.join(RANKS)}; found {self.rank!r}")

    @property
    def is_for_looking(self) -> bool:
        """Whether somebody should look at the result because of it: a warning or an alarm."""
        return self.rank != "note"


def count_of(number: int, noun: str, plural: str = "") -> str:
    """A number of things, for people.

    Examples
    --------
    >>> count_of(1, "scan"), count_of(0, "scan"), count_of(2, "body", "bodies")
    ('1 scan', '0 scans', '2 bodies')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or f'{noun}s'}"


def rounded_down(probability: float, decimals: int = 2) -> str:
    """A probability for people, rounded down: only what is certain reads as 1.

    Examples
    --------
    >>> rounded_down(0.9982), rounded_down(0.29), rounded_down(1.0)
    ('0.99', '0.29', '1.00')
    """
    return str(Decimal(str(float(probability))).quantize(Decimal(10) ** -decimals, ROUND_DOWN))


def percent(probability: float, decimals: int = 0) -> str:
    """The same in per cent.

    Examples
    --------
    >>> percent(0.9982), percent(0.9982, 1), percent(0.999999), percent(1.0)
    ('99%', '99.8%', '99%', '100%')
    """
    return f"{Decimal(rounded_down(probability, decimals + 2)) * 100:.{decimals}f}%"

"""Warnings: what a person should know about a result, under stable codes, which are all in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from types import MappingProxyType
from typing import Literal

About = Literal["names", "structure", "scan", "case"]


@dataclass(frozen=True)
class Meaning:
    """What a code means.

    Parameters
    ----------
    about : {"names", "structure", "scan", "case"}
        The names of the levels, a single structure, the scan and its files, or a labelled case.
    text : str
    """

    about: About
    text: str


#: Every code of a warning. ``docs/warnings.md`` says more about each.
CODES: Mapping[str, Meaning] = MappingProxyType(
    {
        "numbering-uncertain": Meaning("names", "the names are not sure"),
        "no-sacrum-in-view": Meaning("names", "no sacrum was found, and the field of view ends below the last body"),
        "possible-lstv": Meaning("names", "a transitional vertebra, or another number of lumbar vertebrae, is possible"),
        "lumbar-count-6": Meaning("names", "six lumbar vertebrae are named"),
        "lumbar-count-4": Meaning("names", "four lumbar vertebrae are named"),
        "missing-body": Meaning("names", "a body between two others was not found"),
        "axial-alone": Meaning("names", "axial slices were segmented without a sagittal series"),
        "series-disagree": Meaning("names", "a series of a study would alone be named otherwise, without doubt"),
        "series-not-matched": Meaning("names", "a series of a study could not be matched with the others and is named by itself"),
        "cut-by-border": Meaning("structure", "the field of view cuts the structure"),
        "body-split": Meaning("structure", "the body was fused with a neighbour and has been cut apart"),
        "missing-disc": Meaning("structure", "no disc was found between two bodies"),
        "stray-component-removed": Meaning("structure", "something that is no part of the chain was left out"),
        "click-without-effect": Meaning("scan", "a click asks for something that is so already, or not there"),
        "few-slices": Meaning("scan", "the outer parts of the spine are not in view"),
        "not-finite": Meaning("scan", "some voxels are NaN or infinite"),
        "stage1-low-confidence": Meaning("scan", "the column was located, but not surely"),
        "forms-disagree": Meaning("scan", "two ways in which a header places the scan disagree"),
        "header-mended": Meaning("scan", "something in a header cannot be as it stands"),
        "spacing-disagrees": Meaning("scan", "a header says two voxel spacings"),
        "slices-missing": Meaning("scan", "slices inside the series are missing and interpolated"),
        "duplicate-slices": Meaning("scan", "slices are there more than once"),
        "dicom-incomplete": Meaning("scan", "DICOM files lack something that was assumed"),
        "dicom-repaired": Meaning("scan", "values of DICOM headers were put right in what is written"),
        "no-orientation": Meaning("scan", "the header gives no orientation"),
        "no-spacing": Meaning("scan", "the header gives no distance between voxels"),
        "series-moved": Meaning("scan", "the patient lies elsewhere than in the other series of the study"),
        "series-not-segmented": Meaning("scan", "a series of a study was not segmented"),
        "slices-not-reached": Meaning("scan", "axial slices lie where no sagittal result reaches"),
        "structures-not-in-scheme": Meaning("scan", "the label scheme has no number for some structures"),
        "scored-as-empty": Meaning("case", "the prediction cannot be used"),
        "values-not-in-scheme": Meaning("case", "values of the prediction mean nothing in its scheme"),
        "bodies-cut": Meaning("case", "whole vertebrae were cut to bodies along the canal"),
        "scheme-recognised": Meaning("case", "nobody said the label scheme; it was recognised"),
        "scheme-doubtful": Meaning("case", "the numbers look like those of another label scheme"),
        "case-not-used": Meaning("case", "the case cannot be trained on"),
    }
)


@dataclass(frozen=True)
class Notice:
    """A warning.

    Parameters
    ----------
    code : str
        A key of `CODES`, for machines.
    level : str or None
        The structure that it is about.
    text : str
        For people.

    Raises
    ------
    ValueError
        There is no such code.
    """

    code: str
    level: str | None
    text: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"expected a code of {__name__}.CODES; found {self.code!r}")


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

"""What can be wrong with a case of somebody else's data set, under stable codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Code:
    """What a code means, and what is done about it.

    An ``error`` leaves the case out, a ``warning`` needs a look, a ``note`` records a decision.
    """

    severity: Severity
    meaning: str


#: Every code that ``problems.json`` can hold. The table of the documentation repeats it.
CODES: Mapping[str, Code] = MappingProxyType(
    {
        "unreadable": Code("error", "a file cannot be read; the case is left out"),
        "no-image": Code("error", "no image of the wanted sequence; the case is left out"),
        "no-labels": Code("error", "no usable label; the case is left out"),
        "image-constant": Code("error", "every voxel of the image has the same value; the case is left out"),
        "grey-labels": Code("error", "tags were blended by an interpolation and cannot be told apart; the case is left out"),
        "scheme-unknown": Code("error", "the tags follow no known label scheme, or another than the other cases; the case is left out"),
        "mask-outside": Code("error", "most of a label lies outside the image; the case is left out"),
        "bodies-not-separable": Code("error", "one tag for several bodies, and they cannot be told apart; the case is left out"),
        "axes-implausible": Code("error", "the labelled chain does not run from head to foot; the case is left out"),
        "level-not-in-scheme": Code("error", "the label scheme has no number for a vertebra inside the chain; the case is left out"),
        "duplicate-case": Code("error", "two sources would get the same case name; the later one is left out"),
        "output-exists": Code("error", "the output is there and is not of this run; nothing is overwritten"),
        "axis-repaired": Code("warning", "an axis runs against the header, by the evidence given; image and labels were turned"),
        "axis-uncertain": Code("warning", "the evidence about an axis is missing or contradicts itself; the header is believed"),
        "mask-missing": Code("warning", "an expected mask is not there; its structure is listed as unlabelled"),
        "mask-empty": Code("warning", "a mask holds no voxel; its structure is listed as unlabelled"),
        "mask-grey": Code("warning", "a mask of one structure has grey edges; it was thresholded at half its maximum"),
        "mask-refused": Code("warning", "a mask of one structure is grey throughout; it is not used and its structure is unlabelled"),
        "mask-resampled": Code("warning", "a mask lies on another grid; the nearest voxel was taken onto the image's grid"),
        "mask-header": Code("warning", "a mask has the image's shape but a header that puts it elsewhere; it was taken voxel by voxel"),
        "masks-overlap": Code("warning", "two masks claim the same voxels; these go to the smaller structure"),
        "several-images": Code("warning", "more than one image fits; the first was taken"),
        "duplicate-patient": Code("warning", "two cases have the same image; they are taken for one patient, so that no split parts them"),
        "duplicate-mask": Code("warning", "two masks of one structure; the first was taken"),
        "unknown-tags": Code("warning", "tags without a structure; their voxels are left unlabelled"),
        "scheme-doubtful": Code("warning", "by order, distances and shapes the tags are those of another label scheme than was said"),
        "tags-scattered": Code("warning", "a structure consists of several pieces"),
        "structures-not-in-scheme": Code("warning", "the label scheme has no number for a structure; it is left out"),
        "body-count": Code("warning", "not the number of bodies that the data set announces"),
        "fragments": Code("warning", "pieces of a mask that belong to no body; those near one join it, others are left out"),
        "name-order": Code("warning", "names do not follow each other from head to foot"),
        "not-finite": Code("warning", "NaN or infinite voxels; they got the image's lowest value"),
        "forms-disagree": Code("warning", "the header's sform and qform disagree; the sform is used"),
        "no-orientation": Code("warning", "the header gives no orientation; the axes are taken as the format's reader usually does"),
        "no-spacing": Code("warning", "a MetaImage or NRRD header gives no distance between voxels; 1 mm is taken"),
        "header-mended": Code("warning", "something in a NIfTI header cannot be as it stands; the text says what is taken instead"),
        "spacing-disagrees": Code("warning", "pixdim of a NIfTI header contradicts the form that is used"),
        "slices-missing": Code("warning", "slices are missing inside a DICOM series; they are interpolated from their neighbours"),
        "duplicate-slices": Code("warning", "DICOM files repeat a slice; each slice is used once"),
        "partly-visible": Code("note", "a vertebra is cut by the border of the field of view"),
        "whole-vertebrae": Code("note", "labels are whole vertebrae, not bodies; --bodies cuts them along the canal"),
        "bodies-cut": Code("note", "whole vertebrae were cut to bodies along the canal"),
        "position-unknown": Code("note", "the header records no position; the world's origin was put into the middle of the scan"),
        "sequence-assumed": Code("note", "the file name says no sequence; the only image was taken"),
        "scheme-recognised": Code("note", "the label scheme of the tags was recognised by order, distances and shapes of the structures"),
        "unused-file": Code("note", "a file has no place in the data set as it is understood here"),
    }
)


@dataclass(frozen=True)
class Problem:
    """One finding.

    Parameters
    ----------
    case : str
        Name of the case, or the file or folder where there is no case yet.
    code : str
        A key of `CODES`.
    text : str
        What was found, in numbers.
    """

    case: str
    code: str
    text: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return CODES[self.code].severity

    def to_dict(self) -> dict[str, str]:
        """Plain types, ready for JSON."""
        return {"case": self.case, "code": self.code, "severity": self.severity, "text": self.text}


@dataclass
class Log:
    """The problems of one case, in the order they were met."""

    case: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, code: str, text: str) -> None:
        """Note a problem."""
        if code not in CODES:
            raise KeyError(code)
        self.problems.append(Problem(self.case, code, text))

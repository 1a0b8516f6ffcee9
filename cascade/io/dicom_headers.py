"""What a DICOM object that we write repeats of its source series, checked and put right before anything is computed.

Anonymisers and old archives leave headers that no writer of the standard takes. Where one reading is left, a value is put right
(``m`` to ``M``, ``10:10:10`` to ``101010``), where none is, it is left empty; what names the images cannot be made up.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from pydicom import config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, MRImageStorage, generate_uid
from pydicom.valuerep import validate_value

from cascade.errors import InputError
from cascade.io.dicom_files import DAMAGED, attribute, quiet

#: Without these nothing can refer to an image.
_NAMING = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
#: Attributes that every DICOM image has, if only empty, and anonymised ones sometimes lack.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
#: Attributes that take one of a few values.
_VALUES = {"PatientSex": ("M", "F", "O"), "Modality": ("MR",)}
#: Value representations of text, dates and numbers, which people and programs get wrong.
_CHECKED = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"])
_UTF8 = "ISO_IR 192"


def referable(datasets: Sequence[Dataset], step_mm: float, name: str) -> tuple[list[Dataset], tuple[str, ...]]:
    """Return copies of the headers of a series to which other objects can refer, and the keywords of what was put right.

    Parameters
    ----------
    datasets : sequence of Dataset
        One a slice, or one multi-frame image, without pixels. They stay as they are.
    step_mm : float
        Distance of the slices by their positions, which is repeated instead of what the headers say.
    name : str
        Of the scan, for messages.

    Raises
    ------
    InputError
        A UID that names study, series or image is missing, wrong, or not one for all (not one each); the message names the attribute.
    """
    for keyword in _NAMING:
        values = [str(attribute(dataset, keyword, "")) for dataset in datasets]
        if not all(UID(value, config.IGNORE).is_valid for value in values):
            raise InputError(f"{name}: expected a {keyword} in every file, to which a DICOM object can refer; {_INSTEAD}")
        if len(set(values)) != (len(values) if keyword == "SOPInstanceUID" else 1):
            raise InputError(f"{name}: expected {'one' if keyword != 'SOPInstanceUID' else 'another'} {keyword} in every file; {_INSTEAD}")
    frames = {str(attribute(dataset, "FrameOfReferenceUID", "")) for dataset in datasets}
    if len(frames) > 1:
        raise InputError(f"{name}: expected one FrameOfReferenceUID in every file; {_INSTEAD}")
    repaired: dict[str, None] = {}
    headers = [_put_right(dataset, step_mm, repaired) for dataset in datasets]
    return headers, tuple(repaired)


_INSTEAD = "export the original series again, or write .seg.nrrd or .nii.gz"


def _put_right(dataset: Dataset, step_mm: float, repaired: dict[str, None]) -> Dataset:
    """A shallow copy with sound values; adds the keywords of what was changed to `repaired`."""
    with quiet():
        header = copy.copy(dataset)
        _to_utf8(header, repaired)
        for keyword in [*header.dir()]:
            _put_value_right(header, keyword, repaired)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in header:
            setattr(header, keyword, "")
    for keyword, value in (
        ("SOPClassUID", MRImageStorage),
        ("FrameOfReferenceUID", generate_uid(entropy_srcs=[str(header.SeriesInstanceUID), "frame of reference"])),
        ("Modality", "MR"),
    ):
        if not attribute(header, keyword):
            setattr(header, keyword, value)
            repaired[keyword] = None
    if not attribute(header, "SliceThickness"):
        header.SliceThickness = step_mm
    if "SpacingBetweenSlices" in header:
        header.SpacingBetweenSlices = step_mm
    return header


def _to_utf8(header: Dataset, repaired: dict[str, None]) -> None:
    """Decode all text, so that one character set holds it: writers know fewer sets than the standard."""
    charset = attribute(header, "SpecificCharacterSet")
    if charset in (None, _UTF8):
        return
    try:
        header.decode()
    except (*DAMAGED, UnicodeError):
        repaired["SpecificCharacterSet"] = None
    if not all(one in python_encoding or one == "" for one in ([charset] if isinstance(charset, str) else charset)):
        repaired["SpecificCharacterSet"] = None
    header["SpecificCharacterSet"] = DataElement(0x00080005, "CS", _UTF8)


def _put_value_right(header: Dataset, keyword: str, repaired: dict[str, None]) -> None:
    """Leave a value that its attribute's type allows as it is; put it right or leave it empty otherwise."""
    try:
        element = header[keyword]
    except DAMAGED:
        del header[keyword]
        repaired[keyword] = None
        return
    usual = dictionary_VR(element.tag)
    if element.VR in usual.split(" or ") and (element.VR not in _CHECKED or element.is_empty or _is_sound(element)):
        return
    repaired[keyword] = None
    if usual not in _CHECKED:
        del header[keyword]
        return
    header[keyword] = _element(element, usual, _mended(element, usual))
    if not _is_sound(header[keyword]):
        header[keyword] = _element(element, usual, None)


def _element(element: DataElement, vr: str, value: str | None) -> DataElement:
    try:
        return DataElement(element.tag, vr, value)
    except DAMAGED:
        return DataElement(element.tag, vr, None)


def _is_sound(element: DataElement) -> bool:
    if element.keyword in _VALUES and element.value not in (*_VALUES[element.keyword], "", None):
        return False
    values = element.value if element.VM > 1 else [element.value]
    try:
        for value in values:
            validate_value(element.VR, str(value) if value is not None else "", config.RAISE)
    except DAMAGED:
        return False
    return True


def _mended(element: DataElement, vr: str) -> str | None:
    """Another writing of the same values, as the standard wants it; None if there is none."""
    values = element.value if element.VM > 1 else [element.value]
    texts = [_mended_text(vr, str(value).strip()) for value in values]
    return None if None in texts else "\\".join(filter(None, texts))


def _mended_text(vr: str, text: str) -> str | None:
    if vr == "CS":
        return text.upper()
    if vr == "DA":  # the older standard wrote dates with dots, people write them with dashes
        found = re.fullmatch(r"(\d{4})[-./](\d{2})[-./](\d{2})", text)
        return "".join(found.groups()) if found else None
    if vr == "TM":
        return re.sub(r"^(\d{2}):(\d{2}):(\d{2})", r"\1\2\3", text)
    return text

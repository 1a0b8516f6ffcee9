"""What a NIfTI header says about place and scale: what is believed, what is mended with a note, what is refused.

The rule stands in ``docs/formats.md``. In short: the sform if it is given and sound, else the qform, else the voxel spacing alone; a
form of code 0 is never looked at. Whatever is mended is mended in the header too, so that label files repeat what was believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from cascade.errors import InputError
from cascade.notices import HOW_TO_PLACE, Notice
from cascade.volume import MAX_EXTENT_MM, MIN_EXTENT_MM, FloatArray, Grid, Shape

#: Forms, or spacings, that put a voxel farther apart than this anywhere in the field of view are reported.
FORM_TOLERANCE_MM = 0.1
#: Codes that the standard knows: unknown, scanner, aligned, Talairach, MNI, template.
_LAST_CODE = 5
#: Millimetres of a unit, by the lower three bits of xyzt_units: unknown, metre, millimetre, micron.
_UNIT_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 3: "microns"}
#: A quaternion is too long by so much where it was rounded to three digits; one that is longer is no rotation.
_FEW_DIGITS = 1e-3

_FIELDS = {
    "sform": ("srow_x", "srow_y", "srow_z"),
    "qform": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
}


@dataclass(frozen=True)
class Placement:
    """Where a header puts its voxels.

    Parameters
    ----------
    grid : Grid
        In mm, whatever the unit of the file.
    notices : tuple of Notice
        What was mended or contradicts itself.
    """

    grid: Grid
    notices: tuple[Notice, ...]


@dataclass(frozen=True)
class _Form:
    """One of the two forms: its affine in the file's unit, and why it cannot be used."""

    name: str
    is_given: bool
    affine: FloatArray
    flaw: str = ""


def place_voxels(header: Nifti1Header, shape: Shape) -> Placement:
    """Decide where the voxels are, and mend the header so that it says the same.

    Parameters
    ----------
    header : Nifti1Header or Nifti2Header
        As it stands in the file; changed in place.
    shape : (3,) tuple of int

    Raises
    ------
    InputError
        No form is sound, or the voxel spacing is needed and not positive.
    """
    notices = [_mended(text) for text in (*_mend_offset(header), *_mend_codes(header), *_mend_scaling(header))]
    forms = (_sform(header), _qform(header))
    sound = [form for form in forms if form.is_given and not form.flaw]
    flawed = [form for form in forms if form.flaw]
    if not sound and any(form.is_given for form in flawed):
        raise InputError(f"expected {' and '.join(form.flaw for form in flawed if form.is_given)}; correct the header")
    for form in flawed:
        _blank(header, form.name)
        if form.is_given:
            notices.append(_mended(f"the {form.name} cannot be used (expected {form.flaw}); the {sound[0].name} is used"))
    if not sound:
        notices.append(
            Notice("no-orientation", None, f"the codes of both forms are 0; the axes are taken as left, front, head; {HOW_TO_PLACE}")
        )
    chosen = sound[0] if sound else _Form("voxel spacing", True, _spacing_alone(header))
    unit_mm, unit_notices = _unit(header, chosen.affine, shape)
    grid = Grid(shape, np.diag([unit_mm] * 3 + [1.0]) @ chosen.affine)
    notices += [*unit_notices, *_spacing_notices(header, chosen, grid, unit_mm), *_form_notices(sound, grid, unit_mm)]
    return Placement(grid, tuple(notices))


def _blank(header: Nifti1Header, name: str) -> None:
    """Take what cannot be used out of the header, so that no program stumbles over it in a label file."""
    header[f"{name}_code"] = 0
    for field in _FIELDS[name]:
        header[field] = 0


def _mended(text: str) -> Notice:
    return Notice("header-mended", None, text)


def _mend_codes(header: Nifti1Header) -> Iterator[str]:
    """Codes beyond the standard: below 0 is no code; above 5 a form is given, in some space."""
    for name in ("sform_code", "qform_code"):
        if not 0 <= (code := int(header[name])) <= _LAST_CODE:
            header[name] = 0 if code < 0 else 1
            yield f"{name} is {code}, which the standard does not know; it is taken as {int(header[name])}"


def _mend_offset(header: Nifti1Header) -> Iterator[str]:
    """Voxels that are said to lie inside the header lie behind it."""
    if (offset := float(header["vox_offset"])) < header.single_vox_offset:
        header["vox_offset"] = header.single_vox_offset
        yield f"vox_offset is {offset:g}, which is inside the header; {header.single_vox_offset} is taken"


def _mend_scaling(header: Nifti1Header) -> Iterator[str]:
    """An intercept that is no number, with a slope that is one."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite(slope) and slope and not np.isfinite(intercept):
        header["scl_inter"] = 0
        yield f"scl_inter is {intercept}; it is taken as 0"


def _sform(header: Nifti1Header) -> _Form:
    affine = np.eye(4)
    affine[:3] = [header[field] for field in _FIELDS["sform"]]
    return _Form("sform", bool(header["sform_code"]), affine, _flaw("sform", affine))


def _qform(header: Nifti1Header) -> _Form:
    """The qform, its quaternion shortened to one where it is a little longer, as nifti1_io does."""
    if header["pixdim"][0] != -1:
        header["pixdim"][0] = 1
    is_given = bool(header["qform_code"])
    fields = _FIELDS["qform"][:3]
    length = math.hypot(*(float(header[field]) for field in fields))
    if not length <= 1 + _FEW_DIGITS:
        return _Form("qform", is_given, np.eye(4), f"a qform that is a rotation; its quaternion has a length of {length:.4g}")
    if not _is_positive(_pixdim(header)):
        return _Form("qform", is_given, np.eye(4), f"a positive voxel spacing for the qform; pixdim says {_listed(_pixdim(header))}")
    if length > 1:
        for field in fields:
            header[field] = float(header[field]) / length
    affine = header.get_qform()
    return _Form("qform", is_given, affine, _flaw("qform", affine))


def _flaw(name: str, affine: FloatArray) -> str:
    try:
        Grid((1, 1, 1), affine)
    except InputError as error:
        return f"{str(error).removeprefix('expected ')} ({name})"
    return ""


def _spacing_alone(header: Nifti1Header) -> FloatArray:
    """As nibabel and SPM place such a file: the first axis to the left, the origin in the middle."""
    if not _is_positive(_pixdim(header)):
        raise InputError(f"expected a positive voxel spacing; the header says {_listed(_pixdim(header))} mm; correct the header")
    affine: FloatArray = header.get_base_affine()
    return affine


def _unit(header: Nifti1Header, affine: FloatArray, shape: Shape) -> tuple[float, list[Notice]]:
    """Millimetres of the file's unit: the stated one, unless only millimetres make it a scan."""
    code = int(header["xyzt_units"]) & 7
    if code not in _UNIT_MM:
        header["xyzt_units"] = int(header["xyzt_units"]) - code + 2
        return 1.0, [_mended(f"xyzt_units names no unit of length ({code}); mm are taken")]
    length = float((np.linalg.norm(affine[:3, :3], axis=0) * shape).max())
    if (unit_mm := believed_unit_mm(_UNIT_MM[code], length)) == _UNIT_MM[code]:
        return unit_mm, []
    header["xyzt_units"] = int(header["xyzt_units"]) - code + 2
    return 1.0, [_mended(f"xyzt_units says {_UNIT_NAMES[code]}, which would be {length * _UNIT_MM[code]:.4g} mm in all; mm are taken")]


def believed_unit_mm(stated_mm: float, length: float) -> float:
    """Millimetres of the unit that a header states, unless only millimetres make `length` that of a scan."""
    stated, plain = (MIN_EXTENT_MM <= length * unit <= MAX_EXTENT_MM for unit in (stated_mm, 1.0))
    return 1.0 if plain and not stated else stated_mm


def _spacing_notices(header: Nifti1Header, chosen: _Form, grid: Grid, unit_mm: float) -> list[Notice]:
    """Other programs take the spacing from pixdim."""
    with np.errstate(over="ignore", invalid="ignore"):
        stated = _pixdim(header) * unit_mm
        apart = np.abs(stated - grid.spacing_mm) * grid.shape
    if not _is_positive(stated):
        header["pixdim"][1:4] = np.asarray(grid.spacing_mm) / unit_mm
        return [_mended(f"pixdim says {_listed(stated)} mm; the spacing of the {chosen.name} is used")]
    if apart.max() <= FORM_TOLERANCE_MM:
        return []
    percent = 100 * (grid.voxel_mm3 / float(stated.prod()) - 1)
    text = f"pixdim says {_listed(stated)} mm, the {chosen.name} {_listed(grid.spacing_mm)} mm; the {chosen.name} is used"
    return [Notice("spacing-disagrees", None, f"{text}, by which volumes are {percent:+.1f} %")]


def _form_notices(sound: list[_Form], grid: Grid, unit_mm: float) -> list[Notice]:
    if len(sound) < 2:
        return []
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1)
    difference = (sound[0].affine - sound[1].affine)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    apart = unit_mm * float(np.abs(difference).max())
    if apart <= FORM_TOLERANCE_MM:
        return []
    return [Notice("forms-disagree", None, f"sform and qform place the scan up to {apart:.1f} mm apart; the sform is used")]


def _pixdim(header: Nifti1Header) -> NDArray[np.float64]:
    return np.asarray(header["pixdim"][1:4], dtype=np.float64)


def _is_positive(spacing: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(spacing).all() and (spacing > 0).all())


def _listed(numbers: object) -> str:
    return " x ".join(f"{number:.4g}" for number in np.asarray(numbers).tolist())

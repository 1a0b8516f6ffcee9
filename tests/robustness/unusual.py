"""Scans as other programs write them, and as people name and link them, all made from one clean scan.

``python -m tests.robustness.unusual OUT [CLEAN.nii.gz]`` writes them all, by default from the phantom, beside ``clean.nii``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np

from cascade.phantom import PhantomSpec, render
from cascade.volume import Grid, Volume
from tests.synthetic import turned

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_NAN = float("nan")
#: Fields of a NIfTI-1 header: byte and struct format.
FIELDS = {
    "pixdim0": (76, "<f"),
    "pixdim": (80, "<3f"),
    "vox_offset": (108, "<f"),
    "scaling": (112, "<2f"),
    "xyzt_units": (123, "<B"),
    "codes": (252, "<2h"),
    "qform_code": (252, "<h"),
    "sform_code": (254, "<h"),
    "quaternion": (256, "<3f"),
    "qoffset": (268, "<3f"),
    "sform": (280, "<12f"),
}


def clean_scan() -> Volume:
    """The phantom as whole numbers up to 255, oblique, so that a wrong placement shows."""
    image, _ = render(PhantomSpec())
    data = np.clip(np.rint(image.data / np.percentile(image.data, 99.8) * 255), 0, 255).astype(np.float32)
    return Volume(data, turned(image.grid, (9.0, 0.0, 7.0)))


def clean_nifti(scan: Volume) -> bytes:
    """The clean scan as a NIfTI-1 file whose both forms say the same."""
    image = nib.Nifti1Image(scan.data.astype(np.uint8), scan.grid.vox2world)
    image.set_sform(scan.grid.vox2world, 1)
    image.set_qform(scan.grid.vox2world, 1)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def with_fields(content: bytes, **fields: Any) -> bytes:
    """A NIfTI-1 file with other values in some fields of `FIELDS`."""
    changed = bytearray(content)
    for name, value in fields.items():
        place, code = FIELDS[name]
        struct.pack_into(code, changed, place, *np.ravel(value).tolist())
    return bytes(changed)


# ---------------------------------------------------------------------------------------------- NIfTI


@dataclass(frozen=True)
class Unusual:
    """Header fields that are not as they should be.

    Parameters
    ----------
    fields : mapping
        As `with_fields` takes them; a callable gets the clean grid.
    warns : tuple of str
        Codes of the warnings that are right; the voxels lie where the clean scan has them.
    moved : bool
        The voxels lie elsewhere, as the header says.
    """

    fields: Mapping[str, Any]
    warns: tuple[str, ...] = ()
    moved: bool = False


def _spacing(grid: Grid, factor: object = 1.0) -> Any:
    return np.asarray(grid.spacing_mm) * factor


def _rows(grid: Grid, factor: float) -> Any:
    return grid.vox2world[:3] * factor


_BAD = ("header-mended",)
NIFTI: dict[str, Unusual] = {
    "qform_quaternion_slightly_over_1": Unusual({"quaternion": (0, 0, 1.0000008)}, ("forms-disagree",)),
    "qform_quaternion_over_1_by_few_digits": Unusual({"quaternion": (0, 0.001, 1.0)}, ("forms-disagree",)),
    "qform_quaternion_garbage_code0": Unusual({"qform_code": 0, "quaternion": (0.6, 0.6, 0.6)}),
    "qform_quaternion_nan_code0": Unusual({"qform_code": 0, "quaternion": (_NAN, 0, 0)}),
    "qform_quaternion_infinite_code0": Unusual({"qform_code": 0, "quaternion": (np.inf, 1e38, -1e38)}),
    "qform_offset_nan_code0": Unusual({"qform_code": 0, "qoffset": (_NAN, 0, 0)}),
    "sform_nan_code0": Unusual({"sform_code": 0, "sform": [_NAN] * 12}),
    "sform_zeros_code0": Unusual({"sform_code": 0, "sform": [0] * 12}),
    "qform_quaternion_garbage": Unusual({"quaternion": (0.6, 0.6, 0.6)}, _BAD),
    "qform_quaternion_nan": Unusual({"quaternion": (_NAN, 0, 0)}, _BAD),
    "qform_offset_nan": Unusual({"qoffset": (_NAN, 0, 0)}, _BAD),
    "qfac_nan": Unusual({"pixdim0": _NAN}),
    "qfac_zero": Unusual({"pixdim0": 0}),
    "sform_nan": Unusual({"sform": [_NAN] * 12}, _BAD),
    "sform_zeros": Unusual({"sform": [0] * 12}, _BAD),
    "sform_infinite_offset": Unusual({"sform": lambda grid: _rows(grid, 1) + [[0, 0, 0, np.inf]] * 3}, _BAD),
    "both_codes_0": Unusual({"codes": (0, 0)}, ("no-orientation",), moved=True),
    "both_codes_negative": Unusual({"codes": (-1, -7)}, ("header-mended", "header-mended", "no-orientation"), moved=True),
    "code_beyond_the_standard": Unusual({"sform_code": 77, "qform_code": 0}, _BAD),
    "sform_identity_pixdim_right": Unusual({"codes": (0, 2), "sform": np.eye(4)[:3]}, ("spacing-disagrees",), moved=True),
    "pixdim_isotropic_sform_right": Unusual({"qform_code": 0, "pixdim": (1, 1, 1)}, ("spacing-disagrees",)),
    "pixdim_slightly_off": Unusual({"qform_code": 0, "pixdim": lambda grid: _spacing(grid, (1.1, 1, 1))}, ("spacing-disagrees",)),
    "pixdim_rounded": Unusual({"qform_code": 0, "pixdim": lambda grid: np.round(_spacing(grid), 4)}),
    "negative_pixdim": Unusual({"pixdim": lambda grid: _spacing(grid, (-1, 1, 1))}, ("header-mended", "header-mended")),
    "zero_pixdim": Unusual({"qform_code": 0, "pixdim": (0, 0, 0)}, _BAD),
    "nan_pixdim": Unusual({"qform_code": 0, "pixdim": (_NAN, 1, 1)}, _BAD),
    "inter_nan": Unusual({"scaling": (1, _NAN)}, _BAD),
    "inter_infinite": Unusual({"scaling": (1, np.inf)}, _BAD),
    "slope_nan": Unusual({"scaling": (_NAN, _NAN)}),
    "slope_zero": Unusual({"scaling": (0, 7)}),
    "vox_offset_zero": Unusual({"vox_offset": 0}, _BAD),
    "vox_offset_too_small": Unusual({"vox_offset": 348}, _BAD),
    "metres": Unusual({"xyzt_units": 1, "pixdim": lambda g: _spacing(g, 1e-3), "sform": lambda g: _rows(g, 1e-3), "qform_code": 0}),
    "microns": Unusual({"xyzt_units": 3, "pixdim": lambda g: _spacing(g, 1e3), "sform": lambda g: _rows(g, 1e3), "qform_code": 0}),
    "metres_in_words_only": Unusual({"xyzt_units": 1}, _BAD),
    "microns_in_words_only": Unusual({"xyzt_units": 3 | 8}, _BAD),
    "unit_unknown": Unusual({"xyzt_units": 0}),
    "unit_junk": Unusual({"xyzt_units": 255}, _BAD),
}

#: What no rule can mend, and what is said.
NIFTI_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "only_qform_garbage": ({"sform_code": 0, "quaternion": (0.6, 0.6, 0.6)}, "qform that is a rotation.*length of 1.039"),
    "only_qform_nan": ({"sform_code": 0, "quaternion": (_NAN, 0, 0)}, "qform that is a rotation"),
    "only_qform_spacing_negative": ({"sform_code": 0, "pixdim": (-1, 1, 1)}, "positive voxel spacing for the qform"),
    "only_sform_zeros": ({"qform_code": 0, "sform": [0] * 12}, r"invertible affine.*\(sform\)"),
    "both_forms_nan": ({"sform": [_NAN] * 12, "quaternion": (_NAN, 0, 0)}, r"\(sform\) and a qform that is a rotation"),
    "no_form_no_spacing": ({"codes": (0, 0), "pixdim": (0, 0, 0)}, "positive voxel spacing"),
}


def unusual_nifti(scan: Volume, fields: Mapping[str, Any]) -> bytes:
    """The clean scan with some fields as `NIFTI` says them."""
    return with_fields(clean_nifti(scan), **{name: value(scan.grid) if callable(value) else value for name, value in fields.items()})

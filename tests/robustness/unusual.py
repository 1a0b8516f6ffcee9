"""Scans as other programs write them, and as people name and link them, all made from one clean scan.

``python -m tests.robustness.unusual OUT [CLEAN.nii.gz]`` writes them all, by default from the phantom, beside ``clean.nii``.
"""

from __future__ import annotations

import bz2
import gzip
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK

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


# ---------------------------------------------------------------------------------------------- MetaImage and NRRD


def _itk_image(scan: Volume) -> SimpleITK.Image:
    affine = _LPS @ scan.grid.vox2world
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(scan.data.astype(np.uint8).T))
    image.SetSpacing(scan.grid.spacing_mm)
    image.SetDirection((affine[:3, :3] / scan.grid.spacing_mm).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def written_by_itk(scan: Volume, path: Path, tags: Mapping[str, str]) -> Path:
    """The clean scan as SimpleITK writes it, with tags that it took from DICOM."""
    image = _itk_image(scan)
    for key, value in tags.items():
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, str(path), useCompression=path.suffix == ".mha")
    return path


TAGS = {"0008|0060": "MR", "0008|103e": "t2 sag", "0010|0010": "M\u00fcller^\u5c71\u7530", "0020|4000": "a = b: c", "my own key": "1 2 3"}
MANY_TAGS = TAGS | {f"{group:04x}|{element:04x}": "x" * 90 for group in range(1, 20) for element in range(0x1000, 0x1010)}


@dataclass(frozen=True)
class Text:
    """A text header and the voxels behind it, or beside it as `data`.

    Parameters
    ----------
    header, voxels : bytes
    data : str
        Name of a file beside it.
    warns, moved
        As in `Unusual`.
    """

    header: bytes
    voxels: bytes
    data: str = ""
    warns: tuple[str, ...] = ()
    moved: bool = False

    def write(self, path: Path) -> Path:
        """Write it, and its data file."""
        path.write_bytes(self.header + (b"" if self.data else self.voxels))
        if self.data:
            path.with_name(self.data).write_bytes(self.voxels)
        return path


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.9g}" for value in np.ravel(values))


def metaimages(scan: Volume) -> dict[str, Text]:
    """MetaImage headers that ITK reads."""
    affine, spacing = _LPS @ scan.grid.vox2world, np.asarray(scan.grid.spacing_mm)
    matrix = [_numbers(axis) for axis in (affine[:3, :3] / spacing).T]
    start = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", "CompressedData = False"]
    turn, place = f"TransformMatrix = {' '.join(matrix)}", f"Offset = {_numbers(affine[:3, 3])}"
    step, centre = f"ElementSpacing = {_numbers(spacing)}", "CenterOfRotation = 0 0 0"
    size, kind = f"DimSize = {_numbers(scan.grid.shape)}", "ElementType = MET_UCHAR"
    voxels = scan.data.astype(np.uint8).T.tobytes()

    def made(*lines: str, data: str = "", local: str = "ElementDataFile = LOCAL", **more: Any) -> Text:
        end = f"ElementDataFile = {data}" if data else local
        return Text(("\n".join([*start, *lines, end]) + "\n").encode(), voxels, data, **more)

    plain = (turn, place, centre, step, size, kind)
    off = {"warns": ("no-orientation",), "moved": True}
    return {
        "matrix_over_three_lines": made("TransformMatrix = " + matrix[0], *matrix[1:], place, step, size, kind),
        "sizes_over_three_lines": made(turn, place, step, "DimSize =", *map(str, scan.grid.shape), kind),
        "no_spaces": made(*(line.replace(" = ", "=") for line in plain), local="ElementDataFile=LOCAL"),
        "colons": made(*(line.replace(" = ", ": ") for line in plain), local="ElementDataFile : LOCAL"),
        "tabs_and_blank_lines": made("", *(line.replace(" = ", "\t=\t") for line in plain), ""),
        "key_with_spaces": made("Patient Name = Anon", *plain),
        "older_names": made(turn.replace("TransformMatrix", "Orientation"), place.replace("Offset", "Position"), step, size, kind),
        "rotation": made(turn.replace("TransformMatrix", "Rotation"), place.replace("Offset", "Origin"), step, size, kind),
        "comment_first": Text(b"Comment = made by hand\n" + made(*plain).header, voxels),
        "long_value": made("0008|1030 = " + "x" * 4000, *plain),
        "data_file_of_utf8": made(*plain, data="m\u00fcsli \u5c71.raw"),
        "no_transformmatrix_but_centerofrotation": made(place, centre, step, size, kind, **off),
        "no_transformmatrix_but_said_in_a_tag": made("Comment = TransformMatrix Rotation", place, step, size, kind, **off),
        "no_transformmatrix_but_words": made("AnatomicalOrientation = ASL", place, step, size, kind, **off),
        "no_spacing": made(turn, place, size, kind, warns=("no-spacing",), moved=True),
        "micrometres": made(
            "DistanceUnits = um",
            turn,
            f"Offset = {_numbers(1e3 * affine[:3, 3])}",
            f"ElementSpacing = {_numbers(1e3 * spacing)}",
            size,
            kind,
        ),
    }


def nrrds(scan: Volume) -> dict[str, Text]:
    """NRRD headers that ITK reads."""
    affine = _LPS @ scan.grid.vox2world
    start = ["NRRD0005", "# space directions: none", "type: uchar", "dimension: 3", f"sizes: {_numbers(scan.grid.shape)}"]
    voxels = scan.data.astype(np.uint8).T.tobytes()

    def vectors(matrix: Any) -> str:
        return " ".join(f"({','.join(f'{x:.9g}' for x in axis)})" for axis in np.asarray(matrix).T)

    def placed(matrix: Any, space: str = "left-posterior-superior") -> list[str]:
        return [f"space: {space}", f"space directions: {vectors(matrix[:3, :3])}", f"space origin: {vectors(matrix[:3, 3:])}"]

    def made(*lines: str, voxels: bytes = voxels, encoding: str = "raw", data: str = "", **more: Any) -> Text:
        end = [f"encoding: {encoding}", *([f"data file: {data}"] if data else []), "", ""]
        return Text("\n".join([*start, *lines, *end]).encode(), voxels, data, **more)

    off, steps = {"warns": ("no-orientation",), "moved": True}, f"spacings: {_numbers(scan.grid.spacing_mm)}"
    return {
        "keys_with_spaces": made(*placed(affine), "0008|0060:=MR", "my own key:=a: b", "(0008,103e):=t2"),
        "long_text": made(*placed(affine), "Segmentation_ConversionParameters:=" + "x" * 5000),
        "upper_case": made(*(line.replace("space", "Space", 1) for line in placed(affine, "LPS"))),
        "ras": made(*placed(scan.grid.vox2world, "right-anterior-superior")),
        "ras_short": made(*placed(scan.grid.vox2world, "RAS")),
        "bzip2": made(*placed(affine), voxels=bz2.compress(voxels), encoding="bzip2"),
        "bz2_big_endian": made(*placed(affine), "endian: big", voxels=bz2.compress(voxels), encoding="bz2"),
        "gz": made(*placed(affine), voxels=gzip.compress(voxels), encoding="gz"),
        "data_file_of_utf8": made(*placed(affine), data="m\u00fcsli \u5c71.raw"),
        "metres": made(*placed(_scaled(affine, 1e-3)), 'space units: "m" "m" "m"'),
        "metres_in_words_only": made(*placed(affine), 'space units: "m" "m" "m"'),
        "no_space": made("space dimension: 3", *placed(affine)[1:], warns=("no-orientation",)),
        "space_of_no_body": made(*placed(affine, "3D-right-handed"), warns=("no-orientation",)),
        "spacings_only": made(steps, **off),
        "orientation_said_in_a_key": made(
            f"spacings: {_numbers(scan.grid.spacing_mm)}", "space directions:=(1,0,0) (0,1,0) (0,0,1)", **off
        ),
        "nothing": made(warns=("no-orientation", "no-spacing"), moved=True),
    }


def _scaled(affine: Any, factor: float) -> Any:
    return np.diag([factor, factor, factor, 1.0]) @ affine


# ---------------------------------------------------------------------------------------------- all of them


def write_all(scan: Volume, out: Path) -> None:
    """Write every unusual scan, each named after its kind and fault, and the clean one."""
    from tests.robustness.unusual_dicom import SERIES, write_bare, write_folders, write_left

    out.mkdir(parents=True, exist_ok=True)
    (out / "clean.nii").write_bytes(clean_nifti(scan))
    for name, fields in {**{n: u.fields for n, u in NIFTI.items()}, **{n: f for n, (f, _) in NIFTI_REFUSED.items()}}.items():
        (out / f"nifti_{name}.nii").write_bytes(unusual_nifti(scan, fields))
    for kind, texts in (("mha", metaimages(scan)), ("nrrd", nrrds(scan))):
        for name, text in texts.items():
            (out / f"{kind}_{name}").mkdir(exist_ok=True)
            text.write(out / f"{kind}_{name}" / f"scan.{kind}")
    written_by_itk(scan, out / "mha_dicom_tags.mha", MANY_TAGS)
    sagittal = scan.reoriented("PIR")
    for name, left in SERIES.items():
        write_left(sagittal, left, out / f"dcm_{name}")
    write_bare(sagittal, out / "dcm_no_preamble_no_meta")
    write_folders(sagittal, out)
    (out / "broken").mkdir()
    (out / "broken" / "a.nii").write_bytes(clean_nifti(scan))
    (out / "broken" / "b.nii").symlink_to("/nowhere/b.nii")
    (out / "store" / "p1").mkdir(parents=True)
    (out / "store" / "p1" / "t2.nii").write_bytes(clean_nifti(scan))
    (out / "linked").mkdir()
    (out / "linked" / "p1").symlink_to(out.resolve() / "store" / "p1")


def main(words: list[str]) -> int:
    """Write them all to the folder named first, from the scan named second or the phantom."""
    if len(words) not in (1, 2) or words[0].startswith("-"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    from cascade.io.formats import read_scan_file

    write_all(read_scan_file(Path(words[1]))[0] if len(words) == 2 else clean_scan(), Path(words[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

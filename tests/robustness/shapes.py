"""Files that are whole as files and odd in what they say: attributes, forms, keys and names, as other programs and people leave them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag

from cascade.io.dicom_files import DAMAGED, quiet
from cascade.io.formats import check_output, read_labels_file, read_scan_file, write_labels_file
from cascade.labels import CASCADE
from cascade.volume import Grid, LabelMap, Volume
from tests.robustness.corpus import nifti, slices
from tests.robustness.unusual import FIELDS, Text, metaimages, nrrds, with_fields


@dataclass(frozen=True)
class Shape:
    """A way to make odd files, and their reader.

    Parameters
    ----------
    write : callable
        Gets a folder and a source of chance, and writes what `read` gets; without chance a healthy file.
    read : callable
        Gets the folder.
    """

    write: Callable[[Path, Random | None], None]
    read: Callable[[Path], object]

    def healthy(self, folder: Path) -> None:
        """Write a file that has to be read."""
        self.write(folder, None)


def _scan() -> Volume:
    data = np.random.default_rng(1).integers(0, 9, (6, 7, 8)).astype(np.float32)
    return Volume(data, Grid(data.shape, np.array([[-2.0, 0.1, 0, 5], [0.1, 2, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1]])))


def _written_back(scan: Volume, path: Path, source: object = None) -> None:
    labels = (np.arange(scan.data.size).reshape(scan.data.shape) % 3).astype(np.uint8)
    write_labels_file(LabelMap(labels, scan.grid, CASCADE), path, source)  # type: ignore[arg-type]
    read_labels_file(path)


# ---------------------------------------------------------------------------------------------- DICOM

_JUNK = (
    *(b"", b" ", b"abc", b"m", b"1\\2", b"-1", b"0", b"1e400", b"NaN", b"inf", b"1,5", b"9" * 25, b"\xff\xfe", b"1" * 70),
    *(b"\\\\", b"\x00\x01", b"2020-01-01", b"10:10:10", b"a" * 300, "\u5c71\u7530^".encode(), b"\x1b$B;3ED", b"ISO_IR 6"),
    *(b"ISO 2022 IR 87", b"1.2.03", b"1.2.3\x00", b"MONOCHROME1", b"RGB", b"0.000001", b"1e-30\\1", b"1\\0\\0\\0\\0\\1"),
    *(b"0\\0\\0\\0\\0\\0", b"1\\1\\1", b"\x07\x00", b"\x00\x00\x00\x00"),
)
_VRS = (*("CS", "DS", "IS", "LO", "PN", "UI", "DA", "TM", "US", "SS", "UL", "FD", "OB", "UN", "SH", "UT", "AT"),)
#: Attributes that the clean series has not, and a reader may ask for.
_MORE = (
    *("PixelPaddingValue", "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "InversionTime", "PlanarConfiguration"),
    *("ConcatenationUID",),
)


def write_attributes(folder: Path, rng: Random | None) -> None:
    """A series with one to three attributes that are absent, empty, or not what their type allows, in all files or one."""
    with quiet():
        datasets, changed = [pydicom.dcmread(io.BytesIO(content)) for content in slices()], []
        for _ in range(rng.choice((1, 1, 2, 3)) if rng else 0):
            assert rng
            tag = rng.choice([*datasets[0].keys(), *map(Tag, _MORE)])
            changed.append(tag)
            how, value, vr = rng.choice(("absent", "empty", "junk", "junk", "junk")), rng.choice(_JUNK), rng.choice((None, None, *_VRS))
            for dataset in datasets if rng.random() < 0.7 else [rng.choice(datasets)]:
                _change(dataset, tag, how, value, vr)
        (folder / "series").mkdir()
        for number, dataset in enumerate(datasets):
            try:
                dataset.save_as(folder / "series" / f"{number}.dcm")
            except DAMAGED:  # pydicom looks at some values as it writes; those are left out
                for tag in (0x00080005, *changed):
                    dataset._dict.pop(BaseTag(tag), None)
                dataset.save_as(folder / "series" / f"{number}.dcm")


def _change(dataset: pydicom.Dataset, tag: BaseTag, how: str, value: bytes, vr: str | None) -> None:
    usual = dataset.get_item(tag).VR if tag in dataset else pydicom.datadict.dictionary_VR(tag).split(" or ")[0]
    if how == "absent":
        dataset.pop(tag, None)
        return
    content = b"" if how == "empty" else value + b" " * (len(value) % 2)
    dataset._dict[tag] = RawDataElement(tag, usual if usual == "SQ" else vr or usual, len(content), content, 0, False, True)


def read_attributes(folder: Path) -> object:
    """Read the series, and write a SEG that belongs to it, as the command does."""
    check_output(folder / "seg.dcm", folder / "series")
    scan, source = read_scan_file(folder / "series")
    _written_back(scan, folder / "seg.dcm", source)
    return scan


# ---------------------------------------------------------------------------------------------- NIfTI

_LENGTHS = (0.0, 0.5, 0.999999, 1.0, 1.0000001, 1.000001, 1.0001, 1.01, 1.5, 1e20, float("nan"), float("inf"))
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-40, 1e38, 1e-3, 1e3, float("nan"), float("inf"), float("-inf"), 348.0, 352.0)
_SHORTS = (0, 1, 2, 3, 4, 5, -1, 77, 32767)


@cache
def _plain_nifti() -> bytes:
    return nifti()[0]


def write_forms(folder: Path, rng: Random | None) -> None:
    """A NIfTI-1 file with odd values in one to four fields that place or scale it, quaternions above all."""
    fields: dict[str, object] = {}
    for _ in range(rng.randint(1, 4) if rng else 0):
        assert rng
        name = rng.choice([*FIELDS, "quaternion", "quaternion"])
        if name == "quaternion":
            direction = np.array([rng.gauss(0, 1) for _ in range(3)])
            fields[name] = rng.choice(_LENGTHS) * direction / np.linalg.norm(direction)
            continue
        kinds = FIELDS[name][1]
        numbers = {"h": _SHORTS, "B": (0, 1, 2, 3, 8, 10, 255)}.get(kinds[-1], _FLOATS)
        fields[name] = [rng.choice(numbers) for _ in range(int(kinds[1:-1] or 1))]
    (folder / "scan.nii").write_bytes(with_fields(_plain_nifti(), **fields))


def read_forms(folder: Path) -> object:
    """Read it, and write labels that lie on it."""
    scan, source = read_scan_file(folder / "scan.nii")
    _written_back(scan, folder / "labels.nii.gz", source)
    return scan


# ---------------------------------------------------------------------------------------------- text headers

_KEYS = (
    *("TransformMatrix", "Orientation", "Rotation", "Offset", "Position", "Origin", "CenterOfRotation", "ElementSpacing"),
    *("ElementSize", "DimSize", "NDims", "ElementType", "DistanceUnits", "AnatomicalOrientation", "Comment", "0008|103e"),
    *("my own key", "HeaderSize", "Name", "space", "space directions", "space origin", "spacings", "space units", "kinds"),
    *("encoding", "endian", "sizes", "dimension", "type", "content", "measurement frame", "byte skip", "line skip"),
    *("axis mins", "thicknesses", "centerings", "data file", "ElementDataFile"),
)
_VALUES = (
    *("", "1", "1 2 3", "0 0 0", "1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0", "nan nan nan", "1e400 1 1", "-1 2 3", "mm", "um"),
    *("RAS", "LPS", "True", "(1,0,0) (0,1,0) (0,0,1)", "(1,0,0) none (0,0,1)", "(nan,0,0) (0,1,0) (0,0,1)", "(0,0,0)"),
    *('"mm" "mm" "mm"', '"m" "m" "m"', "none", "left-posterior-superior", "scanner-xyz", "3D-right-handed", "MET_SHORT"),
    *("uchar", "raw", "gzip", "x" * 900, "\u5c71\u7530", "a = b: c := d", "5"),
)
_BETWEEN = (" = ", "=", ": ", ":=", " : ", "\t=\t", " ")


def write_keys(name: str, rows: Callable[[Volume], dict[str, Text]]) -> Callable[[Path, Random | None], None]:
    """A maker of MetaImage or NRRD files whose header has lines too many, too few, in another order or spelling."""

    @cache
    def seeds() -> tuple[Text, ...]:
        return tuple(text for text in rows(_scan()).values() if not text.data)

    def write(folder: Path, rng: Random | None) -> None:
        text = rng.choice(seeds()) if rng else seeds()[0]
        lines = text.header.decode().split("\n")
        for _ in range(rng.randint(1, 4) if rng else 0):
            assert rng
            at, how = rng.randrange(len(lines)), rng.random()
            if how < 0.5:
                lines.insert(at, rng.choice(_KEYS) + rng.choice(_BETWEEN) + rng.choice(_VALUES))
            elif how < 0.75 and rng.choice(_BETWEEN[:3]) in lines[at]:
                lines[at] = lines[at].split(":")[0].split("=")[0] + rng.choice(_BETWEEN) + rng.choice(_VALUES)
            elif how < 0.85:
                lines.insert(at, lines.pop(rng.randrange(len(lines))))
            elif how < 0.95:
                lines[at] = rng.choice((lines[at].upper(), lines[at].lower(), f" {lines[at]}", f"{lines[at]}\r", f"{lines[at]}  "))
            elif len(lines) > 2:
                del lines[at]
        (folder / name).write_bytes("\n".join(lines).encode() + text.voxels)

    return write


def read_keys(folder: Path) -> object:
    """Read it as a scan, and write labels in its format."""
    path = next(folder.iterdir())
    scan, source = read_scan_file(path)
    _written_back(scan, folder / f"labels{path.suffix}", source)
    return scan


# ---------------------------------------------------------------------------------------------- names

_PIECES = (
    *(b"a", b"t2 sag", "\u5c71\u7530".encode(), "Wirbels\xe4ule".encode(), b"sc\xe9n", b"\xff", b"%s%n", b"50%", b"-o"),
    *(b"--", b".", b"...", b"'", b'"', b"\\", b"\n", b"\t", b"\x01", b"*", b"?", b"[1]", b"{x}", b"~", b"$HOME", b"&"),
    *(b"<b>", b"|", b";", b":", b"a" * 200, b"_labels", b"_image", b".nii", b".gz", b".mha", b".nrrd", b".dcm", b".zip"),
    *(b".NII", "e\u0301".encode(), "\u200f".encode(), "\U0001f9b4".encode()),
)
_SUFFIXES = (".nii", ".nii.gz", ".mha", ".nrrd", ".seg.nrrd")


def write_name(folder: Path, rng: Random | None) -> None:
    """Labels in a file of an odd name, in a format of chance."""
    suffix = rng.choice(_SUFFIXES) if rng else ".nii"
    stem = b"".join(rng.choice(_PIECES) for _ in range(rng.randint(1, 4))) if rng else b"scan"
    name = (stem.replace(b"/", b"")[:220] + suffix.encode()).lstrip()
    _written_back(_scan(), folder / f"plain{suffix}")
    (folder / "named").mkdir()
    (folder / f"plain{suffix}").rename(folder / "named" / os.fsdecode(name))


def read_name(folder: Path) -> object:
    """Read it, write labels under its name in every format, and find it in its folder."""
    from cascade.io.formats import find_scans

    (path,) = (folder / "named").iterdir()
    scan, source = read_scan_file(path)
    (folder / "out").mkdir()
    _written_back(scan, folder / "out" / path.name, source)
    return list(find_scans(folder / "named", folder / "out"))


SHAPES = {
    "dicom-attributes": Shape(write_attributes, read_attributes),
    "nifti-forms": Shape(write_forms, read_forms),
    "metaimage-keys": Shape(write_keys("scan.mha", metaimages), read_keys),
    "nrrd-keys": Shape(write_keys("scan.nrrd", nrrds), read_keys),
    "file-names": Shape(write_name, read_name),
}

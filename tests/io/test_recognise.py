from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from cascade.io.formats import DICOM, NIFTI, ZIP, format_of
from cascade.io.nifti import write_volume
from tests import blocks
from tests.dicom_files import slices


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    path = tmp_path / "a.nii.gz"
    write_volume(blocks.scan(), path)
    return path


def test_nifti_is_recognised_under_any_name_packed_or_not(nifti: Path, tmp_path: Path):
    packed, plain = tmp_path / "scan", tmp_path / "scan.dcm"
    packed.write_bytes(nifti.read_bytes())
    plain.write_bytes(gzip.decompress(nifti.read_bytes()))
    assert format_of(packed) is format_of(plain) is NIFTI


def test_dicom_is_recognised_with_and_without_preamble(tmp_path: Path):
    dataset = slices(blocks.scan())[0]
    dataset.save_as(tmp_path / "a.nii", enforce_file_format=True)
    dataset.save_as(tmp_path / "b", enforce_file_format=False, implicit_vr=False, little_endian=True)
    whole = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "c").write_bytes(whole[132:])
    assert [format_of(tmp_path / name) for name in ("a.nii", "b", "c")] == [DICOM] * 3


def test_a_folder_is_dicom_and_a_zip_is_a_zip(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "x.nii.gz", "w") as archive:
        archive.writestr("a", b"b")
    assert format_of(tmp_path) is DICOM
    assert format_of(tmp_path / "x.nii.gz") is ZIP


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b damaged", bytes(400)])
def test_anything_else_is_not_recognised(content: bytes, tmp_path: Path):
    (tmp_path / "x.nii.gz").write_bytes(content)
    assert format_of(tmp_path / "x.nii.gz") is None


def test_a_missing_file_is_not_recognised(tmp_path: Path):
    assert format_of(tmp_path / "none.nii") is None

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from cascade.datasets.reading import folders_with_scans, list_scans, read_scan
from cascade.errors import InputError
from tests.datasets.miniatures import phantom, write, write_dicom


def test_volumes_of_every_format_are_listed_by_name_and_read_alike(tmp_path: Path) -> None:
    image = phantom()[0]
    for name in ("b.mha", "a.nii.gz", "c.nrrd", "d.mhd"):
        write(image.data, image.grid, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no volume")
    (tmp_path / ".a.nii.gz").write_text("hidden")
    scans = list_scans(tmp_path)
    assert [scan.name for scan in scans] == ["a", "b", "c", "d"]
    for scan in scans:
        volume, notes = read_scan(scan)
        np.testing.assert_allclose(volume.data, image.data, atol=1e-4)
        assert volume.grid.matches(image.grid, tol_mm=0.01)
        assert notes == ()


def test_a_dicom_series_is_one_scan_named_after_its_folder_and_description(tmp_path: Path) -> None:
    write_dicom(phantom()[0], tmp_path / "P01")
    (scan,) = list_scans(tmp_path / "P01")
    assert scan.name == "P01 T2 TSE sag"
    assert len(scan.files) == phantom()[0].grid.shape[0]
    assert read_scan(scan)[0].reoriented("RAS").grid.matches(phantom()[0].grid, tol_mm=0.01)
    assert list_scans(tmp_path) == []


def test_a_damaged_dicom_series_stays_in_sight_and_says_so_when_it_is_read(tmp_path: Path) -> None:
    write_dicom(phantom()[0], tmp_path / "P01")
    for path in (tmp_path / "P01").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    (scan,) = list_scans(tmp_path / "P01")
    with pytest.raises(InputError, match="P01"):
        read_scan(scan)


def test_what_a_reader_notices_is_passed_on(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 5, 6), dtype=np.float32))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    content = (tmp_path / "a.mha").read_bytes()
    lines = [
        line for line in content.split(b"\n") if not line.startswith((b"TransformMatrix", b"AnatomicalOrientation", b"CenterOfRotation"))
    ]
    (tmp_path / "a.mha").write_bytes(b"\n".join(lines))
    (scan,) = list_scans(tmp_path)
    assert [notice.code for notice in read_scan(scan)[1]] == ["no-orientation"]


def test_what_archivers_leave_behind_is_passed_over(tmp_path: Path) -> None:
    for name in ("a", "__MACOSX", ".git", "a/b"):
        (tmp_path / name).mkdir()
    assert [folder.name for folder in folders_with_scans(tmp_path)][1:] == ["a", "b"]

"""What is told of a scan, or refused, before any network sees it."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cascade.errors import InputError
from cascade.io.formats import read_labels_file
from cascade.io.nifti import write_labels
from cascade.io.scan import read_scan
from cascade.phantom import PhantomSpec, render
from cascade.volume import Grid, LabelMap, Volume

SPEC = PhantomSpec(shape=(11, 90, 120), spacing_mm=(6.0, 2.5, 2.5))


@pytest.fixture(scope="module")
def phantom() -> tuple[Volume, LabelMap]:
    return render(SPEC)


def rounded(scan: Volume, values: int) -> Volume:
    """The scan with so many grey values, from 0 up."""
    return Volume(np.floor(scan.data / scan.data.max() * (values - 0.01)).astype(np.float32), scan.grid)


class TestLabelMap:
    def test_it_is_no_scan(self, phantom: tuple[Volume, LabelMap], tmp_path: Path) -> None:
        write_labels(phantom[1], tmp_path / "l.nii.gz")
        with pytest.raises(
            InputError, match=r"l\.nii\.gz: expected a scan; found \d+ whole numbers, 0 in 9\d% .* give the scan that it was"
        ):
            read_scan(tmp_path / "l.nii.gz")
        mask = (phantom[1].data > 0).astype(np.float32)
        with pytest.raises(InputError, match="found 2 whole numbers"):
            read_scan(Volume(mask, phantom[1].grid))

    def test_its_header_may_say_so(self, tmp_path: Path) -> None:
        for data in (
            np.arange(10_000).reshape(10, 20, 50).astype(np.int16),
            np.linspace(0, 1, 10_000, dtype=np.float32).reshape(10, 20, 50),
        ):
            image = nib.Nifti1Image(data, np.diag([4.0, 2.0, 2.0, 1.0]))
            image.header.set_intent("label")
            nib.save(image, tmp_path / f"{data.dtype}.nii")
        with pytest.raises(InputError, match="intent code 1002"):
            read_scan(tmp_path / "int16.nii")
        assert read_scan(tmp_path / "float32.nii")[2] == ()

    @pytest.mark.parametrize("values", [8, 16, 200])
    def test_a_scan_of_few_greys_is_a_scan(self, phantom: tuple[Volume, LabelMap], values: int) -> None:
        assert read_scan(rounded(phantom[0], values))[2] == ()

    @pytest.mark.data
    @pytest.mark.full
    def test_no_real_scan_is_taken_for_one_and_every_real_one_is(self, data_folder: Path) -> None:
        for path in sorted(data_folder.glob("*/*.nii.gz"))[::5]:
            is_slice = min(nib.load(path).shape) < 5
            volume = nib.Nifti1Image(np.repeat(np.asanyarray(nib.load(path).dataobj), 5, axis=0), np.eye(4)) if is_slice else path
            if path.name.endswith("_image.nii.gz"):
                read_scan(volume)
            elif path.name.endswith("_labels.nii.gz"):
                with pytest.raises(InputError, match="label map or mask"):
                    read_scan(volume)


class TestPlace:
    @pytest.mark.parametrize("scale", [1.0, 2.5])
    def test_an_identity_is_told(self, phantom: tuple[Volume, LabelMap], scale: float) -> None:
        (notice,) = read_scan(Volume(phantom[0].data, Grid(SPEC.shape, np.diag([scale] * 3 + [1.0]))))[2]
        assert (notice.code, notice.rank) == ("no-orientation", "warning")
        assert "docs/formats.md" in notice.text

    @pytest.mark.parametrize("affine", [np.diag([4.0, 1.0, 1.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0]), np.eye(4) + np.eye(4, k=3)])
    def test_what_somebody_wrote_is_believed(self, phantom: tuple[Volume, LabelMap], affine: np.ndarray) -> None:
        assert read_scan(Volume(phantom[0].data, Grid(SPEC.shape, affine)))[2] == ()


def test_where_voxels_are_not_finite_is_told(phantom: tuple[Volume, LabelMap]) -> None:
    data = phantom[0].data.copy()
    data[3:5] = np.nan
    data[7, 2, 1] = np.inf
    (notice,) = read_scan(Volume(data, phantom[0].grid))[2]
    assert notice.code == "not-finite"
    assert "21601 of 118800 voxels (18.18%) are NaN or infinite, within the indices 3-7, 0-89, 0-119" in notice.text


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a"])
def test_an_empty_file_is_refused_as_empty(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    for read in (read_scan, read_labels_file):
        with pytest.raises(InputError, match=f"{name}: expected .*; the file is empty .*; copy or export it again"):
            read(tmp_path / name)


def test_a_single_slice_is_refused_with_the_way_out(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(1, 60, 80)), np.diag([4.0, 2.0, 2.0, 1.0])), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=f"^{os.fspath(tmp_path / 'a.nii.gz')}: .* found 1 x 60 x 80; give the whole series"):
        read_scan(tmp_path / "a.nii.gz")

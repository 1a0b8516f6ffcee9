"""Scans that other libraries hold in memory: the same voxels at the same places, on a grid that is oblique."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.data import MetaTensor
from pydicom.dataset import Dataset

from cascade.errors import InputError
from cascade.io.memory import read_image
from cascade.volume import Grid, Volume
from tests.dicom_files import slices, write_series
from tests.synthetic import turned

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def small(axcodes: str = "RAS") -> Volume:
    """An oblique scan of whole numbers, with three different primes as its shape and another spacing along each axis."""
    matrix = np.diag([4.0, 1.5, 1.0, 1.0])
    matrix[:3, 3] = -20.0, 31.0, 7.0
    grid = turned(Grid((7, 11, 13), matrix))
    return Volume(np.random.default_rng(3).integers(0, 900, grid.shape).astype(np.float32), grid).reoriented(axcodes)


def as_nibabel(scan: Volume) -> nib.Nifti1Image:
    return nib.Nifti1Image(scan.data, scan.grid.vox2world)


def as_itk(scan: Volume) -> sitk.Image:
    image, lps = sitk.GetImageFromArray(scan.data.transpose()), LPS @ scan.grid.vox2world
    image.SetSpacing(scan.grid.spacing_mm)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / scan.grid.spacing_mm).ravel().tolist())
    return image


def as_metatensor(scan: Volume) -> MetaTensor:
    return MetaTensor(torch.from_numpy(scan.data.copy())[None], affine=torch.tensor(scan.grid.vox2world))


def as_lps_metatensor(scan: Volume) -> MetaTensor:
    return MetaTensor(torch.from_numpy(scan.data.copy()), affine=torch.tensor(LPS @ scan.grid.vox2world), meta={"space": "LPS"})


KINDS: dict[str, Callable[[Volume], Any]] = {
    "nibabel": as_nibabel,
    "SimpleITK": as_itk,
    "MetaTensor": as_metatensor,
    "MetaTensor in LPS": as_lps_metatensor,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axcodes", ["RAS", "PIR"])
def test_voxels_and_places_are_those_of_the_image(kind: str, axcodes: str) -> None:
    scan = small(axcodes)
    taken, source = read_image(KINDS[kind](scan))
    assert np.array_equal(taken.data, scan.data)
    assert taken.grid.matches(scan.grid)
    assert source is None


def test_an_array_is_placed_by_its_affine() -> None:
    scan = small()
    taken, _ = read_image(scan.data, affine=scan.grid.vox2world.tolist())
    assert np.array_equal(taken.data, scan.data)
    assert taken.grid.matches(scan.grid)


@pytest.mark.parametrize("written", [True, False], ids=["from files", "made in memory"])
def test_data_sets_are_the_series_that_they_make(written: bool, tmp_path: Path) -> None:
    datasets = slices(small("PIR"))
    folder = write_series(slices(small("PIR")), tmp_path / "series")
    if written:
        datasets = [pydicom.dcmread(path) for path in folder.iterdir()]
    taken, source = read_image(datasets)
    expected, _ = read_image(folder)
    assert np.array_equal(taken.data, expected.data)
    assert taken.grid.matches(expected.grid)
    assert source is not None


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (None, "NoneType"),
        (3.0, "float"),
        ([], "list"),
        (np.zeros((5, 5, 5)), "numpy.ndarray without affine="),
        (torch.zeros(5, 5, 5), "torch.Tensor without affine="),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_what_else_is_given_gets_a_line_that_says_what_is_taken(image: Any, found: str) -> None:
    with pytest.raises(InputError, match=r"image: expected a path, a cascade\.Volume, .* affine= .*; found ") as caught:
        read_image(image)
    assert str(caught.value).endswith(f"found {found}")


@pytest.mark.parametrize("affine", [np.eye(3), np.zeros((4, 4)), "RAS", np.full((4, 4), np.nan), np.ones((4, 4)) + np.eye(4)], ids=range(5))
def test_an_affine_that_places_nothing_is_refused(affine: Any) -> None:
    with pytest.raises(InputError, match="expected as affine a 4 x 4 matrix"):
        read_image(np.zeros((5, 5, 5)), affine=affine)


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5, 5), (0, 5, 5)])
def test_what_is_not_one_volume_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected one 3-D image of real numbers; found an array of shape"):
        read_image(np.zeros(shape), affine=np.eye(4))


def test_numbers_that_are_not_real_are_refused() -> None:
    with pytest.raises(InputError, match=r"real numbers; found an array of shape .* and type complex128"):
        read_image(np.zeros((5, 5, 5), complex), affine=np.eye(4))


def test_an_affine_beside_a_path_is_refused() -> None:
    with pytest.raises(InputError, match="expected an array where affine= is given; found str"):
        read_image("scan.nii.gz", affine=np.eye(4))


def test_data_sets_that_are_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="data set"):
        read_image([Dataset()])

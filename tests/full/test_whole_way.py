"""A DICOM series in and a DICOM SEG out give the voxels that the same scan gives as NIfTI: the command, with the networks.

Positions are decimal text in DICOM and single precision in NIfTI, and the axes may run in another direction. Rounding then
decides a few voxels in a hundred thousand the other way.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade.cli import segment
from cascade.io.dicom_seg import read_dicom_seg
from cascade.io.nifti import read_image, read_label_array, write_volume
from cascade.labels import CASCADE_EXTENDED
from cascade.phantom import PhantomSpec, render
from cascade.volume import Volume
from tests.dicom_files import slices, write_series

pytestmark = pytest.mark.full


def check_both_ways(scan: Volume, folder: Path, *options: str) -> None:
    """Segment the scan as NIfTI and as DICOM and compare structure by structure."""
    write_volume(scan, folder / "scan.nii.gz")
    write_series(slices(scan), folder / "series")
    for source, output in (("scan.nii.gz", "levels.nii.gz"), ("series", "levels.dcm")):
        assert segment.main([str(folder / source), "-o", str(folder / output), "--extended", *options]) == 0
    numbers, grid = read_label_array(folder / "levels.nii.gz")
    segments, seg_grid, names = read_dicom_seg(folder / "levels.dcm")
    assert len(names) > 10
    at = grid.to_voxels(seg_grid.to_world(np.argwhere(segments)))
    assert np.abs(at - np.rint(at)).max() < 0.01
    table = np.array([0, *(CASCADE_EXTENDED[names[number]] for number in range(1, len(names) + 1))])
    placed = np.zeros_like(numbers)
    placed[tuple(np.rint(at).astype(int).T)] = table[segments[segments > 0]]
    assert np.count_nonzero(placed) == np.count_nonzero(segments)
    assert set(np.unique(placed)) == set(np.unique(numbers))
    assert np.count_nonzero(placed != numbers) <= 2e-4 * np.count_nonzero(numbers)


@pytest.mark.parametrize("seg_type", ["binary", "labelmap"])
def test_the_phantom_gives_the_same_voxels_both_ways(seg_type: str, tmp_path: Path) -> None:
    scan, _ = render(PhantomSpec())
    check_both_ways(Volume(np.rint(scan.data), scan.grid).reoriented("PSR"), tmp_path, "--seg-type", seg_type)


@pytest.mark.data
@pytest.mark.parametrize("case", ["spider/61", "zukic/16"])
def test_a_real_scan_gives_the_same_voxels_both_ways(case: str, data_folder: Path, tmp_path: Path) -> None:
    scan = read_image(data_folder / f"{case}_image.nii.gz")[0]
    whole = np.rint(scan.data * min(1.0, 4000 / float(scan.data.max()))).clip(0)
    check_both_ways(Volume(whole, scan.grid).reoriented("PSR"), tmp_path)

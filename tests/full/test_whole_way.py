"""The command with the networks, from a DICOM series on: a DICOM SEG with the voxels that the scan gives as NIfTI, and a DICOM SR.

Positions are decimal text in DICOM and single precision in NIfTI, and the axes may run in another direction. Rounding then
decides a few voxels in a hundred thousand the other way.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cascade.cli import segment
from cascade.io.dicom_seg import read_dicom_seg
from cascade.io.nifti import read_image, read_label_array, write_volume
from cascade.labels import CASCADE_EXTENDED
from cascade.measure import SD
from cascade.phantom import PhantomSpec, render
from cascade.volume import Volume
from tests.dicom_files import slices, write_series
from tests.full.test_validators import program, run
from tests.io.test_dicom_sr import cells, read_back

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


def test_the_sr_of_a_scan_that_was_seen_again_equals_its_table_and_passes_three_validators(tmp_path: Path) -> None:
    scan, _ = render(PhantomSpec())
    series = write_series(slices(Volume(np.rint(scan.data), scan.grid).reoriented("PSR")), tmp_path / "series")
    sr, table = tmp_path / "sr.dcm", tmp_path / "levels.tsv"
    told = ("-o", tmp_path / "seg.dcm", "--sr", sr, "--table", table)
    assert segment.main([str(word) for word in (series, *told, "--scheme", "verse", "--repeat", "2")]) == 0
    numbers = cells(table.read_text(encoding="utf-8"))
    assert len([column for _, column in numbers if column.endswith(SD)]) > 100
    assert dict(read_back(sr)) == numbers
    assert "Error" not in run(program("dciodvfy", "Debian: dicom3tools"), sr)
    said = run(program("dsrdump", "Debian: dcmtk"), sr)
    assert not [line for line in said.splitlines() if line.startswith("E:")], said
    assert said.count("<contains NUM:") == len(numbers)
    run(program("tid1500reader", "PyPI: dcmqi"), "--inputDICOM", sr, "--outputMetadata", tmp_path / "sr.json")
    groups = json.loads((tmp_path / "sr.json").read_text(encoding="utf-8"))["Measurements"]
    assert sum(len(group["measurementItems"]) for group in groups) == len(numbers)

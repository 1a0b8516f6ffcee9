"""Unusual scans through the readers and, for a few of each kind, through the networks: the same as the clean scan, or a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade.errors import CascadeError, InputError
from cascade.io.formats import check_output, format_of, read_labels_file, read_scan_file, write_labels_file
from cascade.labels import CASCADE
from cascade.pipeline import Segmenter
from cascade.volume import Volume
from tests import blocks
from tests.dicom_files import slices, write_series
from tests.robustness.unusual import NIFTI, clean_scan, main, metaimages, nrrds, unusual_nifti
from tests.robustness.unusual_dicom import SERIES, write_bare, write_left

#: pydicom's warnings quote the values of a file.
pytestmark = pytest.mark.filterwarnings("error::UserWarning")
READ = [name for name, left in SERIES.items() if not left.unread]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_scan_file(write_series(slices(blocks.scan("PSR")), tmp_path_factory.mktemp("clean") / "series"))[0]


@pytest.mark.parametrize("name", READ)
def test_a_series_as_it_is_left_has_the_voxels_of_the_clean_one(name: str, clean: Volume, tmp_path: Path) -> None:
    scan, source = read_scan_file(write_left(blocks.scan("PSR"), SERIES[name], tmp_path / "series"))
    assert np.array_equal(scan.data, clean.data)
    assert scan.grid.matches(clean.grid, tol_mm=1e-6)
    assert tuple(notice.code for notice in (source.notices if source else ())) == SERIES[name].warns


@pytest.mark.parametrize("name", READ)
def test_its_seg_is_sound_or_refused_before_anything_is_computed(name: str, tmp_path: Path) -> None:
    left, seg = SERIES[name], tmp_path / "seg.dcm"
    folder = write_left(blocks.scan("PSR"), left, tmp_path / "series")
    if left.refused:
        with pytest.raises(InputError, match=left.refused):
            check_output(seg, folder)
        return
    assert tuple(notice.code for notice in check_output(seg, folder)) == left.seg
    scan, source = read_scan_file(folder)
    labels = blocks.labels("PSR")
    write_labels_file(labels, seg, source)
    values, grid = read_labels_file(seg)
    assert grid.spacing_mm == pytest.approx(scan.grid.spacing_mm, abs=1e-3)
    assert sizes(values) == sizes(labels.data)


def sizes(values: np.ndarray) -> list[int]:
    return sorted(np.unique(values[values > 0], return_counts=True)[1].tolist())


@pytest.mark.parametrize("name", [name for name in SERIES if name not in READ])
def test_what_no_reading_is_left_for_is_a_line_that_names_the_attribute(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=SERIES[name].unread) as caught:
        read_scan_file(write_left(blocks.scan("PSR"), SERIES[name], tmp_path / "series"))
    assert "\n" not in str(caught.value)


def test_the_generator_writes_every_kind_and_all_are_read_or_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    scan = blocks.scan()
    scan.data[:] %= 251
    (tmp_path / "scan.nii").write_bytes(unusual_nifti(scan, {}))
    assert main([str(out), str(tmp_path / "scan.nii")]) == 0
    kinds = {path.name.split("_")[0].split(".")[0] for path in out.iterdir()}
    assert kinds == {"clean", "nifti", "mha", "nrrd", "dcm", "broken", "store", "linked"}
    read, refused = 0, []
    for path in sorted(out.iterdir()):
        scans = [path] if path.is_file() or path.name.startswith("dcm") else sorted(p for p in path.iterdir() if format_of(p))
        for each in scans:
            try:
                read_scan_file(each)
                read += 1
            except CascadeError as error:
                refused.append(str(error))
    assert read > 80
    assert not [text for text in refused if "\n" in text or "expected" not in text]


FEW = {
    "nifti": ["qform_quaternion_slightly_over_1", "metres", "inter_nan"],
    "mha": ["matrix_over_three_lines"],
    "nrrd": ["bzip2"],
    "dcm": ["spacing_between_slices_wrong", "no_photometric"],
}


@pytest.mark.full
def test_the_levels_are_those_of_the_clean_scan(tmp_path: Path) -> None:
    """Dice 1.0 for the nine structures, which the networks find in the clean scan, in one scan of each way to be unusual."""
    scan, segmenter = clean_scan(), Segmenter.from_pretrained("cpu")
    texts = {"mha": metaimages(scan), "nrrd": nrrds(scan)}
    expected = segmenter.segment(scan).labels
    assert set(expected.structures) == set(CASCADE.ids)
    for kind, names in FEW.items():
        for name in names:
            path = tmp_path / f"{kind}_{name}.{kind}"
            if kind == "nifti":
                path = path.with_suffix(".nii")
                path.write_bytes(unusual_nifti(scan, NIFTI[name].fields))
            elif kind == "dcm":
                write_left(scan.reoriented("PIR"), SERIES[name], path)
            else:
                texts[kind][name].write(path)
            found = segmenter.segment(path).labels.reoriented(expected.grid.axcodes)
            assert all(dice_of(found[structure], expected[structure]) > 0.999 for structure in CASCADE.ids), (kind, name)
    bare = segmenter.segment(write_bare(scan.reoriented("PIR"), tmp_path / "bare")).labels.reoriented(expected.grid.axcodes)
    assert all(dice_of(bare[structure], expected[structure]) > 0.999 for structure in CASCADE.ids)


def dice_of(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))

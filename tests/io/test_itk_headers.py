"""MetaImage and NRRD as other programs write them: ITK decides what a header is, and nothing about place is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.io.formats import read_labels_file, read_scan_file
from cascade.io.recognise import head_of, is_metaimage, is_nrrd
from tests import blocks
from tests.robustness.unusual import MANY_TAGS, TAGS, Text, metaimages, nrrds, written_by_itk

SCAN = blocks.scan()
SCAN.data[:] %= 251
META, NRRD = metaimages(SCAN), nrrds(SCAN)


def check(unusual: Text, path: Path) -> None:
    scan, source = read_scan_file(unusual.write(path))
    assert tuple(notice.code for notice in (source.notices if source else ())) == unusual.warns
    assert np.array_equal(scan.data, SCAN.data)
    assert scan.grid.matches(SCAN.grid, tol_mm=1e-3) == (not unusual.moved)
    assert np.array_equal(read_labels_file(path)[0], SCAN.data)


@pytest.mark.parametrize("name", META)
def test_a_metaimage_that_itk_reads_is_read(name: str, tmp_path: Path) -> None:
    check(META[name], tmp_path / "scan.mha")


@pytest.mark.parametrize("name", NRRD)
def test_an_nrrd_that_itk_reads_is_read(name: str, tmp_path: Path) -> None:
    check(NRRD[name], tmp_path / "scan.nrrd")


@pytest.mark.parametrize("tags", [TAGS, MANY_TAGS], ids=["few", "many"])
@pytest.mark.parametrize("suffix", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_dicom_tags_in_a_header_are_passed_over(suffix: str, tags: dict[str, str], tmp_path: Path) -> None:
    """A header of many tags is longer than what is looked at to tell the format."""
    path = written_by_itk(SCAN, tmp_path / f"scan{suffix}", tags)
    assert (is_nrrd(head_of(path)), is_metaimage(head_of(path))) == (suffix in (".nrrd", ".nhdr"), suffix in (".mha", ".mhd"))
    scan, source = read_scan_file(path)
    assert source is not None
    assert source.notices == ()
    assert np.array_equal(scan.data, SCAN.data)
    assert scan.grid.matches(SCAN.grid, tol_mm=1e-3)


def test_a_bzip2_that_is_cut_or_too_short_is_refused_in_a_line(tmp_path: Path) -> None:
    whole = NRRD["bzip2"]
    for voxels in (whole.voxels[:-40], whole.voxels[:20], b"", whole.voxels[:4] + b"x" * 200):
        with pytest.raises(InputError, match="truncated") as caught:
            read_scan_file(Text(whole.header, voxels).write(tmp_path / "scan.nrrd"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("trick", [
    b"Comment = ElementDataFile = /etc/passwd\n",
    b"Comment = x\rElementDataFile = /etc/passwd\n",
    b"elementdatafile = /etc/passwd\n",
    b"ElementDataFile foo = /etc/passwd\n",
    b"ElementDataFile : /etc/passwd\n",
    b"TransformMatrix = 1 0 0 0 1 0 0 0 1 ElementDataFile = /etc/passwd\n",
])  # fmt: skip
def test_no_spelling_of_the_data_file_leads_elsewhere(trick: bytes, tmp_path: Path) -> None:
    plain = META["no_spaces"]
    with pytest.raises(InputError, match=r"found two|beside it|found others"):
        read_scan_file(Text(trick + plain.header, plain.voxels).write(tmp_path / "scan.mha"))

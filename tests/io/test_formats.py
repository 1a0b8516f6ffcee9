from __future__ import annotations

import builtins
import gzip
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest

from cascade.errors import InputError, MissingExtraError, OutputError
from cascade.io.formats import (
    FORMATS,
    OUTPUT_SUFFIXES,
    check_output,
    find_suffix,
    output_format,
    read_labels_file,
    read_scan_file,
    write_labels_file,
)
from cascade.io.nifti import write_volume
from cascade.volume import Volume
from tests import blocks
from tests.dicom_files import slices, write_series

PLAIN = tuple(suffix for suffix in OUTPUT_SUFFIXES if not output_format(Path(suffix)).is_dicom)


def test_every_function_that_the_table_names_is_there():
    named = [name for form in FORMATS for name in (form.read_scan, form.read_labels, form.write_labels, form.check_scan) if name]
    assert len(named) > len(FORMATS)
    assert all(callable(resolve_name(name)) for name in named)


def test_a_suffix_belongs_to_one_format_and_is_found_whole():
    suffixes = [suffix for form in FORMATS for suffix in form.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    assert all(find_suffix(f"t2{suffix}") == suffix for suffix in suffixes)


def test_a_format_that_is_asked_for_by_suffix_can_be_written():
    assert all(form.write_labels and set(form.outputs) <= set(form.suffixes) for form in FORMATS if form.outputs)


@pytest.mark.parametrize("axcodes", blocks.ORIENTATIONS)
@pytest.mark.parametrize("suffix", PLAIN)
def test_labels_keep_voxels_and_world_positions_in_every_orientation(suffix: str, axcodes: str, tmp_path: Path):
    labels = blocks.labels(axcodes)
    write_labels_file(labels, tmp_path / f"levels{suffix}")
    data, grid = read_labels_file(tmp_path / f"levels{suffix}")
    assert np.array_equal(data, labels.data)
    assert grid.matches(labels.grid, tol_mm=1e-4)


@pytest.mark.parametrize("axcodes", blocks.ORIENTATIONS)
def test_a_dicom_series_keeps_voxels_and_world_positions_in_every_orientation(axcodes: str, tmp_path: Path):
    scan, labels = blocks.scan(axcodes), blocks.labels(axcodes)
    read, source = read_scan_file(write_series(slices(scan), tmp_path / "series"))
    same = read.reoriented(axcodes)
    assert np.array_equal(same.data, scan.data)
    assert same.grid.matches(scan.grid, tol_mm=1e-4)
    write_labels_file(labels, tmp_path / "levels.dcm", source)
    data, grid = read_labels_file(tmp_path / "levels.dcm")
    restored = np.zeros(read.grid.shape, dtype=int)
    at = np.rint(read.grid.to_voxels(grid.to_world(np.argwhere(data)))).astype(int)
    assert np.abs(read.grid.to_world(at) - grid.to_world(np.argwhere(data))).max() < 1e-3
    restored[tuple(at.T)] = data[data > 0]
    expected = labels.reoriented(read.grid.axcodes)
    assert np.array_equal(restored > 0, expected.data > 0)
    pairs = set(zip(restored[restored > 0].tolist(), expected.data[restored > 0].tolist(), strict=True))
    assert len(pairs) == len(labels.values), "one segment number a structure"


@pytest.mark.parametrize("suffix", PLAIN)
def test_a_scan_is_read_by_content_whatever_its_name(suffix: str, tmp_path: Path):
    labels = blocks.labels("PSR")
    write_labels_file(labels, tmp_path / f"a{suffix}")
    for name in ("scan", "scan.nii.gz", "scan.nii", "scan.mha", "scan.dcm"):
        (tmp_path / name).write_bytes((tmp_path / f"a{suffix}").read_bytes())
        volume, _ = read_scan_file(tmp_path / name)
        assert np.array_equal(volume.data, labels.data)
        assert volume.grid.matches(labels.grid)


def test_equal_labels_give_equal_bytes_in_every_format(tmp_path: Path):
    labels = blocks.labels("LPS")
    _, source = read_scan_file(write_series(slices(blocks.scan("LPS")), tmp_path / "series"))
    for suffix in (*PLAIN, ".dcm"):
        for name in ("first", "second"):
            write_labels_file(labels, tmp_path / f"{name}{suffix}", source)
        assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_labels_of_a_reoriented_nifti_file_keep_its_header(tmp_path: Path):
    write_volume(blocks.scan("PIR"), tmp_path / "scan.nii.gz")
    _, source = read_scan_file(tmp_path / "scan.nii.gz")
    write_labels_file(blocks.labels("PIR"), tmp_path / "levels.nii.gz", source)
    assert read_labels_file(tmp_path / "levels.nii.gz")[1].matches(read_scan_file(tmp_path / "scan.nii.gz")[0].grid)


def test_an_nrrd_without_orientation_is_noted(tmp_path: Path):
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 5 7 11\nspacings: 1 2 3\nencoding: raw\n\n"
    (tmp_path / "plain.nrrd").write_bytes(header.encode() + bytes(5 * 7 * 11))
    volume, source = read_scan_file(tmp_path / "plain.nrrd")
    assert volume.grid.spacing_mm == (1, 2, 3)
    assert source is not None
    assert [notice.code for notice in source.notices] == ["no-orientation"]


@pytest.mark.parametrize("suffix", PLAIN)
def test_a_truncated_file_ends_in_one_clear_line(suffix: str, tmp_path: Path):
    write_labels_file(blocks.labels(), tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    if suffix == ".nii.gz":
        content = gzip.compress(gzip.decompress(content)[:600])
    (tmp_path / f"cut{suffix}").write_bytes(content[: len(content) - 60] if suffix != ".nii.gz" else content)
    with pytest.raises(InputError, match=r"cut.*: expected .*(truncated|damaged)") as caught:
        read_scan_file(tmp_path / f"cut{suffix}")
    assert "\n" not in str(caught.value)


def test_an_unknown_file_and_a_missing_file_are_told_apart(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="content is none of these"):
        read_scan_file(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="no such file"):
        read_scan_file(tmp_path / "none.nii")


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path):
    with pytest.raises(OutputError, match=r"ends in \.nii\.gz, \.nii, \.seg\.nrrd"):
        write_labels_file(blocks.labels(), tmp_path / "levels.png")


def test_a_dicom_seg_of_a_scan_that_is_not_dicom_is_refused_with_the_way_out(tmp_path: Path):
    write_volume(blocks.scan(), tmp_path / "scan.nii.gz")
    _, source = read_scan_file(tmp_path / "scan.nii.gz")
    with pytest.raises(OutputError, match=r"give the DICOM series as input, or write \.seg\.nrrd"):
        write_labels_file(blocks.labels(), tmp_path / "levels.dcm", source)
    with pytest.raises(OutputError, match="give the DICOM series"):
        check_output(tmp_path / "levels.dcm", tmp_path / "scan.nii.gz")


def test_the_input_is_never_the_output(tmp_path: Path):
    write_volume(blocks.scan(), tmp_path / "scan.nii.gz")
    with pytest.raises(OutputError, match="would be overwritten"):
        check_output(tmp_path / "scan.nii.gz", tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("table", ["levels.nii.gz", "sub/../levels.nii.gz"])
def test_no_output_is_written_over_another(table: str, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(OutputError, match="expected a file for each output"):
        check_output(tmp_path / "levels.nii.gz", tmp_path / "scan.nii.gz", None, tmp_path / table)


def test_an_image_is_no_label_file(tmp_path: Path):
    write_volume(Volume(blocks.scan().data + 0.5, blocks.oblique_grid()), tmp_path / "scan.nii.gz")
    with pytest.raises(InputError, match="whole label numbers"):
        read_labels_file(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize(("package", "suffix", "extra"), [("pydicom", ".dcm", "dicom"), ("SimpleITK", ".mha", "itk")])
def test_a_missing_library_is_an_error_that_names_the_extra(
    package: str, suffix: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import sys

    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *arguments, **options)

    for module in {f"cascade.io.{name}" for name in ("itk", "dicom", "dicom_files", "dicom_seg", "dicom_series")} & set(sys.modules):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf'package {package}; .*pip install -c constraints.txt "\.\[{extra}\]"'):
        write_labels_file(blocks.labels(), tmp_path / f"levels{suffix}")

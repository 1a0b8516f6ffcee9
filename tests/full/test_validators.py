"""What other people's programs say about our files: dciodvfy, dcmqi, dcm2niix, slicerio and the BIDS validator."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cascade.io.bids import derivative_path, find_bids_scans, write_dataset_description, write_sidecars
from cascade.io.dicom import DicomSource, read_dicom
from cascade.io.dicom_seg import write_dicom_seg
from cascade.io.dicom_sr import SrRow, write_dicom_sr
from cascade.io.formats import read_scan_file, write_labels_file
from cascade.io.itk import read_labels
from cascade.io.nifti import read_image, write_volume
from cascade.measure import measure, numbers, with_spread
from cascade.phantom import PhantomSpec, render
from cascade.terminology import colour_of
from cascade.volume import Grid, LabelMap, Volume
from tests import blocks
from tests.dicom_files import enhanced, slices, write_series

pytestmark = pytest.mark.full

ORIENTED = {"sagittal": "PSR", "coronal": "RSA", "axial": "LPS"}


def program(name: str, package: str) -> str:
    """Path of a program, beside this Python or on the path; the test is skipped without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} ({package})")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr


def phantom(axcodes: str, tilt_deg: float) -> tuple[Volume, LabelMap]:
    """The synthetic spine, small, laid and tilted as a scanner might."""
    scan, labels = render(PhantomSpec(shape=(13, 83, 101), spacing_mm=(4.0, 2.9, 2.9), noise=0.0))
    grid = tilted(scan.grid, tilt_deg)
    return Volume(scan.data, grid).reoriented(axcodes), LabelMap(labels.data, grid, labels.scheme).reoriented(axcodes)


def tilted(grid: Grid, tilt_deg: float) -> Grid:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", tilt_deg, degrees=True).as_matrix()
    return Grid(grid.shape, turn @ grid.vox2world)


@pytest.fixture(scope="module", params=[(plane, tilt) for plane in ORIENTED for tilt in (0, 17)], ids=lambda p: f"{p[0]}-{p[1]}")
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Volume, DicomSource, LabelMap]:
    """A series on disk, what our reader makes of it, and labels."""
    plane, tilt = request.param
    scan, labels = phantom(ORIENTED[plane], tilt)
    folder = write_series(slices(scan), tmp_path_factory.mktemp("case") / "series")
    return (folder, *read_dicom(folder), labels)


def test_the_test_series_are_valid_dicom(case: tuple[Path, Volume, DicomSource, LabelMap]) -> None:
    said = run(program("dciodvfy", "Debian: dicom3tools"), next(case[0].iterdir()))
    assert "Error" not in said, said


def test_dciodvfy_finds_no_error_in_a_seg(case: tuple[Path, Volume, DicomSource, LabelMap], tmp_path: Path) -> None:
    write_dicom_seg(case[3], tmp_path / "levels.dcm", case[2])
    said = run(program("dciodvfy", "Debian: dicom3tools"), tmp_path / "levels.dcm")
    assert said.startswith("Segmentation")
    assert "Error" not in said, said


def test_dciodvfy_finds_no_error_in_the_seg_of_an_enhanced_image(tmp_path: Path) -> None:
    scan, labels = phantom("PSR", 17)
    enhanced(slices(scan)).save_as(tmp_path / "enhanced.dcm")
    write_dicom_seg(labels, tmp_path / "levels.dcm", read_dicom(tmp_path / "enhanced.dcm")[1])
    said = run(program("dciodvfy", "Debian: dicom3tools"), tmp_path / "levels.dcm")
    assert "Error" not in said, said


def test_dciodvfy_finds_no_error_in_a_label_map_seg(case: tuple[Path, Volume, DicomSource, LabelMap], tmp_path: Path) -> None:
    write_dicom_seg(case[3], tmp_path / "levels.dcm", case[2], "labelmap")
    said = run(program("dciodvfy", "Debian: dicom3tools"), tmp_path / "levels.dcm")
    if "Information Object Not found" in said:
        pytest.skip("this dciodvfy is older than label map segmentations (DICOM 2024d)")
    assert "Error" not in said, said


@pytest.fixture
def report(case: tuple[Path, Volume, DicomSource, LabelMap], tmp_path: Path) -> tuple[Path, list[SrRow]]:
    """A DICOM SR of the measurements, and what it tells."""
    _, scan, source, labels = case
    write_dicom_seg(labels, tmp_path / "levels.dcm", source)
    measured = measure(labels.reoriented(scan.grid.axcodes), scan)
    unsure = with_spread(measured, [measured] * 3)
    rows = [SrRow(row.structure, row.kind, numbers(row), row.signal_reference) for row in unsure]
    write_dicom_sr(rows, tmp_path / "sr.dcm", tmp_path / "levels.dcm", source)
    return tmp_path / "sr.dcm", rows


def test_dciodvfy_finds_no_error_in_an_sr(report: tuple[Path, list[SrRow]]) -> None:
    said = run(program("dciodvfy", "Debian: dicom3tools"), report[0])
    assert said.startswith("ComprehensiveSR")
    assert "Error" not in said, said


def test_dcmtk_reads_every_number_of_an_sr(report: tuple[Path, list[SrRow]]) -> None:
    said = run(program("dsrdump", "Debian: dcmtk"), report[0])
    assert not [line for line in said.splitlines() if line.startswith("E:")], said
    assert said.count("<contains NUM:") == sum(len(row.numbers) for row in report[1])


def test_dcmqi_reads_every_number_of_an_sr(report: tuple[Path, list[SrRow]], tmp_path: Path) -> None:
    said = run(program("tid1500reader", "PyPI: dcmqi"), "--inputDICOM", report[0], "--outputMetadata", tmp_path / "sr.json")
    assert (tmp_path / "sr.json").is_file(), said
    groups = json.loads((tmp_path / "sr.json").read_text(encoding="utf-8"))["Measurements"]
    found = {group["TrackingIdentifier"]: [float(item["value"]) for item in group["measurementItems"]] for group in groups}
    segments = [row for row in report[1] if row.numbers and row.tracking_id == row.structure]
    assert {row.structure for row in segments} <= set(found)
    for row in segments:
        assert found[row.structure] == list(row.numbers.values())


@pytest.mark.parametrize("seg_type", ["binary", "labelmap"])
def test_dcmqi_reads_the_same_voxels_back(seg_type: str, case: tuple[Path, Volume, DicomSource, LabelMap], tmp_path: Path) -> None:
    _, scan, source, labels = case
    write_dicom_seg(labels, tmp_path / "levels.dcm", source, seg_type)
    tool = program("segimage2itkimage", "PyPI: dcmqi")
    said = run(tool, "--inputDICOM", tmp_path / "levels.dcm", "--outputDirectory", tmp_path, "--mergeSegments", "-t", "nrrd")
    assert (tmp_path / "1.nrrd").is_file(), said
    data, grid = read_labels(tmp_path / "1.nrrd")
    voxels = np.argwhere(data)
    at = scan.grid.to_voxels(grid.to_world(voxels))
    assert np.abs(at - np.rint(at)).max() < 0.01
    restored = np.zeros(scan.grid.shape, dtype=int)
    restored[tuple(np.rint(at).astype(int).T)] = data[data > 0]
    meta = json.loads((tmp_path / "meta.json").read_text(encoding="utf-8"))
    names = {int(segment["labelID"]): segment["SegmentLabel"] for segments in meta["segmentAttributes"] for segment in segments}
    expected = labels.reoriented(scan.grid.axcodes)
    assert set(names.values()) == set(labels.structures)
    for number, name in names.items():
        assert np.array_equal(restored == number, expected[name]), name


def _dcm2niix(folder: Path, out: Path) -> Volume:
    said = run(program("dcm2niix", "Debian: dcm2niix"), "-z", "n", "-b", "n", "-f", "scan", "-o", out, folder)
    files = sorted(out.glob("*.nii"))
    assert len(files) == 1, said
    return read_image(files[0])[0]


def test_dcm2niix_places_every_voxel_where_our_reader_does(case: tuple[Path, Volume, DicomSource, LabelMap], tmp_path: Path) -> None:
    other = _dcm2niix(case[0], tmp_path).reoriented(case[1].grid.axcodes)
    assert other.grid.matches(case[1].grid, tol_mm=1e-3)
    assert np.array_equal(other.data, case[1].data)


def test_dcm2niix_agrees_where_slices_have_gaps_between_them(tmp_path: Path) -> None:
    files = slices(blocks.scan("PSR"), SliceThickness="2.5")
    folder = write_series(files, tmp_path / "series")
    (tmp_path / "out").mkdir()
    ours = read_dicom(folder)[0]
    assert _dcm2niix(folder, tmp_path / "out").reoriented(ours.grid.axcodes).grid.matches(ours.grid, tol_mm=1e-3)


@pytest.mark.data
def test_dcm2niix_agrees_on_real_scans(data_folder: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in (data_folder / "cases.tsv").read_text(encoding="utf-8").splitlines()]
    split, first = rows[0].index("split"), {}
    for row in rows[1:]:
        if row[split] == "val":
            first.setdefault(row[0], row[1])
    for (dataset, name), (axcodes, tilt) in zip(
        first.items(), itertools.cycle(itertools.product(ORIENTED.values(), (0, 17))), strict=False
    ):
        scan = read_image(data_folder / dataset / f"{name}_image.nii.gz")[0]
        grid = tilted(scan.grid, tilt)
        whole = Volume(np.round(scan.data / max(1.0, scan.data.max() / 4000)).clip(0), grid).reoriented(axcodes)
        folder, out = write_series(slices(whole), tmp_path / name), tmp_path / f"{name}_out"
        out.mkdir()
        ours = read_dicom(folder)[0]
        other = _dcm2niix(folder, out).reoriented(ours.grid.axcodes)
        assert other.grid.matches(ours.grid, tol_mm=1e-3), name
        assert np.array_equal(other.data, ours.data), name


def test_slicerio_reads_names_colours_and_codes(tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio", reason="needs slicerio (PyPI)")
    labels = blocks.labels("PIR")
    write_labels_file(labels, tmp_path / "levels.seg.nrrd")
    read = slicerio.read_segmentation(str(tmp_path / "levels.seg.nrrd"))
    by_name = {segment["name"]: segment for segment in read["segments"]}
    assert set(by_name) == set(labels.structures)
    for name, segment in by_name.items():
        assert np.allclose(np.array(segment["color"]) * 255, colour_of(name), atol=0.01)
        assert np.array_equal(read["voxels"] == segment["labelValue"], labels[name])
    assert by_name["L5"]["terminology"]["type"] == ["SCT", "49668003", "L5 vertebra"]
    to_world = np.diag([-1, -1, 1, 1]) @ read["ijkToLPS"]
    assert np.allclose(to_world, labels.grid.vox2world, atol=1e-6)


def test_the_bids_validator_accepts_derivatives(tmp_path: Path) -> None:
    if importlib.util.find_spec("bids_validator_deno") is None:
        pytest.skip("needs bids-validator-deno (PyPI)")
    root = tmp_path / "dataset"
    scan = root / "sub-01" / "anat" / "sub-01_T2w.nii.gz"
    write_volume(blocks.scan("PIR"), scan)
    write_volume(blocks.scan("PIR"), scan.with_name("sub-01_T1w.nii.gz"))
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.10.0", "License": "CC0"}))
    derivatives = root / "derivatives" / "cascade"
    write_dataset_description(derivatives, root)
    for found in find_bids_scans(root):
        output = derivatives / f"{derivative_path(found, root)}.nii.gz"
        _, source = read_scan_file(found)
        labels = blocks.labels("PIR")
        write_labels_file(labels, output, source)
        write_sidecars(output, found, root, labels.scheme, {"levels": []})
    said = run(program("bids-validator-deno", "PyPI"), "--format", "json", derivatives)
    issues = json.loads(said[said.index("{") :])["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"], issues

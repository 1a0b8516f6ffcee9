"""The command that measures anyone's masks."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cascade.cli.measure import main
from cascade.io.dicom import read_dicom
from cascade.io.dicom_seg import write_dicom_seg
from cascade.io.nifti import write_labels
from cascade.labels import CANAL, SPIDER, TOTALSPINESEG, VERSE, LabelScheme
from cascade.phantom import PhantomSpec, render
from cascade.volume import LabelMap, Volume
from tests.dicom_files import slices, write_series

IMAGE, LABELS = render(PhantomSpec(shape=(11, 135, 165), spacing_mm=(5.0, 1.8, 1.8), thoracic=0))
NO_SACRUM = LabelMap(np.where(LABELS.data == VERSE["sacrum"], 0, LABELS.data).astype(np.uint8), LABELS.grid, VERSE)


def write_image(volume: Volume, path: Path) -> None:
    nib.save(nib.Nifti1Image(volume.data, volume.grid.vox2world), path)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_image(IMAGE, tmp_path / "t2.nii.gz")
    return tmp_path / "t2.nii.gz"


def written(labels: LabelMap, path: Path, *, noted: bool = False) -> Path:
    """A label file as another tool writes it, or as `cascade` does."""
    if noted:
        write_labels(labels, path)
    else:
        write_image(Volume(labels.data.astype(np.float32), labels.grid), path)
    return path


def cells(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def with_processes(labels: LabelMap) -> LabelMap:
    """Whole vertebrae: the phantom's bodies, and behind the canal a process of the same number at their height."""
    data = labels.data.copy()
    for name in ("L1", "L2", "L3", "L4", "L5"):
        body = np.argwhere(labels[name])
        low, high = body.min(axis=0), body.max(axis=0)
        back = slice(max(low[1] - 24, 0), low[1] - 10)
        part = data[5:7, back, low[2] : high[2]]
        part[part == 0] = VERSE[name]
    return LabelMap(data, labels.grid, VERSE)


@pytest.mark.parametrize("scheme", [VERSE, SPIDER, TOTALSPINESEG], ids=lambda scheme: scheme.name)
def test_the_same_labels_in_any_scheme_give_the_same_table(scheme: LabelScheme, scan: Path, tmp_path: Path) -> None:
    labels = written(NO_SACRUM.to_scheme(scheme), tmp_path / "seg.nii.gz")
    assert main([str(scan), str(labels), "--scheme", scheme.name, "-o", str(tmp_path / "a.tsv")]) == 0
    noted = written(NO_SACRUM, tmp_path / "noted.nii.gz", noted=True)
    assert main([str(scan), str(noted), "-o", str(tmp_path / "b.tsv")]) == 0
    assert cells(tmp_path / "a.tsv") == cells(tmp_path / "b.tsv")
    assert {"L1", "L4-L5", "canal"} <= {row[0] for row in cells(tmp_path / "a.tsv")}


def test_series_and_their_segs_are_measured_as_files_are(scan: Path, tmp_path: Path) -> None:
    image, labels = (part.reoriented("PSR") for part in (IMAGE, NO_SACRUM))
    folder = write_series(slices(image), tmp_path / "studies" / "patient" / "series")
    (tmp_path / "results" / "patient").mkdir(parents=True)
    write_dicom_seg(labels, tmp_path / "results" / "patient" / "series.dcm", read_dicom(folder)[1])
    assert main([str(tmp_path / "studies"), str(tmp_path / "results"), "-o", str(tmp_path / "tables")]) == 0
    noted = written(NO_SACRUM, tmp_path / "noted.nii.gz", noted=True)
    assert main([str(scan), str(noted), "-o", str(tmp_path / "plain.tsv")]) == 0
    ours, plain = (
        {row[0]: row for row in cells(path)} for path in (tmp_path / "tables" / "patient" / "series.tsv", tmp_path / "plain.tsv")
    )
    assert ours.keys() == plain.keys()
    middle = plain["structure"].index("middle_mm")
    assert float(ours["L4"][middle]) == pytest.approx(float(plain["L4"][middle]), abs=0.11)
    assert (tmp_path / "tables" / "levels.tsv").read_text(encoding="utf-8").splitlines()[1].startswith("patient/series\tL1\t")


def test_a_seg_of_another_series_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, labels = (part.reoriented("PSR") for part in (IMAGE, NO_SACRUM))
    folder = write_series(slices(image), tmp_path / "series")
    write_dicom_seg(labels, tmp_path / "seg.dcm", read_dicom(folder)[1])
    other = Volume(image.data[:, :-9], image.grid.cropped((slice(0, image.grid.shape[0]), slice(9, image.grid.shape[1]), slice(0, 11))))
    write_series(slices(other), tmp_path / "other")
    assert main([str(tmp_path / "other"), str(tmp_path / "seg.dcm"), "-o", str(tmp_path / "a.tsv")]) == 1
    assert "on the grid of the scan" in capsys.readouterr().err


def test_a_number_that_the_scheme_does_not_know_is_an_error(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = LABELS.data.copy()
    data[0, 0, 0] = 90
    labels = tmp_path / "seg.nii.gz"
    write_image(Volume(data.astype(np.float32), LABELS.grid), labels)
    assert main([str(scan), str(labels), "--scheme", "verse", "-o", str(tmp_path / "a.tsv")]) == 1
    assert "found 90, which it does not know" in capsys.readouterr().err
    assert not (tmp_path / "a.tsv").exists()
    assert main([str(scan), str(labels), "--scheme", "verse", "--ignore", "90", "-o", str(tmp_path / "a.tsv")]) == 0


def test_labels_that_note_no_scheme_are_recognised_and_told(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = written(LABELS, tmp_path / "seg.nii.gz")
    assert main([str(scan), str(labels), "-o", str(tmp_path / "a.tsv")]) == 0
    assert f"note: {labels}: scheme-recognised: by order, distances and shapes it is verse (20 = L1, " in capsys.readouterr().err
    assert main([str(scan), str(labels), "--scheme", "verse", "-o", str(tmp_path / "b.tsv")]) == 0
    assert capsys.readouterr().err == ""
    assert cells(tmp_path / "a.tsv") == cells(tmp_path / "b.tsv")


def test_labels_of_several_readings_need_a_scheme(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bodies = np.where(np.isin(LABELS.data, [VERSE[f"L{n}"] for n in range(1, 6)]), LABELS.data, 0)
    labels = written(LabelMap(bodies, LABELS.grid, VERSE).to_scheme(SPIDER), tmp_path / "seg.nii.gz")
    assert main([str(scan), str(labels), "-o", str(tmp_path / "a.tsv")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected numbers of one label scheme, or a note of it; found spider (1 = L5, " in line
    assert line.endswith("say it with --scheme")


def test_whole_vertebrae_are_cut_to_bodies_and_measured_as_these(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, labels in (("bodies", LABELS), ("whole", with_processes(LABELS))):
        written(labels, tmp_path / f"{name}.nii.gz")
        assert main([str(scan), str(tmp_path / f"{name}.nii.gz"), "--scheme", "verse", "-o", str(tmp_path / f"{name}.tsv")]) == 0
    assert "bodies-cut" in capsys.readouterr().err
    heading, *rows = cells(tmp_path / "bodies.tsv")
    columns = [heading.index(name) for name in ("anterior_mm", "middle_mm", "posterior_mm", "slip_mm")]
    pairs = [(row[c], other[c]) for row, other in zip(rows, cells(tmp_path / "whole.tsv")[1:], strict=True) for c in columns]
    assert [one == "n/a" for one, _ in pairs] == [other == "n/a" for _, other in pairs]
    known = [(float(one), float(other)) for one, other in pairs if one != "n/a"]
    assert len(known) > 20
    assert max(abs(one - other) for one, other in known) < 0.5


def test_whole_vertebrae_without_a_canal_are_refused(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = with_processes(LABELS)
    data = np.where(whole.data == VERSE[CANAL], 0, whole.data).astype(np.uint8)
    labels = written(LabelMap(data, whole.grid, VERSE), tmp_path / "seg.nii.gz")
    assert main([str(scan), str(labels), "--scheme", "verse", "-o", str(tmp_path / "a.tsv")]) == 1
    assert "whole vertebrae" in capsys.readouterr().err


@pytest.mark.parametrize("over", ["t2.nii.gz", "labels.nii.gz"])
def test_neither_scan_nor_labels_are_overwritten(over: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = written(LABELS, tmp_path / "labels.nii.gz")
    before = scan.read_bytes(), labels.read_bytes()
    assert main([str(scan), str(labels), "--scheme", "verse", "-o", str(tmp_path / over)]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert (scan.read_bytes(), labels.read_bytes()) == before


def test_a_folder_gives_a_table_a_scan_and_one_with_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases, out = tmp_path / "cases", tmp_path / "out"
    for name in ("a/one", "two", "three"):
        (cases / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(IMAGE, cases / f"{name}_image.nii.gz")
        if name != "three":
            written(LABELS, cases / f"{name}_labels.nii.gz")
    assert main([str(cases), str(cases), "--scheme", "verse", "-o", str(out)]) == 1
    assert "three_image.nii.gz: expected labels" in capsys.readouterr().err
    everything = cells(out / "levels.tsv")
    assert everything[0] == ["scan", *cells(out / "two.tsv")[0]]
    assert everything[1:] == [[name, *row] for name in ("a/one", "two") for row in cells(out / f"{name}.tsv")[1:]]


def test_labels_on_another_grid_are_refused(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = written(LABELS.cropped((slice(0, 10), slice(0, 135), slice(0, 165))), tmp_path / "seg.nii.gz")
    assert main([str(scan), str(labels), "--scheme", "verse", "-o", str(tmp_path / "a.tsv")]) == 1
    assert "on the grid of" in capsys.readouterr().err

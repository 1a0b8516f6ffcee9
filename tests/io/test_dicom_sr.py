"""Measurements as DICOM SR: every number of the table once, with unit, structure and segment."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from cascade.cohorts.job import Job
from cascade.cohorts.keep import Keep
from cascade.errors import OutputError
from cascade.io.dicom import DicomSource, read_dicom
from cascade.io.dicom_seg import write_dicom_seg
from cascade.io.dicom_sr import SrRow, write_dicom_sr
from cascade.measure import COLUMNS, Measurement, measure, numbers, table
from cascade.phantom import PhantomSpec, render
from tests.dicom_files import slices, write_series
from tests.phantom_result import phantom_result

SPEC = PhantomSpec(shape=(13, 83, 101), spacing_mm=(4.0, 2.9, 2.9))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Measurement, ...], DicomSource, Path]:
    """Rows, the series they were made from, and a folder with its SEG and SR."""
    folder = tmp_path_factory.mktemp("sr")
    scan, labels = (part.reoriented("PSR") for part in render(SPEC))
    source = read_dicom(write_series(slices(scan), folder / "series"))[1]
    write_dicom_seg(labels, folder / "seg.dcm", source)
    rows = measure(labels, scan)
    write_dicom_sr(plain(rows), folder / "sr.dcm", folder / "seg.dcm", source)
    return rows, source, folder


def plain(rows: tuple[Measurement, ...]) -> list[SrRow]:
    return [SrRow(row.structure, row.kind, numbers(row), row.signal_reference) for row in rows]


def groups(document: Dataset) -> list[Dataset]:
    """The measurement groups of a report."""
    (imaging,) = (item for item in document.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010")
    return list(imaging.ContentSequence)


def child(item: Dataset, code: str) -> Dataset:
    return next(part for part in item.ContentSequence if part.ConceptNameCodeSequence[0].CodeValue == code)


def test_every_number_of_the_table_is_there_once(made: tuple[tuple[Measurement, ...], DicomSource, Path]) -> None:
    rows, _, folder = made
    heading, *lines = [line.split("\t") for line in table(rows).splitlines()]
    expected = Counter(
        float(cell) for line in lines for name, cell in zip(heading, line, strict=True) if name in COLUMNS[3:] and _is_number(cell)
    )
    found = Counter(
        float(item.MeasuredValueSequence[0].NumericValue)
        for group in groups(dcmread(folder / "sr.dcm"))
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    )
    assert len(expected) > 100
    assert found == expected


def _is_number(cell: str) -> bool:
    return cell.lstrip("-").replace(".", "", 1).isdigit()


def test_a_structure_refers_to_its_segment_and_names_itself(made: tuple[tuple[Measurement, ...], DicomSource, Path]) -> None:
    _, source, folder = made
    seg = dcmread(folder / "seg.dcm")
    labels = {int(segment.SegmentNumber): str(segment.SegmentLabel) for segment in seg.SegmentSequence}
    named = {str(child(group, "112039").TextValue): group for group in groups(dcmread(folder / "sr.dcm"))}
    assert len(named.keys() & set(labels.values())) > 12
    for name in named.keys() & set(labels.values()):
        reference = child(named[name], "121191").ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert labels[int(reference.ReferencedSegmentNumber)] == name
        assert source.datasets[0].SeriesInstanceUID == child(named[name], "121232").UID
    assert child(named["L4"], "363698007").ConceptCodeSequence[0].CodeValue == "11994002"
    assert "lordosis L1-S1" in named


def test_units_are_ucum_and_standard_concepts_are_used_where_there_are_some(
    made: tuple[tuple[Measurement, ...], DicomSource, Path],
) -> None:
    items = [item for group in groups(dcmread(made[2] / "sr.dcm")) for item in group.ContentSequence if item.ValueType == "NUM"]
    units = {item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for item in items}
    assert units == {"mm", "mm2", "ml", "deg", "%", "1", "{ratio}"}
    schemes = {item.ConceptNameCodeSequence[0].CodingSchemeDesignator for item in items}
    assert schemes == {"SCT", "99CASCADE"}
    assert {item.ConceptNameCodeSequence[0].CodeMeaning for item in items} >= {"Volume", "Depth", "Width", "Cobb angle"}


def test_the_series_and_the_seg_are_its_evidence(made: tuple[tuple[Measurement, ...], DicomSource, Path]) -> None:
    _, source, folder = made
    document = dcmread(folder / "sr.dcm")
    told = (*document.CurrentRequestedProcedureEvidenceSequence, *document.get("PertinentOtherEvidenceSequence", ()))
    instances = [item for study in told for series in study.ReferencedSeriesSequence for item in series.ReferencedSOPSequence]
    uids = {item.ReferencedSOPInstanceUID for item in instances}
    assert uids == {dcmread(folder / "seg.dcm").SOPInstanceUID, *(dataset.SOPInstanceUID for dataset in source.datasets)}


def test_equal_runs_give_equal_bytes(made: tuple[tuple[Measurement, ...], DicomSource, Path], tmp_path: Path) -> None:
    rows, source, folder = made
    write_dicom_sr(plain(rows), tmp_path / "again.dcm", folder / "seg.dcm", source)
    assert (tmp_path / "again.dcm").read_bytes() == (folder / "sr.dcm").read_bytes()


def test_nothing_measured_is_an_error(made: tuple[tuple[Measurement, ...], DicomSource, Path], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="at least one measurement"):
        write_dicom_sr([SrRow("L4", "body", {})], tmp_path / "sr.dcm", made[2] / "seg.dcm", made[1])


def test_a_single_segment_can_be_referred_to(made: tuple[tuple[Measurement, ...], DicomSource, Path], tmp_path: Path) -> None:
    _, source, _ = made
    _, labels = (part.reoriented("PSR") for part in render(SPEC))
    labels.data[np.asarray(labels.data != labels.scheme["L3"])] = 0
    alone = type(labels)(labels.data, labels.grid, labels.scheme)
    write_dicom_seg(alone, tmp_path / "seg.dcm", source)
    write_dicom_sr(plain(measure(alone)), tmp_path / "sr.dcm", tmp_path / "seg.dcm", source)
    assert len(groups(dcmread(tmp_path / "sr.dcm"))) == 1


def test_the_command_writes_the_seg_and_the_sr_together(made: tuple[tuple[Measurement, ...], DicomSource, Path], tmp_path: Path) -> None:
    _, source, folder = made
    result = dataclasses.replace(phantom_result(SPEC), _source=source)
    Keep("binary")(result, Job(folder / "series", tmp_path / "seg.dcm", sr=tmp_path / "sr.dcm"))
    references = {
        child(group, "121191").ReferencedSOPSequence[0].ReferencedSOPInstanceUID for group in groups(dcmread(tmp_path / "sr.dcm"))[:5]
    }
    assert references == {dcmread(tmp_path / "seg.dcm").SOPInstanceUID}


def test_a_scan_that_is_not_dicom_has_no_sr(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="read from DICOM"):
        phantom_result(SPEC).save_sr(tmp_path / "sr.dcm", tmp_path / "seg.dcm")

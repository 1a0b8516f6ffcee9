"""Measurements as DICOM SR: every number of the table once, with unit, structure and segment."""

from __future__ import annotations

import dataclasses
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
from cascade.io.dicom_sr import SrRow, concept_of, write_dicom_sr
from cascade.measure import COLUMNS, SD, Measurement, measure, numbers, table, with_spread
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


def cells(text: str) -> dict[tuple[str, str], float]:
    """Every number of a table by the name that its row has in a report, and by column."""
    heading, *lines = [line.split("\t") for line in text.splitlines()]
    found = {}
    for line in lines:
        row = dict(zip(heading, line, strict=True))
        about = SrRow(row["structure"], row["kind"], {}).tracking_id
        found |= {(about, column): float(cell) for column, cell in row.items() if _is_number(cell)}
    return found


def read_back(path: Path) -> list[tuple[tuple[str, str], float]]:
    """Every number of a report by the name of its group, and by the column of the table that has its concept."""
    columns = {concept_of(column).value: column for column in COLUMNS if _is_quantity(column)}
    found = []
    for group in groups(dcmread(path)):
        for item in (part for part in group.ContentSequence if part.ValueType == "NUM"):
            error = any(part.ConceptNameCodeSequence[0].CodeValue == "121401" for part in item.get("ContentSequence", ()))
            column = columns[item.ConceptNameCodeSequence[0].CodeValue] + (SD if error else "")
            found.append(((str(child(group, "112039").TextValue), column), float(item.MeasuredValueSequence[0].NumericValue)))
    return found


def _is_quantity(column: str) -> bool:
    return column not in ("structure", "kind", "cut", "canal_at", "signal_reference")


def _is_number(cell: str) -> bool:
    return cell.lstrip("-").replace(".", "", 1).isdigit()


def test_read_back_it_equals_every_cell_of_the_table(made: tuple[tuple[Measurement, ...], DicomSource, Path]) -> None:
    rows, _, folder = made
    found = read_back(folder / "sr.dcm")
    assert len(found) > 200
    assert len(dict(found)) == len(found)
    assert dict(found) == cells(table(rows))


def test_errors_are_told_as_standard_deviations_of_the_same_concepts(
    made: tuple[tuple[Measurement, ...], DicomSource, Path], tmp_path: Path
) -> None:
    rows, source, folder = made
    unsure = with_spread(rows, [measure_moved(rows, share) for share in (0.98, 1.01, 1.03)])
    write_dicom_sr(plain(unsure), tmp_path / "sr.dcm", folder / "seg.dcm", source)
    found = dict(read_back(tmp_path / "sr.dcm"))
    assert found == cells(table(unsure))
    assert len([column for _, column in found if column.endswith(SD)]) > 50


def measure_moved(rows: tuple[Measurement, ...], share: float) -> tuple[Measurement, ...]:
    """The same rows with every length multiplied."""
    lengths = ("anterior_mm", "middle_mm", "posterior_mm", "depth_mm", "slip_mm", "canal_ap_mm")
    return tuple(
        dataclasses.replace(row, **{name: getattr(row, name) * share for name in lengths if getattr(row, name) is not None}) for row in rows
    )


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

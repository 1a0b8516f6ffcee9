"""DICOM SR out: every number of the table as a coded measurement (TID 1500), with its segment and the source series.

Standard concepts are used where DICOM's content mapping resource has one for what is measured (`_STANDARD`); the others stand under the
private designator ``99CASCADE``, their code being the name of their column (see `concept_of`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceImageForMeasurementGroup,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from cascade.errors import OutputError
from cascade.io.dicom import DicomSource
from cascade.io.dicom_files import attribute, quiet
from cascade.io.dicom_headers import referable
from cascade.io.dicom_seg import without_clock
from cascade.io.files import replacing
from cascade.terminology import code_of

SCHEME = "99CASCADE"
#: The series number of a report: the source's, and this in front.
_SERIES_OFFSET = 9500
_SERIES_RANGE = 500
#: Columns that a standard concept names exactly.
_STANDARD: Mapping[str, Code] = {
    "volume_ml": codes.SCT.Volume,
    "depth_mm": codes.SCT.Depth,
    "width_mm": codes.SCT.Width,
    "cobb_deg": codes.SCT.CobbAngle,
}
#: Names of the others.
_PRIVATE: Mapping[str, str] = {
    "x_mm": "Centre, to the right",
    "y_mm": "Centre, to the front",
    "z_mm": "Centre, to the head",
    "anterior_mm": "Anterior height",
    "middle_mm": "Middle height",
    "posterior_mm": "Posterior height",
    "wedge_deg": "Angle between the end plates",
    "segment_deg": "Sagittal Cobb angle to the next body or over the region",
    "slip_mm": "Slip on the next body, to the front",
    "slip_percent": "Slip over the depth of the lower end plate",
    "slip_grade": "Meyerding grade of the slip",
    "slope_deg": "Slope of the upper end plate of S1",
    "anterior_loss_percent": "Loss of anterior height",
    "middle_loss_percent": "Loss of middle height",
    "posterior_loss_percent": "Loss of posterior height",
    "loss_grade": "Genant grade of the loss of height",
    "height_index": "Disc height index",
    "canal_ap_mm": "Anteroposterior diameter of the canal",
    "canal_area_mm2": "Area of the canal across its axis",
    "csf_signal": "Cerebrospinal fluid over that of the whole canal",
    "signal": "Relative signal",
    "nucleus_signal": "Relative signal of the nucleus",
    "annulus_signal": "Relative signal of the annulus",
}
#: A code value is at most so long.
_CODE_LENGTH = 16
#: End of the columns that tell an error, and how it was found.
_ERROR = "_sd"
_REPEATED = Code("repeated", SCHEME, "Over repeated segmentation, calibrated")
#: Columns that are relative to what the row names.
_RELATIVE = ("signal", "nucleus_signal", "annulus_signal")
_UNITS: Mapping[str, Code] = {
    "_mm": codes.UCUM.Millimeter,
    "_mm2": codes.UCUM.SquareMillimeter,
    "_ml": Code("ml", "UCUM", "milliliter"),
    "_deg": codes.UCUM.Degree,
    "_percent": codes.UCUM.Percent,
    "_grade": codes.UCUM.NoUnits,
    "_index": codes.UCUM.Ratio,
    "signal": codes.UCUM.Ratio,
}
_SPINE: Code = codes.SCT.LumbarSpine
Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


@dataclass(frozen=True)
class SrRow:
    """One row of the table.

    Parameters
    ----------
    structure, kind : str
    numbers : mapping of str to float
        Column and value, rounded as in the table.
    method : str or None
        What signals are relative to.
    """

    structure: str
    kind: str
    numbers: Mapping[str, float]
    method: str | None = None

    @property
    def tracking_id(self) -> str:
        """Name that is the same for this row of any scan."""
        return self.structure if self.kind in ("body", "disc", "sacrum", "canal") else f"{self.kind} {self.structure}"


def write_dicom_sr(rows: Sequence[SrRow], path: Path, seg: Path, source: DicomSource) -> None:
    """Write measurements as a Comprehensive SR that refers to a DICOM SEG and to the series both were made from.

    UIDs are derived from those of the SEG and dates are the source's, so that equal runs give equal bytes.

    Parameters
    ----------
    rows : sequence of SrRow
        Those without a number are left out.
    path : Path
    seg : Path
        As `cascade.io.dicom_seg.write_dicom_seg` wrote it.
    source : DicomSource

    Raises
    ------
    OutputError
        There is no number to write, or the source lacks what an SR must repeat.
    """
    told = [row for row in rows if row.numbers]
    if not told:
        raise OutputError(f"{path}: expected at least one measurement; found none; an SR cannot be empty")
    segmentation = dcmread(seg, stop_before_pixels=True)
    images, _ = referable(source.datasets, source.grid.spacing_mm[2], str(path))
    numbers = {str(segment.SegmentLabel): int(segment.SegmentNumber) for segment in segmentation.SegmentSequence}
    groups = [_group(row, numbers.get(row.structure), segmentation, images) for row in told]
    try:
        with quiet(), replacing(path, ".dcm") as temporary:
            _document(groups, segmentation, images).save_as(temporary)
    except (AttributeError, ValueError, TypeError) as error:
        raise OutputError(
            f"{path}: expected a source series that a DICOM SR can refer to; it lacks what the standard asks for ({type(error).__name__})"
        ) from error


def concept_of(column: str) -> Code:
    """The coded concept of a column; the code of a private one is its name, without ``_percent`` where that is too long.

    >>> concept_of("depth_mm").value, concept_of("slip_percent").value, concept_of("anterior_loss_percent").value
    ('131197000', 'slip_percent', 'anterior_loss')
    """
    short = column if len(column) <= _CODE_LENGTH else column.removesuffix("_percent")
    return _STANDARD.get(column) or Code(short, SCHEME, _PRIVATE[column])


def unit_of(column: str) -> Code:
    """The UCUM unit of a column.

    >>> unit_of("slip_mm").value, unit_of("volume_ml").value, unit_of("nucleus_signal").value
    ('mm', 'ml', '{ratio}')
    """
    return next(unit for suffix, unit in sorted(_UNITS.items(), key=lambda entry: -len(entry[0])) if column.endswith(suffix))


def _group(row: SrRow, number: int | None, seg: Dataset, images: Sequence[Dataset]) -> Group:
    """The measurements of one row; about a segment where it has one, else about the source images."""
    site = _site(row)
    shared: dict[str, Any] = {
        "tracking_identifier": TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[str(seg.SOPInstanceUID), row.tracking_id]), identifier=row.tracking_id
        ),
        "finding_type": site,
        "finding_sites": [FindingSite(anatomic_location=site)],
        "algorithm_id": _algorithm(),
        "measurements": [_measurement(column, value, row) for column, value in row.numbers.items()],
    }
    if number is None:
        middle = images[len(images) // 2]
        about = SourceImageForMeasurementGroup(str(middle.SOPClassUID), str(middle.SOPInstanceUID))
        return MeasurementsAndQualitativeEvaluations(source_images=[about], **shared)
    series = SourceSeriesForSegmentation(str(images[0].SeriesInstanceUID))
    segment = ReferencedSegment(str(seg.SOPClassUID), str(seg.SOPInstanceUID), number, source_series=series)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **shared)


def _site(row: SrRow) -> Code:
    if row.kind not in ("body", "disc", "sacrum", "canal"):
        return _SPINE
    code = code_of(row.structure)
    return Code(code.value, "SCT", code.meaning)


def _measurement(column: str, value: float, row: SrRow) -> Measurement:
    if column.endswith(_ERROR):
        of = column.removesuffix(_ERROR)
        return Measurement(concept_of(of), value, unit_of(of), derivation=codes.SCT.StandardDeviation, method=_REPEATED)
    method = Code(row.method, SCHEME, f"Relative to {row.method}") if row.method and column in _RELATIVE else None
    return Measurement(name=concept_of(column), value=value, unit=unit_of(column), method=method)


def _algorithm() -> AlgorithmIdentification:
    from cascade._version import __version__

    return AlgorithmIdentification(name="cascade", version=__version__)


def _document(groups: Sequence[Group], seg: Dataset, images: Sequence[Dataset]) -> ComprehensiveSR:
    from cascade._version import __version__

    uid = generate_uid(entropy_srcs=[str(seg.SOPInstanceUID), "report", *(str(group) for group in groups)])
    device = DeviceObserverIdentifyingAttributes(uid=generate_uid(entropy_srcs=["cascade", __version__]), name="cascade")
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
        ),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = ComprehensiveSR(
        evidence=[seg, *images],
        content=report,
        series_instance_uid=generate_uid(entropy_srcs=[uid, "series"]),
        series_number=_SERIES_OFFSET + int(attribute(images[0], "SeriesNumber", 0)) % _SERIES_RANGE,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer="cascade",
        is_complete=True,
        series_description="cascade: spine measurements",
    )
    without_clock(document, images[0])
    return document

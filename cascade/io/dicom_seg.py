"""DICOM SEG out and in: one coded segment a structure, on the slices of the source series."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from highdicom import AlgorithmIdentificationSequence, PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription, segread
from highdicom.seg.enum import SegmentAlgorithmTypeValues
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

from cascade.errors import InputError, OutputError
from cascade.io.dicom import LPS_TO_RAS, DicomSource
from cascade.io.dicom_files import DAMAGED, attribute, quiet
from cascade.io.dicom_headers import referable
from cascade.io.files import replacing
from cascade.io.formats import NOT_DICOM, SEG_TYPES, SegType, Source
from cascade.labels import VERSE, is_level, rank
from cascade.terminology import CATEGORY, code_of, colour_of, description_of
from cascade.volume import Grid, LabelMap, box_between

#: The series number of a segmentation: the source's, and this in front.
_SERIES_OFFSET = 9000


def write_dicom_seg(labels: LabelMap, path: Path, source: Source | None, seg_type: SegType = "binary") -> None:
    """Write labels as a DICOM SEG that refers to the series they were made from.

    Segments are numbered from head to foot; their labels are the names of the structures. UIDs are derived from the
    content and dates are the source's, so that equal labels of a series give equal bytes.

    Parameters
    ----------
    labels : LabelMap
        On the grid of `source`, in any storage order.
    path : Path
    source : DicomSource
        What else a scan was read from is refused.
    seg_type : {"binary", "labelmap"}
        One bit image a segment, which every viewer reads, or one number a pixel (DICOM 2024d and later).

    Raises
    ------
    OutputError
        There is no structure to write, the labels are not on the source's grid, or the source cannot be referred to.
    InputError
        As for `cascade.io.dicom_headers.referable`.
    """
    from cascade._version import __version__

    if seg_type not in SEG_TYPES:
        raise OutputError(f"{path}: expected a DICOM SEG of type {' or '.join(SEG_TYPES)}; found {seg_type!r}")
    if not isinstance(source, DicomSource):
        raise OutputError(NOT_DICOM.format(path=path))
    names = sorted(labels.structures, key=_from_head_to_foot)
    if not names:
        raise OutputError(f"{path}: expected at least one structure; found none; a DICOM SEG cannot be empty")
    frames = _frames(labels, names, source, path)
    uid = _content_uid(frames, names, source, f"{seg_type} {__version__}")
    datasets, _ = referable(source.datasets, source.grid.spacing_mm[2], str(path))
    try:
        with quiet():
            seg = Segmentation(
                source_images=datasets,
                pixel_array=frames,
                segmentation_type=seg_type.upper(),
                segment_descriptions=[_describe(number, name, __version__) for number, name in enumerate(names, start=1)],
                series_instance_uid=generate_uid(entropy_srcs=[uid, "series"]),
                series_number=_SERIES_OFFSET + int(attribute(datasets[0], "SeriesNumber", 0)) % _SERIES_OFFSET,
                sop_instance_uid=uid,
                instance_number=1,
                manufacturer="cascade",
                manufacturer_model_name="cascade-segment",
                software_versions=__version__,
                device_serial_number=__version__,
                pixel_measures=_pixel_measures(source),
                content_label="SPINE_LEVELS",
                content_description="Vertebral bodies and intervertebral discs",
                series_description="cascade: spine levels",
            )
            without_clock(seg, datasets[0])
            with replacing(path, ".dcm") as temporary:
                seg.save_as(temporary)
    except (AttributeError, ValueError, TypeError) as error:
        raise OutputError(
            f"{path}: expected a source series that a DICOM SEG can refer to; its headers cannot be used ({type(error).__name__}); "
            "write .seg.nrrd or .nii.gz instead"
        ) from error


def read_segments(path: Path) -> tuple[NDArray[np.uint16], Grid]:
    """Read the segment numbers of a DICOM SEG; see `read_dicom_seg`."""
    return read_dicom_seg(path)[:2]


def read_dicom_seg(path: Path) -> tuple[NDArray[np.uint16], Grid, dict[int, str]]:
    """Read the segments of a DICOM SEG as one label array.

    Returns
    -------
    data : array of uint16
        Segment numbers; axes as in `cascade.io.dicom`.
    grid : Grid
        From the first to the last slice that holds a segment.
    names : dict of int to str
        Segment labels.

    Raises
    ------
    InputError
        It is no DICOM SEG, its segments overlap, or its frames make no volume.
    """
    try:
        with quiet():
            seg = segread(path)
            volume = seg.get_volume(combine_segments=True)
    except (*DAMAGED, RuntimeError) as error:
        raise InputError(
            f"{path}: expected a DICOM SEG with segments that do not overlap; it cannot be read as one ({type(error).__name__})"
        ) from None
    data = np.ascontiguousarray(np.asarray(volume.array, dtype=np.uint16).transpose(2, 1, 0))
    affine = LPS_TO_RAS @ np.asarray(volume.affine)[:, [2, 1, 0, 3]]
    names = {int(number): str(seg.get_segment_description(number).segment_label) for number in seg.segment_numbers}
    shape = data.shape
    return data, Grid((shape[0], shape[1], shape[2]), affine), names


def read_seg_on(path: Path, grid: Grid) -> LabelMap:
    """Read a DICOM SEG whose segments are named as structures are, onto the grid of the scan that it was made from.

    Raises
    ------
    InputError
        As for `read_dicom_seg`, and where a segment has another name, or the voxels lie elsewhere.
    """
    numbers, part, names = read_dicom_seg(path)
    strangers = [name for name in names.values() if name not in VERSE]
    if strangers:
        found = ", ".join(strangers[:5])
        raise InputError(
            f"{path}: expected segments named L4, L4-L5, sacrum, canal, ...; found {found}; convert it to NIfTI, and say --scheme"
        )
    table = np.zeros(int(numbers.max()) + 1, dtype=np.uint8)
    for number, name in names.items():
        if number < len(table):
            table[number] = VERSE[name]
    turned = LabelMap(table[numbers], part, VERSE).reoriented(grid.axcodes)
    start = np.rint(grid.to_voxels(turned.grid.to_world(np.zeros(3)))).astype(int)
    box = box_between(start, start + turned.grid.shape)
    if (start < 0).any() or (start + turned.grid.shape > grid.shape).any() or not grid.cropped(box).matches(turned.grid, tol_mm=0.05):
        raise InputError(f"{path}: expected segments on the grid of the scan; found another; give the series that it was made from")
    whole = np.zeros(grid.shape, dtype=np.uint8)
    whole[box] = turned.data
    return LabelMap(whole, grid, VERSE)


def _from_head_to_foot(structure: str) -> float:
    return rank(structure) if is_level(structure) else np.inf


def _frames(labels: LabelMap, names: list[str], source: DicomSource, path: Path) -> NDArray[np.uint8]:
    """Segment numbers from 1 in the order of `names`, (frames, rows, columns) in the source's order of frames."""
    stored = labels.reoriented(source.grid.axcodes)
    if not stored.grid.matches(source.grid):
        raise OutputError(f"{path}: expected labels on the grid of the source series; found another; write .seg.nrrd or .nii.gz")
    table = np.zeros(max(labels.values) + 1, dtype=np.uint8)
    for number, name in enumerate(names, start=1):
        table[labels.scheme[name]] = number
    return np.ascontiguousarray(table[stored.data[:, :, list(source.slices)]].transpose(2, 1, 0))


def _content_uid(frames: NDArray[np.uint8], names: list[str], source: DicomSource, how: str) -> str:
    """An instance UID that is the same for the same content."""
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    images = [str(dataset.SOPInstanceUID) for dataset in source.datasets]
    return str(generate_uid(entropy_srcs=[digest, *names, *images, how]))


def _describe(number: int, structure: str, version: str) -> SegmentDescription:
    code = code_of(structure)
    description = SegmentDescription(
        segment_number=number,
        segment_label=structure,
        segmented_property_category=Code(CATEGORY.value, "SCT", CATEGORY.meaning),
        segmented_property_type=Code(code.value, "SCT", code.meaning),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(name="cascade", family=codes.DCM.ArtificialIntelligence, version=version),
        display_color=CIELabColor.from_rgb(*colour_of(structure)),
    )
    description.SegmentDescription = description_of(structure)
    return description


def _pixel_measures(source: DicomSource) -> PixelMeasuresSequence:
    columns, rows, step = source.grid.spacing_mm
    thickness = attribute(source.datasets[0], "SliceThickness", step)
    return PixelMeasuresSequence(pixel_spacing=(rows, columns), slice_thickness=float(thickness), spacing_between_slices=step)


def without_clock(seg: Any, source: Dataset) -> None:
    """Replace time and chance by what the source and the content say, so that equal runs give equal bytes."""
    for kind in ("Date", "Time"):
        value = next((attribute(source, f"{of}{kind}") for of in ("Content", "Series", "Study") if attribute(source, f"{of}{kind}")), None)
        setattr(seg, f"Content{kind}", value or {"Date": "19000101", "Time": "000000"}[kind])
        for of in ("Series", "InstanceCreation"):
            if f"{of}{kind}" in seg:
                delattr(seg, f"{of}{kind}")
    for equipment in seg.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in equipment:
            del equipment.ContributionDateTime
    if "DimensionOrganizationSequence" not in seg:
        return
    organisation = generate_uid(entropy_srcs=[seg.SOPInstanceUID, "dimensions"])
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation

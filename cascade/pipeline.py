"""The cascade: scan -> spine -> tissues -> named levels -> labels on the scan's grid."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.checkpoints import Checkpoint, choose_device, load_checkpoint
from cascade.errors import InputError, NumberingError
from cascade.formats import Source, read_scan_file, write_labels_file
from cascade.labels import CASCADE, LabelScheme, get_scheme, rank
from cascade.measure import Measurement, measure, save_table
from cascade.nifti import replacing
from cascade.postproc.identify import Identified, Notice, identify
from cascade.postproc.naming import Numbering
from cascade.postproc.paint import paint
from cascade.stage1_spine.locate import LOW_CONFIDENCE, Spine, locate
from cascade.stage2_levels.classify import classify
from cascade.volume import LabelMap, Volume

if TYPE_CHECKING:
    from cascade.dicom_seg import SegType

MIN_VOXELS, FEW_SLICES = 5, 8


@dataclass(frozen=True)
class Level:
    """One named structure, on the scan's grid.

    Parameters
    ----------
    name : str
    centroid_mm : (3,) tuple of float
        RAS+.
    volume_ml : float
    touches_border : bool
        Cut by the upper or lower end of the field of view.
    confidence : float
        Mean probability of its class inside it, times the probability of the numbering.
    """

    name: str
    centroid_mm: tuple[float, float, float]
    volume_ml: float
    touches_border: bool
    confidence: float


@dataclass(frozen=True)
class NumberingResult:
    """How sure the names are.

    Parameters
    ----------
    confidence : float
        Posterior probability of the numbering.
    second_best : tuple of (str or None)
        Bodies from the top down in the next best numbering.
    margin : float
        Its cost above the best, in nats.
    """

    confidence: float
    second_best: tuple[str | None, ...]
    margin: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The result for one scan.

    Parameters
    ----------
    labels : LabelMap
        On the input's grid.
    scan : Volume
        The input, with NaN and infinities made background.
    spine : Spine
    levels : tuple of Level
        Cranial to caudal.
    numbering : NumberingResult
    warnings : tuple of Notice
    provenance : mapping
        Version, sha256 of both checkpoints, input grid, device, seconds by part.
    """

    labels: LabelMap
    scan: Volume
    spine: Spine
    levels: tuple[Level, ...]
    numbering: NumberingResult
    warnings: tuple[Notice, ...]
    provenance: dict[str, Any]
    _source: Source | None = dataclasses.field(default=None, repr=False)

    @cached_property
    def measurements(self) -> tuple[Measurement, ...]:
        """Volumes, heights, angles and signal, one row a structure; measured when first asked for."""
        return measure(self.labels, self.scan, [level.name for level in self.levels if level.touches_border])

    def save(self, path: str | os.PathLike[str], *, seg_type: SegType = "binary") -> None:
        """Write the labels on exactly the input's grid, in the format that the suffix asks for.

        Parameters
        ----------
        path : path
            ``.nii``, ``.nii.gz``, ``.seg.nrrd`` (3D Slicer), ``.nrrd``, ``.mha``, or ``.dcm`` (DICOM SEG, for scans read
            from DICOM).
        seg_type : {"binary", "labelmap"}
            Kind of DICOM SEG.

        Raises
        ------
        OutputError
            `path` cannot be written, its suffix is unknown, or a DICOM SEG is asked for a scan that is not DICOM.
        MissingExtraError
            The format needs an extra that is not installed.
        """
        write_labels_file(self.labels, Path(path), self._source, seg_type)

    def save_picture(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG: the scan cut along the middle of the column, with the levels outlined and named."""
        from cascade.picture import save_picture

        save_picture(self.scan, self.labels, self.spine.centreline_mm, Path(path))

    def save_table(self, path: str | os.PathLike[str]) -> None:
        """Write `measurements` as tab-separated text, one row a structure."""
        save_table(self.measurements, Path(path))

    def save_report(self, path: str | os.PathLike[str], title: str = "scan") -> None:
        """Write one self-contained HTML page to judge and keep the result: pictures, slices, measurements, warnings, provenance."""
        from cascade.report import save_report

        save_report(self, Path(path), title)

    def to_dict(self) -> dict[str, Any]:
        """Return levels, measurements, numbering, warnings and provenance as plain types, ready for JSON."""
        numbering = dataclasses.asdict(self.numbering)
        if not np.isfinite(self.numbering.margin):
            numbering["margin"] = None
        return {
            "levels": [dataclasses.asdict(level) for level in self.levels],
            "measurements": [dataclasses.asdict(row) for row in self.measurements],
            "numbering": numbering,
            "warnings": [dataclasses.asdict(notice) for notice in self.warnings],
            "provenance": self.provenance,
        }

    def save_json(self, path: str | os.PathLike[str], **extra: str) -> None:
        """Write `to_dict` as JSON, with `extra` entries (input, output) first."""
        with replacing(Path(path)) as temporary:
            temporary.write_text(json.dumps(extra | self.to_dict(), indent=2) + "\n")


@dataclass(frozen=True)
class Segmenter:
    """Both networks, loaded once and used for many scans.

    Parameters
    ----------
    stage1, stage2 : Checkpoint
    device : str
    """

    stage1: Checkpoint
    stage2: Checkpoint
    device: str = "cpu"

    @classmethod
    def from_pretrained(cls, device: str = "auto", weights: str | os.PathLike[str] | None = None) -> Segmenter:
        """Load the packaged weights, or those of a folder.

        Parameters
        ----------
        device : {"auto", "cpu", "cuda", "mps"}
            ``"auto"`` takes a GPU if there is one.
        weights : path, optional
            Folder with ``stage1_spine`` and ``stage2_levels`` as .json and .safetensors.

        Raises
        ------
        CheckpointError
            A file is missing or altered.
        CascadeError
            The device is not there.
        """
        chosen, folder = choose_device(device), Path(weights) if weights is not None else None
        return cls(load_checkpoint("stage1_spine", folder, chosen), load_checkpoint("stage2_levels", folder, chosen), chosen)

    def segment(
        self,
        image: str | os.PathLike[str] | Volume,
        *,
        scheme: str | LabelScheme = CASCADE,
        numbering: Numbering | None = None,
        series: str | None = None,
    ) -> Segmentation:
        """Segment one scan.

        Parameters
        ----------
        image : path or Volume
            NIfTI, NRRD or MetaImage file, DICOM folder, zip or multi-frame file, or an image in memory.
        scheme : str or LabelScheme
            Numbers of the result. ``"cascade"`` holds L1-L5 and the four discs between them; every other scheme gets
            every structure that was found and that it can number.
        numbering : Numbering, optional
            What is known about the levels.
        series : str, optional
            DICOM series number or SeriesInstanceUID; by default the only series, or the only sagittal T2.

        Raises
        ------
        InputError
            The scan cannot be used.
        NoSpineError
            There is no spine in it.
        NumberingError
            `numbering` contradicts what was found.
        """
        with _naming_the_file(image):
            return self._segment(image, series, get_scheme(scheme), numbering)

    def _segment(
        self, image: str | os.PathLike[str] | Volume, series: str | None, scheme: LabelScheme, numbering: Numbering | None
    ) -> Segmentation:
        clock = _Clock()
        scan, source, notices = read_scan(image, series)
        clock.lap("read")
        spine = locate(scan, self.stage1)
        clock.lap("stage1_spine")
        tissues = classify(scan, spine.centreline_mm, self.stage2)
        clock.lap("stage2_levels")
        oriented = scan.grid.reoriented(self.stage2.spec.axcodes)
        found = identify(
            tissues.probabilities,
            tissues.classes,
            tissues.grid,
            centreline_mm=spine.centreline_mm,
            scan_grid=oriented,
            parameters=self.stage2.spec.naming,
            numbering=numbering,
        )
        target = scheme.for_chain(found.structures)
        names = {value: name for value, name in found.names.items() if name in target}
        labels = paint(
            tissues.probabilities, tissues.classes, tissues.grid, found.instances, names, target=oriented, scheme=target
        ).reoriented(scan.grid.axcodes)
        clock.lap("postproc")
        return Segmentation(
            labels=LabelMap(labels.data, scan.grid, target),
            scan=scan,
            spine=spine,
            levels=tuple(_levels(labels, found)),
            numbering=NumberingResult(found.naming.confidence, found.naming.second_best, found.naming.margin),
            warnings=(*notices, *_spine_notices(spine), *found.notices, *_lost(found, target)),
            provenance=self._provenance(scan, clock),
            _source=source,
        )

    def _provenance(self, scan: Volume, clock: _Clock) -> dict[str, Any]:
        from cascade import __version__

        return {
            "version": __version__,
            "weights_sha256": {c.spec.stage: c.spec.weights_sha256 for c in (self.stage1, self.stage2)},
            "grid": {"shape": scan.grid.shape, "spacing_mm": scan.grid.spacing_mm, "axcodes": scan.grid.axcodes},
            "device": self.device,
            "seconds": clock.seconds,
        }


def segment(
    image: str | os.PathLike[str] | Volume,
    *,
    scheme: str | LabelScheme = CASCADE,
    device: str = "auto",
    numbering: Numbering | None = None,
    series: str | None = None,
) -> Segmentation:
    """Segment one scan with the packaged weights, which stay loaded for the next call.

    See `Segmenter.segment` for the parameters and errors, `Segmenter.from_pretrained` for `device`.
    """
    return _segmenter(device).segment(image, scheme=scheme, numbering=numbering, series=series)


@cache
def _segmenter(device: str) -> Segmenter:
    return Segmenter.from_pretrained(device)


def read_scan(image: str | os.PathLike[str] | Volume, series: str | None = None) -> tuple[Volume, Source | None, tuple[Notice, ...]]:
    """Read and check a scan; what is not finite becomes background.

    Raises
    ------
    InputError
        The scan is too small, constant, or holds no number.
    """
    if isinstance(image, Volume):
        name, scan, source = "image", image, None
    else:
        name = os.fspath(image)
        scan, source = read_scan_file(Path(image), series)
    notices = [Notice(code, None, text) for code, text in (source.notes if source else ())]
    if min(scan.grid.shape) < MIN_VOXELS:
        raise InputError(f"{name}: expected at least {MIN_VOXELS} voxels along each axis, got {scan.grid.shape}")
    if min(scan.grid.shape) <= FEW_SLICES:
        notices.append(Notice("few-slices", None, f"only {min(scan.grid.shape)} slices; the outer parts of the spine are not in view"))
    finite = np.isfinite(scan.data)
    if not finite.any():
        raise InputError(f"{name}: expected an image; no voxel holds a finite number")
    if not finite.all():
        share = 1 - finite.mean()
        notices.append(Notice("not-finite", None, f"{share:.2%} of the voxels are NaN or infinite; they are taken as background"))
        scan = Volume(np.where(finite, scan.data, scan.data[finite].min()), scan.grid)
    if scan.data.min() == scan.data.max():
        raise InputError(f"{name}: expected an image; every voxel has the value {scan.data.flat[0]:g}")
    return scan, source, tuple(notices)


@contextlib.contextmanager
def _naming_the_file(image: str | os.PathLike[str] | Volume) -> Iterator[None]:
    """Put the scan's name in front of errors that do not know it."""
    name = "image" if isinstance(image, Volume) else os.fspath(image)
    try:
        yield
    except (InputError, NumberingError) as error:
        if str(error).startswith(f"{name}:"):
            raise
        raise type(error)(f"{name}: {error}") from error


def _levels(labels: LabelMap, found: Identified) -> Iterator[Level]:
    for name, instance in found.structures.items():
        if name not in labels.scheme:
            continue
        voxels = np.argwhere(labels[name])
        if not len(voxels):
            continue
        x, y, z = labels.grid.to_world(voxels.mean(axis=0))
        volume_ml = len(voxels) * labels.grid.voxel_mm3 / 1000
        confidence = round(instance.confidence * found.naming.confidence, 4)
        yield Level(name, (float(x), float(y), float(z)), volume_ml, instance.touches_border, confidence)


def _spine_notices(spine: Spine) -> Iterator[Notice]:
    if spine.confidence < LOW_CONFIDENCE:
        yield Notice("stage1-low-confidence", None, f"the column was located with a mean probability of only {spine.confidence:.2f}")


def _lost(found: Identified, scheme: LabelScheme) -> Iterator[Notice]:
    missing = [name for name in found.structures if name not in scheme]
    if missing and scheme != CASCADE:
        yield Notice("structures-not-in-scheme", None, f"scheme {scheme.name} has no number for {', '.join(sorted(missing, key=rank))}")


class _Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        now = time.perf_counter()
        self.seconds[part] = round(now - self._last, 3)
        self._last = now

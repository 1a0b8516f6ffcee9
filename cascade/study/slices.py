"""What axial slices show: which disc or body, and how far from the disc's middle, told by a sagittal result.

The column is followed from structure to structure along a line through their centres. Where a slice cuts this line, it shows what
lies there; how far it is from a disc is the distance of the disc's centre from the plane of the slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.labels import BODIES, LabelScheme, is_disc
from cascade.postproc.identify import Evidence, Identified
from cascade.postproc.paint import paint
from cascade.volume import FloatArray, Grid, LabelMap

#: The line is looked at in steps of this, and goes on straight beyond the outermost centres by this.
_STEP_MM, _BEYOND_MM = 0.25, 40.0
#: How far from a structure the line may be where nothing is labelled, as between an end plate and a disc.
_GAP_MM = 6.0
#: No body or disc of the lumbar spine is wider.
_WIDEST_MM = 60.0
#: The direction of the column is that over so much of it above and below.
_AROUND_MM = 15.0


@dataclass(frozen=True)
class Slice:
    """What one axial slice shows.

    Parameters
    ----------
    series : str
    stack : int
        Of the series, from 1, from the head down.
    number : int
        Of the slice in its stack, from 1, in the order of the label file.
    structure : str or None
        Body or disc at the middle of the column; None where the sagittal result does not reach.
    part : {"upper", "middle", "lower"} or None
        Third of a body.
    disc : str or None
        The disc whose middle is nearest.
    distance_mm : float or None
        From the disc's middle to the slice, across the slice; positive: the slice lies nearer to the head.
    tilt_deg : float or None
        Between the slice and a cut straight across the column.
    x_mm, y_mm, z_mm : float
        Where the slice cuts the middle of the column, RAS+; its own middle where the sagittal result does not reach.
    instance : str
        SOPInstanceUID of the image, if there is one.
    """

    series: str
    stack: int
    number: int
    structure: str | None
    part: str | None
    disc: str | None
    distance_mm: float | None
    tilt_deg: float | None
    x_mm: float
    y_mm: float
    z_mm: float
    instance: str = ""


@dataclass(frozen=True, eq=False)
class Guide:
    """A sagittal result by which axial slices are told.

    Parameters
    ----------
    series : str
        Its name.
    found : Identified
    evidence : Evidence
        In which it was found.
    """

    series: str
    found: Identified
    evidence: Evidence

    @property
    def width_mm(self) -> float:
        """How much of the width of a body or disc its field of view can hold."""
        return min(self.evidence.scan_grid.shape[0] * self.evidence.scan_grid.spacing_mm[0], _WIDEST_MM)

    @cached_property
    def line(self) -> tuple[FloatArray, list[str]]:
        """Points along the column, (n, 3) mm from the head down, and the structure at each."""
        centres = np.array([instance.centroid_mm for instance in self.found.structures.values()])
        up, down = centres[0] - centres[1], centres[-1] - centres[-2]
        ends = [centres[0] + up * _BEYOND_MM / np.linalg.norm(up), centres[-1] + down * _BEYOND_MM / np.linalg.norm(down)]
        corners = np.vstack([ends[0], centres, ends[1]])
        lengths = np.append(0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1)))
        at = np.arange(0, lengths[-1], _STEP_MM)
        points = np.stack([np.interp(at, lengths, corners[:, axis]) for axis in range(3)], axis=1)
        return self._labelled(points)

    def _labelled(self, points: FloatArray) -> tuple[FloatArray, list[str]]:
        """The points in or near a structure, and its name."""
        voxels = np.rint(self.evidence.grid.to_voxels(points)).astype(int)
        inside = ((voxels >= 0) & (voxels < self.evidence.grid.shape)).all(axis=1)
        values = np.zeros(len(points), dtype=int)
        values[inside] = self.found.instances.values[tuple(voxels[inside].T)]
        named = np.isin(values, list(self.found.names))
        away, nearest = ndimage.distance_transform_edt(~named, return_indices=True)
        first, last = np.flatnonzero(named)[[0, -1]]
        kept = np.flatnonzero(away * _STEP_MM <= _GAP_MM)
        kept = kept[(kept >= first) & (kept <= last)]
        return points[kept], [self.found.names[int(values[i])] for i in nearest[0][kept]]

    def where(self, grid: Grid) -> Iterator[Slice]:
        """What each slice shows of a stack whose third axis runs from slice to slice; series and stack are left open."""
        points, _ = self.line
        normal = np.cross(grid.vox2world[:3, 0], grid.vox2world[:3, 1])
        normal *= np.sign(normal[2]) / np.linalg.norm(normal)
        middle = (np.array(grid.shape) - 1) / 2
        for index in range(grid.shape[2]):
            centre = grid.to_world([middle[0], middle[1], index])
            above = (points - centre) @ normal
            crossing = np.flatnonzero(np.diff(np.sign(above)) < 0)
            if len(crossing) and self._in_view(points[crossing[0]], grid, index):
                yield self._at(int(crossing[0]), index, centre, normal)
            else:
                x, y, z = (round(float(value), 2) for value in centre)
                yield Slice("", 0, index + 1, None, None, None, None, None, x, y, z)

    def _in_view(self, point: FloatArray, grid: Grid, index: int) -> bool:
        """Whether the slice shows this point of its plane."""
        voxel = grid.to_voxels(point)
        return bool((voxel[:2] >= -0.5).all() and (voxel[:2] <= np.array(grid.shape[:2]) - 0.5).all() and abs(voxel[2] - index) < 1)

    def _at(self, crossing: int, index: int, centre: FloatArray, normal: FloatArray) -> Slice:
        points, names = self.line
        name = names[crossing]
        discs = {
            each: float((centre - self.found.structures[each].centroid_mm) @ normal) for each in self.found.structures if is_disc(each)
        }
        disc = min(discs, key=lambda each: abs(discs[each]), default=None)
        reach = round(_AROUND_MM / _STEP_MM)
        low, high = max(crossing - reach, 0), min(crossing + reach, len(points) - 1)
        along = points[low] - points[high]
        x, y, z = (round(float(value), 2) for value in points[crossing])
        tilt = np.rad2deg(np.arccos(np.clip(along @ normal / np.linalg.norm(along), -1, 1)))
        return Slice(
            "",
            0,
            index + 1,
            name,
            self._third(crossing) if name in BODIES else None,
            disc,
            round(discs[disc], 2) if disc else None,
            round(float(tilt), 1),
            x,
            y,
            z,
        )

    def _third(self, crossing: int) -> str:
        _, names = self.line
        within = [i for i, name in enumerate(names) if name == names[crossing]]
        share = (crossing - within[0]) / max(1, within[-1] - within[0])
        return ("upper", "middle", "lower")[min(2, int(share * 3))]

    def labels(self, grid: Grid, scheme: LabelScheme) -> LabelMap:
        """The labels of the sagittal result on another grid, from its class probabilities: labels themselves are not interpolated.

        Nothing is labelled outside the sagittal field of view, which often is narrower than a vertebra.
        """
        names = {value: name for value, name in self.found.names.items() if name in scheme}
        evidence, target = self.evidence, grid.reoriented("RAS")
        painted = paint(evidence.probabilities, evidence.classes, evidence.grid, self.found.instances, names, target=target, scheme=scheme)
        labels = painted.reoriented(grid.axcodes).data
        return LabelMap(np.where(in_view_of(evidence.scan_grid, grid), labels, labels.dtype.type(0)), grid, scheme)


def in_view_of(scan: Grid, grid: Grid) -> NDArray[np.bool_]:
    """Which voxels of a grid have their centre in a voxel of a scan."""
    voxels = scan.to_voxels(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)))
    return np.asarray(((voxels >= -0.5) & (voxels <= np.array(scan.shape) - 0.5)).all(axis=-1))

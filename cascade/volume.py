"""Voxels that know where they are.

World coordinates are RAS+ millimetres (x to the right, y to the front, z to the head), as in nibabel.
Other conventions are converted where files are read and written, never here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from nibabel import orientations
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from cascade.errors import InputError, SchemeError
from cascade.labels import LabelScheme, get_scheme, level_named

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]
FloatArray = NDArray[np.floating[Any]]
T = TypeVar("T", bound=np.generic)

#: No scan has more voxels (1024 x 1024 x 512, 2 GiB as float32); a header that says so is damaged, or meant to do harm.
MAX_VOXELS = 1 << 29
#: A finger, and a whole body: no scan is shorter or longer; a header that says so has another unit, or is wrong.
MIN_EXTENT_MM, MAX_EXTENT_MM = 10.0, 2500.0


@dataclass(frozen=True, eq=False)
class Grid:
    """A lattice of voxel centres in the world.

    Parameters
    ----------
    shape : (3,) tuple of int
        Voxels along each axis.
    vox2world : (4, 4) array
        Affine from voxel indices to RAS+ mm. Must be finite and invertible.

    Examples
    --------
    >>> grid = Grid((16, 400, 400), np.diag([4.4, 0.78, 0.78, 1.0]))
    >>> grid.axcodes, grid.spacing_mm
    ('RAS', (4.4, 0.78, 0.78))
    """

    shape: Shape
    vox2world: FloatArray

    def __post_init__(self) -> None:
        try:
            affine = np.array(self.vox2world, dtype=np.float64)
            shape = tuple(int(n) for n in self.shape)
        except (TypeError, ValueError) as error:
            raise InputError("expected three whole numbers as shape and 4 x 4 real numbers as affine; found something else") from error
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"expected a shape of three positive lengths, got {shape}")
        if math.prod(shape) > MAX_VOXELS:
            raise InputError(f"expected at most {MAX_VOXELS} voxels, got {' x '.join(map(str, shape))}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError("expected a finite 4 x 4 affine")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if (lengths <= 0).any() or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
            raise InputError("expected an invertible affine with positive spacing; its axes are zero or parallel")
        affine.setflags(write=False)
        object.__setattr__(self, "vox2world", affine)
        object.__setattr__(self, "shape", shape)

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis, in mm."""
        x, y, z = np.linalg.norm(self.vox2world[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @cached_property
    def axcodes(self) -> str:
        """Closest anatomical direction of each axis, for example ``"RAS"``."""
        return "".join(orientations.aff2axcodes(self.vox2world))

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(abs(np.linalg.det(self.vox2world[:3, :3])))

    def matches(self, other: Grid, tol_mm: float = 1e-3) -> bool:
        """Tell whether every voxel centre of both grids agrees to within `tol_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tol_mm)

    def to_world(self, voxels: ArrayLike) -> FloatArray:
        """Convert (..., 3) voxel indices to (..., 3) RAS+ mm."""
        return np.asarray(voxels) @ self.vox2world[:3, :3].T + self.vox2world[:3, 3]

    def to_voxels(self, points_mm: ArrayLike) -> FloatArray:
        """Convert (..., 3) RAS+ mm to (..., 3) fractional voxel indices."""
        return (np.asarray(points_mm) - self.vox2world[:3, 3]) @ np.linalg.inv(self.vox2world[:3, :3]).T

    def voxel_at(self, point_mm: ArrayLike) -> tuple[int, int, int] | None:
        """The voxel that holds a RAS+ mm point; None outside."""
        x, y, z = (int(value) for value in np.rint(self.to_voxels(point_mm)))
        return (x, y, z) if all(0 <= v < n for v, n in zip((x, y, z), self.shape, strict=True)) else None

    def reoriented(self, axcodes: str) -> Grid:
        """Permute and flip the axes so that they run along `axcodes`; the voxel centres stay where they are."""
        transform = _orientation_change(self.axcodes, axcodes)
        shape = [0, 0, 0]
        for axis, (target, _) in enumerate(transform.astype(int)):
            shape[target] = self.shape[axis]
        affine = self.vox2world @ orientations.inv_ornt_aff(transform, self.shape)
        return Grid((shape[0], shape[1], shape[2]), affine)

    def with_spacing(self, spacing_mm: Sequence[float]) -> Grid:
        """Cover the same field of view, corner to corner, with another voxel spacing (rounded up to whole voxels)."""
        zoom = np.asarray(spacing_mm, dtype=float) / self.spacing_mm
        shape = np.clip(np.ceil(np.asarray(self.shape) / zoom - 1e-3), 1, MAX_VOXELS + 1).astype(int)
        affine = self.vox2world.copy()
        affine[:3, :3] = self.vox2world[:3, :3] * zoom
        affine[:3, 3] = self.to_world((np.asarray(self.shape) - 1) / 2) - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def cropped(self, box: Box) -> Grid:
        """Return the grid of ``data[box]``; the slices must have plain starts and stops."""
        affine = self.vox2world.copy()
        affine[:3, 3] = self.to_world([s.start for s in box])
        shape = [s.stop - s.start for s in box]
        return Grid((shape[0], shape[1], shape[2]), affine)


def _orientation_change(source: str, target: str) -> NDArray[np.float64]:
    change = orientations.ornt_transform(orientations.axcodes2ornt(source), orientations.axcodes2ornt(target))
    return np.asarray(change, dtype=float)


@dataclass(frozen=True, eq=False)
class Volume:
    """A scalar image.

    Parameters
    ----------
    data : array of float32, shape = grid.shape
    grid : Grid

    Examples
    --------
    >>> volume = Volume(np.zeros((5, 6, 7), np.float32), Grid((5, 6, 7), np.eye(4)))
    >>> volume.reoriented("PIR").data.shape
    (6, 7, 5)
    """

    data: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        _check_data(self.data, self.grid, "iuf", "real numbers, not of the type {}; for True and False use data.astype('float32')")

    def reoriented(self, axcodes: str) -> Volume:
        """Store the same image with axes along `axcodes`."""
        return Volume(reorient(self.data, self.grid.axcodes, axcodes), self.grid.reoriented(axcodes))

    def turned(self, axcodes: str) -> Volume:
        """As `reoriented`, but the voxels stay where they are in memory."""
        change = _orientation_change(self.grid.axcodes, axcodes)
        return Volume(orientations.apply_orientation(self.data, change), self.grid.reoriented(axcodes))

    def cropped(self, box: Box) -> Volume:
        """Take the part ``data[box]``, contiguous in memory."""
        return Volume(np.ascontiguousarray(self.data[box]), self.grid.cropped(box))

    def resampled(self, grid: Grid) -> Volume:
        """Interpolate linearly onto `grid`, after smoothing where the new spacing is much coarser; 0 outside."""
        return Volume(resample_array(self.smoothed_for(grid).data, self.grid, grid, order=1), grid)

    def smoothed_for(self, grid: Grid) -> Volume:
        """Smooth along the axes in which `grid` is much coarser, so that it can hold what is left."""
        sigma = self.smoothing_for(grid)
        return Volume(ndimage.gaussian_filter(self.data, sigma, mode="nearest"), self.grid) if sigma.any() else self

    def smoothing_for(self, grid: Grid) -> FloatArray:
        """Standard deviation along each axis, in voxels, of the smoothing that `grid` asks for."""
        coarser = np.asarray(grid.spacing_mm) / np.take(self.grid.spacing_mm, _matching_axes(self.grid, grid))
        sigma = np.zeros(3)
        sigma[_matching_axes(self.grid, grid)] = np.where(coarser > 1.5, 0.35 * coarser, 0.0)
        return sigma


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Integer labels with a scheme that says what they mean.

    Parameters
    ----------
    data : array of uint8 or uint16, shape = grid.shape
        0 is background; every other value must be in the scheme.
    grid : Grid
    scheme : LabelScheme

    Raises
    ------
    SchemeError
        A value is not in the scheme.

    Examples
    --------
    >>> from cascade import CASCADE, VERSE
    >>> labels = LabelMap(np.full((2, 2, 2), 4, np.uint8), Grid((2, 2, 2), np.eye(4)), CASCADE)
    >>> labels.structures, int(labels["L4"].sum()), int(labels[4].sum()), labels.to_scheme(VERSE).values
    (('L4',), 8, 8, (23,))
    """

    data: NDArray[np.unsignedinteger[Any]]
    grid: Grid
    scheme: LabelScheme

    def __post_init__(self) -> None:
        _check_data(self.data, self.grid, "iu", "whole numbers, not of the type {}")
        strangers = set(self.values) - set(self.scheme.ids.values())
        if strangers:
            raise SchemeError(f"values {sorted(strangers)} are not in the label scheme {self.scheme.name!r}")

    @cached_property
    def values(self) -> tuple[int, ...]:
        """The label values present, ascending, without background."""
        return tuple(boxes_of(self.data))

    @property
    def structures(self) -> tuple[str, ...]:
        """The names of the structures present, by ascending value."""
        return tuple(self.scheme.structure(value) for value in self.values)

    def __getitem__(self, structure: str | int) -> NDArray[np.bool_]:
        """Boolean array of one structure, by its name (also ``"L4/L5"``) or its id in the map's scheme; all False if it is not there."""
        name = self.scheme.structure(structure) if isinstance(structure, int | np.integer) else level_named(structure) or structure
        return np.asarray(self.data == self.scheme[name])

    def reoriented(self, axcodes: str) -> LabelMap:
        """Store the same labels with axes along `axcodes`."""
        data = reorient(self.data, self.grid.axcodes, axcodes)
        return LabelMap(data, self.grid.reoriented(axcodes), self.scheme)

    def cropped(self, box: Box) -> LabelMap:
        """Take the part ``data[box]``, contiguous in memory."""
        return LabelMap(np.ascontiguousarray(self.data[box]), self.grid.cropped(box), self.scheme)

    def resampled(self, grid: Grid) -> LabelMap:
        """Take the nearest label onto `grid`; background outside."""
        return LabelMap(resample_array(self.data, self.grid, grid, order=0), grid, self.scheme)

    def to_scheme(self, scheme: str | LabelScheme, lost: Literal["raise", "drop"] = "raise") -> LabelMap:
        """Renumber into another scheme.

        Parameters
        ----------
        scheme : str or LabelScheme
        lost : {"raise", "drop"}
            What to do with structures that `scheme` has no number for.

        Raises
        ------
        SchemeError
            `lost` is ``"raise"`` and a structure has no number there.
        """
        target = get_scheme(scheme).for_chain(self.structures)
        missing = [name for name in self.structures if name not in target]
        if missing and lost == "raise":
            raise SchemeError(f"label scheme {target.name!r} has no {', '.join(missing)}; use lost='drop' to leave them out")
        table = np.zeros(max(self.values, default=0) + 1, dtype=label_dtype(target))
        for value, name in zip(self.values, self.structures, strict=True):
            if name in target:
                table[value] = target[name]
        return LabelMap(table[self.data], self.grid, target)


def label_dtype(scheme: LabelScheme) -> type[np.unsignedinteger[Any]]:
    """The smallest unsigned type that holds every id of `scheme`."""
    return np.uint8 if max(scheme.ids.values()) < 256 else np.uint16


def box_between(low: ArrayLike, high: ArrayLike) -> Box:
    """The voxels from `low` to `high`, which is no longer part of it.

    >>> box_between([0, 1, 2], [3, 4, 5])[0]
    slice(0, 3, None)
    """
    x, y, z = (slice(int(first), int(stop)) for first, stop in zip(np.asarray(low), np.asarray(high), strict=True))
    return x, y, z


def boxes_of(labels: NDArray[np.integer[Any]]) -> dict[int, Box]:
    """The box of every label that is there."""
    return {value: box for value, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None}


def box_of(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds a mask; None if it is empty."""
    return boxes_of(mask.astype(np.uint8)).get(1)


def box_around_all(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of some.

    >>> box_around_all([box_between([0, 1, 2], [3, 4, 5]), box_between([1, 0, 0], [2, 9, 3])])
    (slice(0, 3, None), slice(0, 9, None), slice(0, 5, None))
    """
    x, y, z = (slice(min(s.start for s in sides), max(s.stop for s in sides)) for sides in zip(*boxes, strict=True))
    return x, y, z


def grown_box(box: Box, voxels: int, shape: Shape) -> Box:
    """A box with more voxels on every side, as far as the volume goes."""
    x, y, z = (slice(max(s.start - voxels, 0), min(s.stop + voxels, n)) for s, n in zip(box, shape, strict=True))
    return x, y, z


def box_around(voxel: Sequence[int], grid: Grid, reach_mm: float) -> Box:
    """The voxels within `reach_mm` of one along each axis."""
    reach = np.ceil(reach_mm / np.asarray(grid.spacing_mm)).astype(int)
    return box_between(np.maximum(0, np.asarray(voxel) - reach), np.minimum(grid.shape, np.asarray(voxel) + reach + 1))


def keep_largest_components(labels: NDArray[np.unsignedinteger[Any]]) -> None:
    """Of every label keep the largest component (voxels that touch at a face, edge or corner), in place."""
    for value, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        components, count = ndimage.label(labels[box] == value, structure=np.ones((3, 3, 3)))
        if count > 1:
            sizes = np.bincount(components.ravel())
            sizes[0] = 0
            labels[box][(components > 0) & (components != sizes.argmax())] = 0


def reorient(data: NDArray[T], source: str, target: str) -> NDArray[T]:
    """Permute and flip `data` from axes along `source` to axes along `target`."""
    return np.ascontiguousarray(orientations.apply_orientation(data, _orientation_change(source, target)))


def resample_array(data: NDArray[T], source: Grid, target: Grid, order: int) -> NDArray[T]:
    """Sample `data` on another grid: order 1 for images and probabilities, 0 for labels; 0 outside.

    Up to one voxel beyond the outermost centres the edge value holds, so that the first and last slices keep their
    full thickness.
    """
    matrix = np.linalg.inv(source.vox2world) @ target.vox2world
    linear, offset = matrix[:3, :3], matrix[:3, 3]
    axis_aligned = np.allclose(linear, np.diag(np.diag(linear)), atol=1e-6)
    padded = np.pad(data, 1, mode="edge")
    result: NDArray[T] = ndimage.affine_transform(
        padded, np.diag(linear).copy() if axis_aligned else linear, offset + 1, target.shape, order=order, mode="constant"
    )
    return result


def _matching_axes(source: Grid, target: Grid) -> list[int]:
    """For each axis of `target` the axis of `source` that runs closest to it."""
    cosines = np.abs(np.linalg.inv(source.vox2world[:3, :3]) @ target.vox2world[:3, :3])
    scaled = cosines * np.asarray(source.spacing_mm)[:, None]
    best = [int(i) for i in scaled.argmax(axis=0)]
    return best if len(set(best)) == 3 else [0, 1, 2]


def _check_data(data: NDArray[Any], grid: Grid, kinds: str, wanted: str) -> None:
    if not isinstance(data, np.ndarray):
        raise InputError(f"expected an array of numpy as data; found {type(data).__name__}; convert it with numpy.asarray")
    if data.dtype.kind not in kinds:
        raise InputError(f"expected data of {wanted.format(data.dtype)}")
    if not isinstance(grid, Grid):
        raise InputError(f"expected a Grid, which says where the voxels are; found {type(grid).__name__}; Grid(data.shape, vox2world)")
    if data.shape != grid.shape:
        raise InputError(f"expected data of shape {grid.shape} as its grid says, got {data.shape}")

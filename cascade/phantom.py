"""A synthetic lumbar spine with known answers, for tests, the demo and the documentation.

The geometry is a chain of bodies and discs that bends like a lying adult's spine; the picture imitates a
T2-weighted sagittal scan closely enough that networks trained on real scans recognise it. It is no model of any
patient, and accuracy on it says nothing about accuracy on patients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.errors import InputError
from cascade.labels import CANAL, SACRUM, VERSE, disc_below
from cascade.volume import Box, FloatArray, Grid, LabelMap, Volume, box_between, keep_largest_components

#: Sagittal tilt of each level in degrees (positive: the spine runs backwards on its way down) and half sizes of the body in mm
#: (left-right, front-back, along the spine): rounded means of adult spines.
_LEVELS: dict[str, tuple[float, tuple[float, float, float]]] = {
    "T9": (-14, (15, 14, 11)),
    "T10": (-13, (16, 15, 11.5)),
    "T11": (-12, (18, 15.5, 12)),
    "T12": (-10, (20, 16, 12.5)),
    "L1": (-8, (21, 16.5, 13)),
    "L2": (-5, (22, 17, 13.5)),
    "L3": (0, (23, 17.5, 13.5)),
    "L4": (9, (24, 17.5, 13.5)),
    "L5": (24, (25, 17.5, 13)),
    "L6": (32, (25, 17.5, 13)),
}
_SACRAL_TILTS = (45.0, 58.0, 72.0, 84.0)
#: Sacral bodies taper downwards by this share to each side of their middle, and almost touch.
_SACRAL_TAPER, _SACRAL_GAP_MM = 0.2, 1.0
_DISC_HALF_HEIGHT_MM = {"T9": 2.2, "T10": 2.4, "T11": 2.7, "T12": 3.2, "L1": 3.8, "L2": 4.4, "L3": 4.9, "L4": 5.3, "L5": 4.8, "L6": 4.5}
Contrast = Literal["T2", "T1", "STIR"]


class _Tissues(NamedTuple):
    """Brightness of tissues, from 0 (air) to 1 (the brightest)."""

    air: float
    fat: float
    muscle: float
    marrow: float
    cortex: float
    nucleus: float
    annulus: float
    csf: float
    cord: float


#: T2-like: cerebrospinal fluid and nuclei are bright. T1-like: fat and marrow are, fluid is dark, and discs are of one grey.
#: STIR-like: as T2, but fat is dark, and so is marrow, half of which it is.
_BRIGHTNESS: dict[Contrast, _Tissues] = {
    "T2": _Tissues(0.01, 0.75, 0.16, 0.38, 0.05, 0.65, 0.10, 1.0, 0.45),
    "T1": _Tissues(0.01, 1.0, 0.30, 0.50, 0.06, 0.30, 0.24, 0.14, 0.32),
    "STIR": _Tissues(0.01, 0.08, 0.22, 0.14, 0.03, 0.50, 0.07, 1.0, 0.50),
}
_SLAB_MM = 1.0
#: The dark rim of a body: this share of its radius, and so thick at its end plates.
_RIM, _END_PLATE_MM = 0.07, 1.3
#: A narrow place of the canal fades over this length along the body's axis.
_STENOSIS_MM = 8.0


@dataclass(frozen=True)
class PhantomSpec:
    """What to render.

    Parameters
    ----------
    shape : (3,) tuple of int
        Sagittal slices, then rows from back to front and from foot to head.
    spacing_mm : (3,) tuple of float
        Along the same axes; the first is the slice thickness.
    lumbar : int
        Lumbar vertebrae, 4 to 6.
    thoracic : int
        Thoracic vertebrae above them, 0 to 4.
    scoliosis_mm : float
        Sideways amplitude of the column.
    noise : float
        Standard deviation, in units of the brightest tissue.
    collapsed_disc, fused_disc : str or None
        Vertebra whose lower disc is 1 mm high, or is bone.
    seed : int
    slip : (str, float) tuple or None
        Body that slipped, with all above it, and by how many mm to the front, in the middle plane of the disc below it.
    cobb_deg : float
        Sideways bend between the upper end plate of L1 and the lower one of L4.
    canal_ap_mm : float
        Canal from front to rear, cut horizontally.
    stenosis : (str, float) tuple or None
        Vertebra at whose lower disc the canal is narrow, and how many mm it has there.
    collapse : (str, float, float) tuple or None
        Body whose upper end plate sank, and by which share of its height at its front and at its rear wall.
    contrast : {"T2", "T1", "STIR"}
    rim : {"within", "around"}
        Where the dark rim of bodies is drawn; nothing else depends on it. Hand labels of real scans leave the rim out, so for networks that
        learnt from them it lies ``"around"`` the body, with half of each end plate in the disc, which touches it here.
    """

    shape: tuple[int, int, int] = (17, 270, 330)
    spacing_mm: tuple[float, float, float] = (4.0, 0.9, 0.9)
    lumbar: int = 5
    thoracic: int = 2
    scoliosis_mm: float = 3.0
    noise: float = 0.02
    collapsed_disc: str | None = None
    fused_disc: str | None = None
    seed: int = 0
    slip: tuple[str, float] | None = None
    cobb_deg: float = 0.0
    canal_ap_mm: float = 15.0
    stenosis: tuple[str, float] | None = None
    collapse: tuple[str, float, float] | None = None
    contrast: Contrast = "T2"
    rim: Literal["within", "around"] = "within"

    def __post_init__(self) -> None:
        if self.lumbar not in (4, 5, 6) or not 0 <= self.thoracic <= 4:
            raise InputError("a phantom has 4 to 6 lumbar and 0 to 4 thoracic vertebrae")

    @property
    def vertebrae(self) -> tuple[str, ...]:
        """Names from head to foot."""
        thoracic = [f"T{n}" for n in range(13 - self.thoracic, 13)]
        return (*thoracic, *(f"L{n}" for n in range(1, self.lumbar + 1)))


@dataclass(frozen=True)
class Solid:
    """A body or disc: a rounded cylinder across the spine.

    Parameters
    ----------
    name : str
    centre_mm : (3,) array
        RAS+.
    axes : (3, 3) array
        Rows left-right, front-back and along the spine (upwards).
    half_mm : (3,) tuple of float
        Half its size along these axes.
    taper : float
        By which share of it the front-back size at the upper end is larger, and at the lower end smaller.
    sunk : (2,) tuple of float
        By which share of the height the upper end plate lies lower at the front and at the rear wall.
    """

    name: str
    centre_mm: FloatArray
    axes: FloatArray
    half_mm: tuple[float, float, float]
    taper: float = 0.0
    sunk: tuple[float, float] = (0.0, 0.0)

    def inside(self, points_mm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Distance from the axis (1 at the rim) and height (-1 to 1 between the end plates) of (..., 3) points."""
        local = (points_mm - self.centre_mm) @ self.axes.T
        height = local[..., 2] / self.half_mm[2]
        waist = 0.92 + 0.08 * height**2
        across = np.abs(local[..., 0] / self.half_mm[0])
        along = np.abs(local[..., 1] / (self.half_mm[1] * (1 + self.taper * height)))
        radius = (across**2.5 + along**2.5) ** 0.4 / waist
        return radius, self._above(local, height)

    def _above(self, local: FloatArray, height: FloatArray) -> FloatArray:
        """Height, beyond 1 where the upper end plate has sunk below it."""
        if self.sunk == (0.0, 0.0):
            return height
        front = np.clip(local[..., 1] / self.half_mm[1], -1, 1) / 2 + 0.5
        top = 1 - 2 * (self.sunk[1] + (self.sunk[0] - self.sunk[1]) * front)
        return np.asarray(np.where(height > top, 2.0, height))


def render(spec: PhantomSpec | None = None, grid: Grid | None = None) -> tuple[Volume, LabelMap]:
    """Render a scan and its labels (scheme `VERSE`, canal included).

    Parameters
    ----------
    spec : PhantomSpec, optional
    grid : Grid, optional
        Another view of the same spine: any plane, the slices along its first axis. By default that of `spec`, RAS+, centred on the
        world's origin.

    Returns
    -------
    image : Volume
    labels : LabelMap
    """
    spec = spec or PhantomSpec()
    rng = np.random.default_rng(spec.seed)
    grid = grid or _grid(spec)
    slabs = max(1, round(grid.spacing_mm[0] / _SLAB_MM))
    fine = grid.with_spacing((grid.spacing_mm[0] / slabs, *grid.spacing_mm[1:]))
    parts = list(solids(spec))
    picture = _surroundings(fine, spec, parts, rng)
    for solid in parts:
        _draw(solid, fine, picture, rng, spec)
    if spec.rim == "around":
        _draw_rims(parts, fine, picture, _BRIGHTNESS[spec.contrast].cortex)
    slices = picture.reshape(grid.shape[0], slabs, *fine.shape[1:]).mean(axis=1)
    noisy = np.hypot(slices + rng.normal(0, spec.noise, slices.shape), rng.normal(0, spec.noise, slices.shape))
    return Volume((noisy * 800).astype(np.float32), grid), _labels(grid, spec, parts)


def _labels(grid: Grid, spec: PhantomSpec, parts: Sequence[Solid]) -> LabelMap:
    """What lies at each voxel's centre: solids above the canal, each in one piece."""
    column = voxelise((solid for solid in parts if solid.name in VERSE), grid).data
    labels = np.where((column == 0) & in_canal(_points(grid), spec, parts), np.uint8(VERSE[CANAL]), column)
    keep_largest_components(labels)
    return LabelMap(labels, grid, VERSE)


def voxelise(parts: Iterable[Solid], grid: Grid) -> LabelMap:
    """Label every voxel whose centre lies inside a solid (scheme `VERSE`); a later solid covers an earlier one."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for solid in parts:
        box = _box(solid, grid)
        radius, height = solid.inside(_points(grid.cropped(box)))
        labels[box][(radius <= 1) & (np.abs(height) <= 1)] = VERSE[solid.name]
    return LabelMap(labels, grid, VERSE)


def _grid(spec: PhantomSpec) -> Grid:
    affine = np.diag([*spec.spacing_mm, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(spec.shape) - 1) / 2)
    return Grid(spec.shape, affine)


def solids(spec: PhantomSpec) -> Iterator[Solid]:
    """Bodies and discs from head to foot; L3's centre lies 20 mm in front of the world's origin."""
    chain = list(_chain(spec))
    anchor = next(solid.centre_mm for solid in chain if solid.name == "L3")
    shift = np.array([0.0, 20.0, 10.0]) - anchor
    for solid in chain:
        centre = solid.centre_mm + shift
        centre[0] += spec.scoliosis_mm * np.sin(centre[2] / 60.0)
        yield dataclasses.replace(solid, centre_mm=centre)


def _chain(spec: PhantomSpec) -> Iterator[Solid]:
    position = np.zeros(3)
    rolls = _rolls(spec)
    for name in spec.vertebrae:
        tilt, half = _LEVELS[name]
        axes = _axes(tilt, rolls[name])
        yield Solid(name, position - axes[2] * half[2], axes, half, sunk=_sunk(name, spec))
        position = position - axes[2] * 2 * half[2]
        last = name == spec.vertebrae[-1]
        below = SACRUM if last else spec.vertebrae[spec.vertebrae.index(name) + 1]
        lower = _SACRAL_TILTS[0] if last else _LEVELS[below][0]
        thick = 0.5 if name == spec.collapsed_disc else _DISC_HALF_HEIGHT_MM[name]
        between, wide = (tilt + lower) / 2, (half[0], half[1] * 1.02, thick)
        disc = name if name == spec.fused_disc else disc_below(name, below)
        axes = _axes(between, (rolls[name] + rolls[below]) / 2)
        slip = axes[1] * spec.slip[1] if spec.slip and spec.slip[0] == name else np.zeros(3)
        yield Solid(disc, position - axes[2] * thick - slip / 2, axes, wide)
        position = position - axes[2] * 2 * thick - slip
    for i, tilt in enumerate(_SACRAL_TILTS):
        half = (25.0 - 4 * i, 14.5 - 3.5 * i, 14.0 - 1.5 * i)
        axes = _axes(tilt)
        yield Solid(SACRUM if i == 0 else f"S{i + 1}", position - axes[2] * half[2], axes, half, _SACRAL_TAPER)
        position = position - axes[2] * (2 * half[2] + _SACRAL_GAP_MM)


def _sunk(name: str, spec: PhantomSpec) -> tuple[float, float]:
    return spec.collapse[1:] if spec.collapse and spec.collapse[0] == name else (0.0, 0.0)


def _rolls(spec: PhantomSpec) -> dict[str, float]:
    """Sideways tilt of each level in degrees: steady from L1 to L4, fading beyond."""
    shares = {"T11": 0.2, "T12": 0.35, "L1": 0.5, "L2": 1 / 6, "L3": -1 / 6, "L4": -0.5, "L5": -0.25}
    return {name: spec.cobb_deg * shares.get(name, 0.0) for name in (*_LEVELS, SACRUM)}


def _axes(tilt_deg: float, roll_deg: float = 0.0) -> FloatArray:
    """Rows: left-right, front-back, and along the spine (upwards) of a level tilted to the front, then to the right."""
    tilt, roll = np.deg2rad(tilt_deg), np.deg2rad(roll_deg)
    upright = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(tilt), -np.sin(tilt)], [0.0, np.sin(tilt), np.cos(tilt)]])
    aside = np.array([[np.cos(roll), 0.0, np.sin(roll)], [0.0, 1.0, 0.0], [-np.sin(roll), 0.0, np.cos(roll)]])
    axes: FloatArray = upright @ aside.T
    return axes


def _draw(solid: Solid, grid: Grid, picture: NDArray[np.float32], rng: np.random.Generator, spec: PhantomSpec) -> None:
    box, tissue = _box(solid, grid), _BRIGHTNESS[spec.contrast]
    radius, height = solid.inside(_points(grid.cropped(box)))
    inside = (radius <= 1) & (np.abs(height) <= 1)
    if "-" in solid.name:
        nucleus = np.clip(1.3 - 1.6 * radius**2, 0, 1) * np.clip(1.4 - np.abs(height) ** 2, 0, 1)
        brightness = tissue.annulus + (tissue.nucleus - tissue.annulus) * np.clip(nucleus, 0, 1)
    else:
        marrow = tissue.marrow * (1 + 0.10 * _texture(radius.shape, rng, 4.0))
        side, end_mm = (_RIM, _END_PLATE_MM) if spec.rim == "within" else (0.0, _END_PLATE_MM / 2)
        rim = (radius > 1 - side) | (np.abs(height) > 1 - end_mm / solid.half_mm[2])
        brightness = np.where(rim, tissue.cortex, marrow)
    view = picture[box]
    view[inside] = brightness[inside]


def _draw_rims(parts: Sequence[Solid], grid: Grid, picture: NDArray[np.float32], dark: float) -> None:
    """Draw what of the rims lies around the bodies, but not into other bodies."""
    bodies = [solid for solid in parts if "-" not in solid.name and solid.name in VERSE]
    free = voxelise(bodies, grid).data == 0
    for body in bodies:
        box = _box(body, grid)
        radius, height = body.inside(_points(grid.cropped(box)))
        rim = (radius <= 1 + _RIM) & (np.abs(height) <= 1 + _END_PLATE_MM / 2 / body.half_mm[2])
        picture[box][rim & free[box]] = dark


def _points(grid: Grid) -> FloatArray:
    """World positions of all voxel centres."""
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def _box(solid: Solid, grid: Grid) -> Box:
    reach = np.linalg.norm(solid.half_mm) / np.asarray(grid.spacing_mm)
    centre = grid.to_voxels(solid.centre_mm)
    low = np.clip(np.floor(centre - reach), 0, np.asarray(grid.shape) - 1).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, low + 1, grid.shape).astype(int)
    return box_between(low, high)


def _surroundings(grid: Grid, spec: PhantomSpec, parts: Sequence[Solid], rng: np.random.Generator) -> NDArray[np.float32]:
    """Everything but the column: fat, muscle, abdomen, canal with cord, spinous processes, a great vessel."""
    points, tissue = _points(grid), _BRIGHTNESS[spec.contrast]
    behind, across = _from_column(points, parts)
    z = points[..., 2].astype(np.float32)
    texture = _texture(grid.shape, rng, 3.0)
    abdomen = 0.33 + 0.22 * _texture(grid.shape, rng, 9.0) + 0.05 * texture
    picture = np.where(behind < -16, tissue.muscle + 0.05 * texture + 0.25 * (_texture(grid.shape, rng, 5.0) > 0.9), abdomen)
    picture = np.where(behind < -68 - 6 * np.cos(z / 60), tissue.fat + 0.05 * texture, picture)
    picture = np.where((behind < -96) | (behind > 100), tissue.air, picture)
    process = (np.abs(across) < 5) & (behind < -38) & (behind > -62) & (np.mod(z, 36) < 20)
    picture = np.where(process, tissue.marrow * 0.9, picture)
    vessel = (behind - 26) ** 2 + (across - 8) ** 2 < 64
    picture = np.where(vessel, tissue.cortex, picture)
    canal = in_canal(points, spec, parts)
    cord = ((behind + 26) / 4) ** 2 + (across / 5) ** 2 < 1
    picture = np.where(canal, np.where(cord & (z > 45), tissue.cord, tissue.csf - 0.2 * (texture > 0.8)), picture)
    return np.clip(picture, 0, None).astype(np.float32)


def _from_column(points_mm: FloatArray, parts: Sequence[Solid]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How far each voxel lies in front of the column's centre at its height, and to the right of it, in mm."""
    x, y, z = np.moveaxis(points_mm.astype(np.float32), -1, 0)
    centres = np.array(sorted((part.centre_mm for part in parts), key=lambda centre: float(centre[2])))
    middle_x, middle_y = (np.interp(z, centres[:, 2], centres[:, axis]) for axis in (0, 1))
    return y - middle_y, x - middle_x


def in_canal(points_mm: FloatArray, spec: PhantomSpec, parts: Sequence[Solid]) -> NDArray[np.bool_]:
    """Tell which of (..., 3) points (RAS+ mm) lie in the canal, whose horizontal cuts are ellipses 26 mm behind the column's centre."""
    behind, across = _from_column(points_mm, parts)
    half_mm = np.full(behind.shape, spec.canal_ap_mm / 2, dtype=np.float32)
    if spec.stenosis:
        place = next(part.centre_mm[2] for part in parts if part.name.startswith(f"{spec.stenosis[0]}-"))
        near = np.exp(-(((points_mm[..., 2] - place) / _STENOSIS_MM) ** 2))
        half_mm -= (spec.canal_ap_mm - spec.stenosis[1]) / 2 * near
    return np.asarray(((behind + 26) / half_mm) ** 2 + (across / 10) ** 2 < 1)


def _texture(shape: tuple[int, ...], rng: np.random.Generator, scale: float) -> NDArray[np.float32]:
    """Smooth noise with mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), scale / 2)
    result: NDArray[np.float32] = (noise / max(float(noise.std()), 1e-6)).astype(np.float32)
    return result

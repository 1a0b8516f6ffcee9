"""A made study: one phantom in several views, as a scanner takes them, the whole patient turned by a known rotation."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from cascade.phantom import PhantomSpec, Solid, render, solids
from cascade.pipeline import Segmenter
from cascade.segmentation import Perception
from cascade.volume import FloatArray, Grid, LabelMap, Volume, box_between
from tests.dicom_files import slices, uid

#: How the patient lies: turned about the three axes, and off the centre.
PLACED = np.eye(4)
PLACED[:3, :3] = Rotation.from_euler("xyz", (4.0, -3.0, 5.0), degrees=True).as_matrix()
PLACED[:3, 3] = 12.0, -7.0, 30.0


def placed(points_mm: FloatArray) -> FloatArray:
    """Where points of the upright phantom lie in the world of the study."""
    return points_mm @ PLACED[:3, :3].T + PLACED[:3, 3]


@dataclass(frozen=True, eq=False)
class View:
    """A scan of the phantom and its labels, in the world of the study."""

    scan: Volume
    labels: LabelMap

    def moved(self, by_mm: tuple[float, float, float]) -> View:
        """The same, with the patient elsewhere."""
        affine = self.scan.grid.vox2world.copy()
        affine[:3, 3] += by_mm
        grid = Grid(self.scan.grid.shape, affine)
        return View(Volume(self.scan.data, grid), LabelMap(self.labels.data, grid, self.labels.scheme))

    def without_rows(self, below_mm: float) -> View:
        """A sagittal view that ends at a height of the upright phantom (its third axis runs to the head)."""
        upright = np.linalg.inv(PLACED) @ self.scan.grid.vox2world
        first = int(np.ceil((below_mm - upright[2, 3]) / upright[2, 2]))
        box = box_between((0, 0, first), self.scan.grid.shape)
        return View(self.scan.cropped(box), self.labels.cropped(box))


def view(spec: PhantomSpec, grid: Grid) -> View:
    """Render a grid around the upright phantom, its slices along the first axis, and place both in the world."""
    image, labels = render(spec, grid)
    there = Grid(grid.shape, PLACED @ grid.vox2world)
    return View(Volume(np.rint(image.data), there), LabelMap(labels.data, there, labels.scheme))


def sagittal(
    spec: PhantomSpec,
    shape: tuple[int, int, int] = (13, 104, 144),
    spacing_mm: tuple[float, float, float] = (4.4, 1.6, 1.6),
    *,
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turned_deg: float = 0.0,
) -> View:
    """A sagittal view; `turned_deg` is its obliqueness about the patient's long axis."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, :3] = Rotation.from_euler("z", turned_deg, degrees=True).as_matrix() @ affine[:3, :3]
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return view(spec, Grid(shape, affine))


def discs(spec: PhantomSpec) -> dict[str, Solid]:
    """The discs of the phantom, placed in the world."""
    found = {solid.name: solid for solid in solids(spec) if "-" in solid.name}
    return {
        name: dataclasses.replace(solid, centre_mm=placed(solid.centre_mm), axes=solid.axes @ PLACED[:3, :3].T)
        for name, solid in found.items()
    }


def axial_blocks(
    spec: PhantomSpec, names: tuple[str, ...] = ("L3-L4", "L4-L5", "L5-S1"), *, count: int = 5, step_mm: float = 4.0, pixel_mm: float = 1.0
) -> Iterator[View]:
    """One block of slices for each disc, along the disc; the last slice of each block is half a degree off the others."""
    for solid in (solid for solid in solids(spec) if solid.name in names):
        yield view(spec, block(solid, range(count - 1), step_mm, pixel_mm, 0.0, count))
        yield view(spec, block(solid, range(count - 1, count), step_mm, pixel_mm, 0.5, count))


def axial_volume(spec: PhantomSpec) -> View:
    """Fifty axial slices, 4 mm apart, from the sacrum upwards."""
    affine, shape = np.eye(4), (50, 110, 110)
    affine[:3, :3] = np.eye(3)[:, (2, 0, 1)] * (4.0, 1.2, 1.2)
    affine[:3, 3] = np.array([0.0, 0.0, -5.0]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return view(spec, Grid(shape, affine))


def localiser_planes(spec: PhantomSpec) -> Iterator[View]:
    """Three coronal and three axial slices."""
    for axes in ((1, 0, 2), (2, 0, 1)):
        affine = np.eye(4)
        affine[:3, :3] = np.eye(3)[:, axes] * (15.0, 4.0, 4.0)
        shape = (3, 50, 60)
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        yield view(spec, Grid(shape, affine))


def block(solid: Solid, numbers: range, step_mm: float, pixel_mm: float, off_deg: float, count: int) -> Grid:
    """Slices of the upright phantom along a disc, from below upwards, the middle one through its centre; right and front are next."""
    right, front, up = Rotation.from_rotvec(np.deg2rad(off_deg) * solid.axes[0]).apply(solid.axes)
    size = 100
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([up * step_mm, right * pixel_mm, front * pixel_mm])
    first = solid.centre_mm + up * step_mm * (numbers[0] - (count - 1) / 2)
    affine[:3, 3] = first - affine[:3, 1:3] @ [(size - 1) / 2, (size - 1) / 2]
    return Grid((len(numbers), size, size), affine)


def dicom(views: Iterable[View], number: int, **attributes: Any) -> list[Dataset]:
    """The images of one series, whose views have their slices along the first axis."""
    found: list[Dataset] = []
    for each in views:
        found += slices(each.scan.reoriented(stored_axcodes(each.scan.grid)), number=number, **attributes)
    for index, dataset in enumerate(found):
        dataset.InstanceNumber = index + 1
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid("made", number, index)
    return found


def stored_axcodes(grid: Grid) -> str:
    """How scanners store a plane, slices last; those of `grid` are along its first axis."""
    codes = grid.axcodes
    return "PSR" if codes[0] in "LR" else "LSP" if codes[0] in "AP" else "LPS"


class Remembering(Segmenter):
    """The packaged networks, which look at each image once, wherever in the world it lies."""

    seen: dict[bytes, Perception]

    @classmethod
    def fresh(cls) -> Remembering:
        """Load the networks."""
        loaded = Segmenter.from_pretrained("cpu")
        segmenter = cls(loaded.stage1, loaded.stage2, loaded.device)
        object.__setattr__(segmenter, "seen", {})
        return segmenter

    def perceive(self, image: Any, series: str | None = None, affine: Any = None) -> Perception:
        """What the networks say of a volume; of one that they have seen, moved to where it lies now."""
        upright = image.reoriented("RAS")
        key = hashlib.sha256(upright.data.tobytes()).digest()
        if key not in self.seen:
            self.seen[key] = super().perceive(upright, series, affine)
        return elsewhere(self.seen[key], image)


def elsewhere(seen: Perception, scan: Volume) -> Perception:
    """What was seen in a scan, for the same scan at another place."""
    move = scan.grid.reoriented(seen.scan.grid.axcodes).vox2world @ np.linalg.inv(seen.scan.grid.vox2world)

    def moved(grid: Grid) -> Grid:
        return Grid(grid.shape, move @ grid.vox2world)

    line = seen.evidence.centreline_mm @ move[:3, :3].T + move[:3, 3]
    evidence = dataclasses.replace(
        seen.evidence, grid=moved(seen.evidence.grid), scan_grid=moved(seen.evidence.scan_grid), centreline_mm=line
    )
    probability = Volume(seen.spine.probability.data, moved(seen.spine.probability.grid))
    spine = dataclasses.replace(seen.spine, probability=probability, centreline_mm=line)
    return dataclasses.replace(seen, scan=scan, spine=spine, evidence=evidence)


def normal(each: View) -> FloatArray:
    """Unit vector across the slices of a view, to the head where they are axial."""
    across = np.cross(each.scan.grid.vox2world[:3, 1], each.scan.grid.vox2world[:3, 2])
    across = across / np.linalg.norm(across)
    return np.asarray(across * (1 if across[np.abs(across).argmax()] > 0 else -1))

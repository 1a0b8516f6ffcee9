"""A first sacral vertebra that looks like a lumbar one: a disc of the same spine, drawn between it and the second.

Where a remnant of the disc S1/S2 is well visible, networks take S1 for L5; few patients have one, so training makes more of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from cascade.postproc.shape import forward_along
from cascade.training.sampling import Source
from cascade.volume import FloatArray

#: How many discs above the sacrum may be drawn once more.
DONORS = 4
#: Smallest area of a disc or first sacral vertebra in the sagittal plane that counts as seen whole.
SMALLEST_CM2 = {"disc": 0.6, "sacrum": 2.0}
#: Half of the thickness of the sagittal layer that poses are measured in.
LAYER_MM = 6.0
#: The middle of S1 lies so far from that of the disc above it.
NEAREST_MM, FARTHEST_MM = 8.0, 40.0
#: From the lower border of S1 as labelled to the middle of what follows it.
BESIDE_MM = 1.5
#: Reach of the widening around the end of S1 (standard deviation).
WIDENED_MM = 14.0


@dataclass(frozen=True)
class Pose:
    """Where a disc lies in the sagittal plane: RAS+ axes (y, z) in mm from the first voxel.

    Parameters
    ----------
    centre_mm : (2,) array
    forward : (2,) array
        Unit vector along the disc, to the front.
    depth_mm : float
        From back to front.
    """

    centre_mm: FloatArray
    forward: FloatArray
    depth_mm: float

    @property
    def up(self) -> FloatArray:
        """Unit vector across the disc, to the head."""
        return np.array([-self.forward[1], self.forward[0]])


@dataclass(frozen=True)
class Junction:
    """Where S1 ends below, and the discs of which a remnant may be drawn there.

    Parameters
    ----------
    end : Pose
        Of the lower end of S1.
    discs : sequence of Pose
        Never empty.
    spacing_mm : (float, float, float)
        Of the scan.
    """

    end: Pose
    discs: Sequence[Pose]
    spacing_mm: tuple[float, float, float]


def find_junction(allowed: NDArray[np.uint8], sacrum: int, disc: int, spacing_mm: tuple[float, float, float]) -> Junction | None:
    """Measure the lower end of S1 and the discs above it; None where S1 or its disc is not labelled whole.

    Parameters
    ----------
    allowed : array of uint8, (x, y, z)
        Bit masks of allowed classes, in RAS+ axes; of the sacrum S1 is labelled alone.
    sacrum, disc : int
        Their bits.
    spacing_mm : (float, float, float)
    """
    where = np.argwhere(allowed == sacrum)
    if not len(where):
        return None
    reach = LAYER_MM / spacing_mm[0]
    middle = np.median(where[:, 0])
    layer = allowed[max(0, int(middle - reach)) : int(middle + reach) + 1]
    plane_mm = (spacing_mm[1], spacing_mm[2])
    vertebrae = _areas((layer == sacrum).any(axis=0), plane_mm, SMALLEST_CM2["sacrum"])
    found = _areas((layer == disc).any(axis=0), plane_mm, SMALLEST_CM2["disc"])
    if len(vertebrae) != 1 or not found:
        return None
    discs = sorted((_disc_pose(points) for points in found), key=lambda pose: float(pose.centre_mm[1]))[:DONORS]
    end = _lower_end(vertebrae[0], discs[0])
    return Junction(end, discs, spacing_mm) if end else None


def _areas(mask: NDArray[np.bool_], spacing_mm: tuple[float, float], smallest_cm2: float) -> list[FloatArray]:
    """Points in mm of each component of a plane's mask that is large enough."""
    components, count = ndimage.label(mask)
    areas = [np.argwhere(components == value) * spacing_mm for value in range(1, count + 1)]
    return [points for points in areas if len(points) * spacing_mm[0] * spacing_mm[1] / 100 >= smallest_cm2]


def _disc_pose(points: FloatArray) -> Pose:
    centre = points.mean(axis=0)
    forward = forward_along(points)
    return Pose(centre, forward, _extent_mm((points - centre) @ forward))


def _extent_mm(along_mm: FloatArray) -> float:
    low, high = np.percentile(along_mm, (2, 98))
    return float(high - low)


def _lower_end(vertebra: FloatArray, disc: Pose) -> Pose | None:
    """The line along the lower border of S1, seen from the disc above it; None if they do not lie together."""
    down = vertebra.mean(axis=0) - disc.centre_mm
    distance_mm = float(np.linalg.norm(down))
    if not NEAREST_MM < distance_mm < FARTHEST_MM:
        return None
    down /= distance_mm
    front = np.array([-down[1], down[0]])
    s, t = (vertebra - disc.centre_mm) @ front, (vertebra - disc.centre_mm) @ down
    low, high = np.percentile(s, (8, 92))  # the rounded corners are left out
    strips = [(s >= a) & (s < b) for a, b in pairwise(np.linspace(low, high, 7))]
    border = [(s[strip].mean(), np.percentile(t[strip], 97)) for strip in strips if strip.sum() > 3]
    if len(border) < len(strips) - 1:
        return None
    fronts, downs = np.transpose(border)
    slope, height = np.polyfit(fronts, downs, deg=1)
    along = np.hypot(1, slope)
    middle = disc.centre_mm + (low + high) / 2 * front + (height + slope * (low + high) / 2 + BESIDE_MM) * down
    return Pose(middle, (front + slope * down) / along, float((high - low) / 0.84 * along))


def widen(voxels: Tensor, junction: Junction, rng: np.random.Generator) -> Tensor:
    """Take what lies around the lower end of S1 from nearer to its middle, so that S1 is less of a wedge and S2 deeper."""
    spacing = torch.tensor(junction.spacing_mm)
    s, t = _along(voxels * spacing, junction.end)
    nearer = torch.exp(-(s**2 + t**2) / (2 * WIDENED_MM**2)) * (1 / float(rng.uniform(1.0, 1.5)) - 1)
    forward = torch.tensor([0.0, *junction.end.forward], dtype=torch.float32)
    return voxels + (nearer * s)[..., None] * forward / spacing


def draw_remnant(patch: Tensor, source: Source, voxels: Tensor, junction: Junction, rng: np.random.Generator) -> Tensor:
    """Copy a disc of the scan, with the end plates beside it, to the lower end of S1.

    Parameters
    ----------
    patch : Tensor of float32, shape
        Sampled from `source` at `voxels`.
    source : Source
    voxels : Tensor of float32, (*shape, 3)
    junction : Junction
    rng : numpy Generator

    Returns
    -------
    Tensor of float32, shape
    """
    spacing = torch.tensor(junction.spacing_mm)
    donor = junction.discs[int(rng.integers(len(junction.discs)))]
    s, t = _along(voxels * spacing, junction.end)
    wider, higher = float(rng.uniform(0.6, 1.05)) * junction.end.depth_mm / donor.depth_mm, float(rng.uniform(0.5, 1.1))
    s, t = (s - float(rng.uniform(-2, 2))) / wider, (t - float(rng.uniform(-2, 2))) / higher
    y, z = (float(c) + s * float(f) + t * float(u) for c, f, u in zip(donor.centre_mm, donor.forward, donor.up, strict=True))
    there = torch.stack([voxels[..., 0], y / spacing[1], z / spacing[2]], dim=-1)
    is_disc = ((source.allowed_at(there) == source.disc) & (s.abs() < 0.7 * donor.depth_mm) & (t.abs() < 12)).float()
    beside = functional.max_pool3d(is_disc[None, None], (1, 5, 5), 1, (0, 2, 2))
    share = functional.avg_pool3d(beside, (1, 3, 3), 1, (0, 1, 1))[0, 0] * float(rng.uniform(0.4, 1.0))
    share = share * (source.allowed_at(voxels) > 0)  # nothing is drawn outside the scan
    return torch.lerp(patch, source.image_at(there), share)


def _along(points_mm: Tensor, pose: Pose) -> tuple[Tensor, Tensor]:
    """Coordinates in mm along a disc, to the front, and across it, to the head."""
    y, z = points_mm[..., 1] - float(pose.centre_mm[0]), points_mm[..., 2] - float(pose.centre_mm[1])
    forward, up = pose.forward, pose.up
    return y * float(forward[0]) + z * float(forward[1]), y * float(up[0]) + z * float(up[1])

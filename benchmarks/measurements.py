"""How far the measurements are from the analytic answer: solids of the phantom, voxelised on clinical grids.

Bodies and discs are voxelised apart, because in the phantom neighbouring solids overlap a little. Prints a Markdown table of
the mean absolute and the largest error; ``docs/measurements.md`` quotes it. Run: ``python benchmarks/measurements.py``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation

from cascade.labels import is_disc
from cascade.measure import Measurement, measure
from cascade.phantom import PhantomSpec, Solid, solids, voxelise
from cascade.volume import FloatArray, Grid

SPEC = PhantomSpec(thoracic=1)
#: Name, spacing along right, front, up in mm, rotation of the grid in degrees about right, front, up.
GRIDS = {
    "1 mm isotropic": ((1.0, 1.0, 1.0), (0, 0, 0)),
    "4 x 0.9 x 0.9 mm sagittal": ((4.0, 0.9, 0.9), (0, 0, 0)),
    "4.4 x 0.7 x 0.7 mm oblique": ((4.4, 0.7, 0.7), (7, 9, 5)),
    "0.8 x 0.8 x 3 mm axial": ((0.8, 0.8, 3.0), (0, 0, 0)),
}
QUANTITIES = ("volume_ml", "anterior_mm", "middle_mm", "posterior_mm", "depth_mm", "width_mm", "wedge_deg", "segment_deg")
#: Exponent of the outline and mean squared and middle waist of a solid, see `cascade.phantom.Solid.inside`.
_EXPONENT = 2.5
_WAIST_SQUARED = 0.92**2 + 2 * 0.92 * 0.08 / 3 + 0.08**2 / 5
_WAIST_MIDDLE = 0.92 + 0.08 / 12


def grid(name: str) -> Grid:
    """Build one of `GRIDS` around the lumbar phantom, shifted so that no face lies on voxel centres."""
    spacing_mm, turns_deg = GRIDS[name]
    affine = np.eye(4)
    affine[:3, :3] = rotation(turns_deg) * spacing_mm
    reach = (np.array([70.0, 110.0, 280.0]) / spacing_mm).astype(int)
    affine[:3, 3] = np.array([0.3, 5.2, 0.4]) - affine[:3, :3] @ ((reach - 1) / 2)
    return Grid((int(reach[0]), int(reach[1]), int(reach[2])), affine)


def rotation(turns_deg: tuple[float, float, float]) -> FloatArray:
    """Rotation matrix from turns about right, front and up, in this order."""
    matrix: FloatArray = Rotation.from_euler("xyz", turns_deg, degrees=True).as_matrix()
    return matrix


def truth(solid: Solid) -> dict[str, float]:
    """Analytic answers for one solid."""
    right, front, up = solid.half_mm
    outline = 4 * right * front * math.gamma(1 + 1 / _EXPONENT) ** 2 / math.gamma(1 + 2 / _EXPONENT)
    return {
        "volume_ml": outline * _WAIST_SQUARED * 2 * up / 1000,
        "anterior_mm": 2 * up,
        "middle_mm": 2 * up,
        "posterior_mm": 2 * up,
        "depth_mm": 2 * front * _WAIST_MIDDLE * _band(5 / right),
        "width_mm": 2 * right * _WAIST_MIDDLE * _band(5 / front),
        "wedge_deg": 0.0,
    }


def _band(reach: float) -> float:
    """Mean chord of the outline over a band around its middle, as part of the chord through the middle."""
    places = np.linspace(0, reach, 101)
    return float(((1 - places**_EXPONENT) ** (1 / _EXPONENT)).mean())


def tilt(solid: Solid) -> float:
    """Sagittal tilt of a solid in degrees, from up to the front."""
    return math.degrees(math.atan2(solid.axes[2][1], solid.axes[2][2]))


def errors(name: str) -> Iterator[tuple[str, str, float]]:
    """Yield kind of structure, quantity and error for every measured value on one grid."""
    everything = [solid for solid in solids(SPEC) if not solid.name.startswith("S")]
    for kind, disc in (("body", False), ("disc", True)):
        chosen = [solid for solid in everything if is_disc(solid.name) == disc]
        answers = {solid.name: truth(solid) for solid in chosen}
        if not disc:
            for above, below in itertools.pairwise(chosen):
                answers[above.name]["segment_deg"] = tilt(below) - tilt(above)
        for row in measure(voxelise(chosen, grid(name))):
            yield from _errors_of(row, kind, answers)


def _errors_of(row: Measurement, kind: str, answers: dict[str, dict[str, float]]) -> Iterator[tuple[str, str, float]]:
    for quantity, answer in answers.get(row.structure, {}).items():
        value = getattr(row, quantity)
        if value is not None and row.kind != "sacrum":
            yield kind, quantity, value - answer


def main() -> None:
    """Print the table."""
    print("| grid | structure | " + " | ".join(QUANTITIES) + " |")
    print("|---|---" * 1 + "|---" * len(QUANTITIES) + "|")
    for name in GRIDS:
        found = list(errors(name))
        for kind in ("body", "disc"):
            cells = []
            for quantity in QUANTITIES:
                values = np.abs([e for k, q, e in found if k == kind and q == quantity])
                cells.append(f"{values.mean():.2f} ({values.max():.2f})" if len(values) else "")
            print(f"| {name} | {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

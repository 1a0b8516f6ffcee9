from __future__ import annotations

import numpy as np
import pytest

from cascade.measure.endplates import aligned, fit_morphometry, patient_axes, tilt_deg
from cascade.volume import Grid

SPACING_MM = np.array([3.0, 0.8, 0.8])
SHAPE = (17, 61, 61)
GRID = Grid(SHAPE, np.array([[3.0, 0, 0, -24.2], [0, 0.8, 0, -24.1], [0, 0, 0.8, -24.3], [0, 0, 0, 1]]))


def wedge(wedge_deg: float, tilt: float) -> np.ndarray:
    """A block 34 mm deep, 40 mm wide and 25 mm high in its middle, higher in front by `wedge_deg`, leaning forward by `tilt`."""
    x, y, z = np.moveaxis(GRID.to_world(np.moveaxis(np.indices(SHAPE), 0, -1)), -1, 0)
    lean = np.deg2rad(tilt)
    front, up = y * np.cos(lean) - z * np.sin(lean), y * np.sin(lean) + z * np.cos(lean)
    half = 12.5 + front * np.tan(np.deg2rad(wedge_deg / 2))
    return np.asarray((np.abs(x) <= 20) & (np.abs(front) <= 17) & (np.abs(up) <= half))


@pytest.mark.parametrize(("wedge_deg", "tilt"), [(0.0, 0.0), (9.0, 0.0), (-6.0, 14.0), (12.0, -20.0)])
def test_a_wedge_is_measured_whatever_its_lean(wedge_deg: float, tilt: float) -> None:
    axes = patient_axes(GRID)
    fit = fit_morphometry(wedge(wedge_deg, tilt), GRID, axes)
    assert fit is not None
    assert tilt_deg(fit.lower, axes) - tilt_deg(fit.upper, axes) == pytest.approx(wedge_deg, abs=1.0)
    assert tilt_deg(fit.axes[2], axes) == pytest.approx(tilt, abs=1.0)
    expected = [25 + 2 * place * np.tan(np.deg2rad(wedge_deg / 2)) for place in (10.2, 0.0, -10.2)]
    assert fit.heights_mm == pytest.approx(expected, abs=0.8)  # one voxel: an aligned face lies where the voxels end
    assert fit.depth_mm == pytest.approx(34, abs=0.8)


def test_spurs_do_not_tilt_an_end_plate() -> None:
    mask = wedge(0, 0)
    mask[5:10, 48:53, 20:52] = True
    axes = patient_axes(GRID)
    fit = fit_morphometry(mask, GRID, axes)
    assert fit is not None
    assert tilt_deg(fit.upper, axes) == pytest.approx(0, abs=1.0)


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "SRA", "PSL"])
def test_patient_axes_do_not_depend_on_the_storage_order(axcodes: str) -> None:
    assert patient_axes(GRID.reoriented(axcodes)) == pytest.approx(np.eye(3))


def test_aligned_axes_stay_orthonormal_and_right_handed() -> None:
    axes = aligned(np.eye(3), np.array([0.2, 0.3, 1.0]))
    assert axes @ axes.T == pytest.approx(np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1)


def test_a_mask_without_end_plates_has_no_shape() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8, 30, 30] = True
    assert fit_morphometry(mask, GRID, patient_axes(GRID)) is None

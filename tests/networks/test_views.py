"""A scan seen again: nearly the same place, nearly the same picture, the same for the same number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cascade.networks.views import SHIFT, STRETCH, less_sure, view
from cascade.volume import Grid, Volume

GRID = Grid((19, 47, 61), np.array([[0.0, 0.0, 3.0, -20.0], [1.1, 0.0, 0.0, 5.0], [0.0, -0.9, 0.0, 30.0], [0.0, 0.0, 0.0, 1.0]]))


def blob(low: float = 0.0) -> Volume:
    """A bright ball in the middle of a dark scan."""
    points = GRID.to_world(np.moveaxis(np.indices(GRID.shape), 0, -1))
    off_mm = np.linalg.norm(points - GRID.to_world((np.array(GRID.shape) - 1) / 2), axis=-1)
    return Volume((low + 100 * np.exp(-((off_mm / 8) ** 2))).astype(np.float32), GRID)


@pytest.mark.parametrize("number", range(4))
def test_what_is_seen_stays_where_it_is_in_the_world(number: int) -> None:
    again = view(blob(), number)
    centre = again.grid.to_world(ndimage.center_of_mass(np.where(again.data > 30, again.data, 0)))
    assert np.linalg.norm(centre - GRID.to_world((np.array(GRID.shape) - 1) / 2)) < 0.6


def test_voxels_are_turned_moved_and_at_most_a_tenth_larger() -> None:
    again = view(blob(), 0)
    assert not again.grid.matches(GRID, tol_mm=0.2)
    assert again.grid.axcodes == GRID.axcodes
    for old_mm, new_mm in zip(GRID.spacing_mm, again.grid.spacing_mm, strict=True):
        assert old_mm <= new_mm <= (1 + STRETCH) * old_mm
    middle = np.subtract(*(grid.to_world((np.array(grid.shape) - 1) / 2) for grid in (again.grid, GRID)))
    assert np.linalg.norm(middle) <= SHIFT * np.linalg.norm(again.grid.spacing_mm)


def test_the_same_number_gives_the_same_view_and_another_number_another() -> None:
    first, same, other = (view(blob(), number) for number in (3, 3, 4))
    assert np.array_equal(first.data, same.data)
    assert first.grid.matches(same.grid, tol_mm=0.0)
    assert not first.grid.matches(other.grid, tol_mm=0.2)


def test_a_scan_with_negative_values_has_no_bright_rim() -> None:
    again = view(blob(-500.0), 1)
    assert again.data.min() >= -500
    assert np.median(again.data[0]) < -490


def test_where_the_networks_are_sure_no_border_moves_and_elsewhere_it_does() -> None:
    share = np.linspace(0, 1, 101, dtype=np.float32)
    probabilities = np.stack([1 - share, share])[:, :, None, None]
    places = []
    for number in range(6):
        shifted = less_sure(probabilities, number)
        assert np.allclose(shifted.sum(axis=0), 1, atol=1e-6)
        assert np.allclose(shifted[:, [0, -1]], probabilities[:, [0, -1]])
        places.append(float(share[np.argmax(shifted[1, :, 0, 0] >= 0.5)]))
    assert 0.05 < np.std(places) < 0.3

"""What a network sees of a fine scan is what smoothing and interpolating it would give, made in one."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.networks.sampling import sampled
from cascade.volume import Grid, Volume
from tests.synthetic import turned


def scan(shape: tuple[int, int, int] = (7, 41, 53)) -> Volume:
    grid = turned(Grid(shape, np.diag([4.0, 0.7, 0.5, 1.0])), (11.0, -7.0, 9.0))
    return Volume(np.random.default_rng(0).uniform(0, 1000, shape).astype(np.float32), grid)


@pytest.mark.parametrize("spacing_mm", [(2.0, 1.5, 1.5), (4.0, 0.7, 1.6), (9.0, 0.6, 0.4)])
@pytest.mark.parametrize("axcodes", ["RAS", "PSR", "IAL"])
def test_it_is_smoothing_and_interpolation_but_for_rounding(spacing_mm: tuple[float, float, float], axcodes: str) -> None:
    seen = scan().turned(axcodes)
    grid = seen.grid.with_spacing([dict(zip("RAS", spacing_mm, strict=True))[{"P": "A", "I": "S", "L": "R"}.get(c, c)] for c in axcodes])
    found, expected = sampled(seen, grid), seen.resampled(grid)
    assert found.grid is grid
    np.testing.assert_allclose(found.data, expected.data, atol=2e-3)


def test_a_grid_that_reaches_beyond_the_scan_holds_the_edge_for_a_voxel_and_then_nothing() -> None:
    seen = scan()
    affine = seen.grid.vox2world @ np.diag([1.0, 2.0, 3.0, 1.0])
    grid = Grid((9, 30, 25), affine @ np.array([[1, 0, 0, -1.0], [0, 1, 0, -2.0], [0, 0, 1, -2.0], [0, 0, 0, 1]]))
    found, expected = sampled(seen, grid), seen.resampled(grid)
    assert not expected.data[:, 0].any()
    np.testing.assert_allclose(found.data, expected.data, atol=2e-3)


def test_it_does_not_depend_on_how_the_scan_lies_in_memory() -> None:
    seen = scan((19, 41, 53))
    grid = seen.grid.with_spacing((8.0, 1.5, 1.5))
    other = Volume(np.asfortranarray(seen.data), seen.grid)
    assert np.array_equal(sampled(seen, grid).data, sampled(other, grid).data)

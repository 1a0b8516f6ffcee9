"""How well two segmentations agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from cascade.evaluation.metrics import SurfaceDistances, dice, surface_distances, volume_error_percent

SHAPE, SPACING_MM = (11, 17, 23), (4.0, 0.9, 1.3)
masks = hnp.arrays(bool, (3, 4, 5))


def blob(seed: int) -> NDArray[np.bool_]:
    """A lump with an irregular surface, sometimes in several pieces, sometimes at the border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2.0)
    return np.asarray(noise > np.quantile(noise, 0.85))


def cube(*corner: int, size: int = 6) -> NDArray[np.bool_]:
    mask = np.zeros((20, 20, 20), dtype=bool)
    x, y, z = corner
    mask[x : x + size, y : y + size, z : z + size] = True
    return mask


@pytest.mark.parametrize("seed", range(8))
def test_dice_and_surface_distances_agree_with_monai(seed: int) -> None:
    import torch
    from monai.metrics import DiceMetric, HausdorffDistanceMetric, SurfaceDistanceMetric

    prediction, reference = blob(seed), blob(seed + 100)
    tensors = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
    found = surface_distances(prediction, reference, SPACING_MM)
    expected_dice = float(DiceMetric()(*tensors))
    expected_mean = float(SurfaceDistanceMetric(include_background=True, symmetric=True)(*tensors, spacing=SPACING_MM))
    expected_95 = float(HausdorffDistanceMetric(include_background=True, percentile=95)(*tensors, spacing=SPACING_MM))
    assert dice(prediction, reference) == pytest.approx(expected_dice, rel=1e-5)
    assert found.mean_mm == pytest.approx(expected_mean, rel=1e-5)
    assert found.percentile95_mm == pytest.approx(expected_95, rel=1e-5)


def test_a_plate_moved_along_its_normal_is_that_far_away() -> None:
    plate = np.zeros((9, 9, 9), dtype=bool)
    plate[:, :, 2] = True
    assert surface_distances(np.roll(plate, 3, axis=2), plate, (1.0, 1.0, 2.5)) == SurfaceDistances(7.5, 7.5)


def test_cubes_one_inside_the_other_are_a_voxel_apart_at_the_faces() -> None:
    found = surface_distances(cube(5, 5, 5, size=8), cube(6, 6, 6), (1.0, 1.0, 1.0))
    outer, inner = 8**3 - 6**3, 6**3 - 4**3
    edges, corners = 12 * 6, 8
    to_inner = (outer - edges - corners) + edges * math.sqrt(2) + corners * math.sqrt(3)
    assert found.mean_mm == pytest.approx((to_inner + inner) / (outer + inner))
    assert found.percentile95_mm == pytest.approx(math.sqrt(2))


@given(seeds=st.tuples(st.integers(0, 50), st.integers(51, 99)))
def test_swapping_prediction_and_reference_changes_nothing(seeds: tuple[int, int]) -> None:
    a, b = blob(seeds[0]), blob(seeds[1])
    there, back = surface_distances(a, b, SPACING_MM), surface_distances(b, a, SPACING_MM)
    assert there.mean_mm == pytest.approx(back.mean_mm)
    assert there.percentile95_mm == pytest.approx(back.percentile95_mm)
    assert dice(a, b) == dice(b, a)


@given(factor=st.floats(0.2, 5.0))
def test_distances_grow_with_the_spacing(factor: float) -> None:
    a, b = blob(1), blob(2)
    one, scaled = surface_distances(a, b, SPACING_MM), surface_distances(a, b, [factor * mm for mm in SPACING_MM])
    assert scaled.mean_mm == pytest.approx(factor * one.mean_mm)
    assert scaled.percentile95_mm == pytest.approx(factor * one.percentile95_mm)


def test_equal_masks_agree_perfectly_even_at_the_border() -> None:
    everything = np.ones((3, 5, 7), dtype=bool)
    assert dice(everything, everything) == 1.0
    assert surface_distances(everything, everything, SPACING_MM) == SurfaceDistances(0.0, 0.0)


def test_without_one_of_the_masks_nothing_is_measured() -> None:
    nothing = np.zeros(SHAPE, dtype=bool)
    assert math.isnan(dice(nothing, nothing))
    assert dice(nothing, blob(1)) == 0.0
    assert math.isnan(surface_distances(nothing, blob(1), SPACING_MM).mean_mm)
    assert math.isnan(surface_distances(blob(1), nothing, SPACING_MM).percentile95_mm)


def test_the_volume_error_is_positive_where_too_much_was_segmented() -> None:
    assert volume_error_percent(60.0, 50.0) == pytest.approx(20.0)
    assert math.isnan(volume_error_percent(1.0, 0.0))


@given(masks, masks)
def test_dice_is_symmetric_and_between_zero_and_one(a: np.ndarray, b: np.ndarray) -> None:
    value = dice(a, b)
    assert (math.isnan(value) and not (a.any() or b.any())) or 0 <= value <= 1
    assert value == pytest.approx(dice(b, a), nan_ok=True)


@given(masks, st.integers(0, 59))
def test_dice_is_one_only_for_equal_masks(a: np.ndarray, voxel: int) -> None:
    a.flat[0] = True
    other = a.copy()
    other.flat[voxel] ^= True
    assert dice(a, a) == 1
    assert dice(a, other) < 1

"""Local refinement: a click takes from what it was made in, near it, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.postproc.clicks.refine import REACH, SCALE_MM, Seed, refine
from cascade.volume import Grid, Volume

SHAPE = (17, 41, 43)
GRID = Grid(SHAPE, np.diag([2.0, 1.0, 1.0, 1.0]))
MIDDLE = (8, 20, 22)
SCAN = Volume(np.random.default_rng(2).normal(100, 5, SHAPE).astype(np.float32), GRID)


@pytest.fixture
def probabilities() -> np.ndarray:
    """Background below, body above, with some doubt."""
    result = np.full((4, *SHAPE), 0.05, dtype=np.float32)
    result[0, :, :, :22] = result[1, :, :, 22:] = 0.85
    return result


@pytest.fixture
def instances(probabilities: np.ndarray) -> np.ndarray:
    return (probabilities.argmax(axis=0) * 7).astype(np.int32)


def away_mm(voxel: tuple[int, int, int]) -> np.ndarray:
    return np.linalg.norm((np.moveaxis(np.indices(SHAPE), 0, -1) - voxel) * GRID.spacing_mm, axis=-1)


def test_without_clicks_and_with_one_that_agrees_nothing_is_computed(probabilities: np.ndarray, instances: np.ndarray) -> None:
    for seeds in ([], [Seed(MIDDLE, 1)]):
        assert refine(probabilities, SCAN, GRID, seeds, instances) is probabilities


def test_a_click_changes_what_it_was_made_in_and_nothing_beyond_its_reach(probabilities: np.ndarray, instances: np.ndarray) -> None:
    before = probabilities.copy()
    refined = refine(probabilities, SCAN, GRID, [Seed(MIDDLE, 2)], instances)
    assert np.array_equal(probabilities, before)
    changed = (refined != before).any(axis=0)
    assert (refined.argmax(axis=0) == 2).sum() > 7
    assert not changed[away_mm(MIDDLE) > REACH * SCALE_MM].any()
    assert not changed[:, :, :22].any()
    assert np.allclose(refined.sum(axis=0), 1.0, atol=1e-5)


def test_two_instances_of_one_class_are_told_apart(probabilities: np.ndarray, instances: np.ndarray) -> None:
    instances[:, :20, 22:] = 8
    winners = refine(probabilities, SCAN, GRID, [Seed(MIDDLE, 0)], instances).argmax(axis=0)
    assert (winners[:, :20, 22:] == 1).all()
    assert (winners[:, 20:, 22:] == 0).sum() > 7


def test_clicks_that_disagree_each_keep_their_voxel_in_any_order(probabilities: np.ndarray, instances: np.ndarray) -> None:
    seeds = [Seed(MIDDLE, 2), Seed((8, 20, 23), 0), Seed((8, 21, 22), 1)]
    first, second = (refine(probabilities, SCAN, GRID, order, instances) for order in (seeds, seeds[::-1]))
    assert np.array_equal(first, second)
    for seed in seeds:
        assert first[(slice(None), *seed.voxel)].argmax() == seed.channel

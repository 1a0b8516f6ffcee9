"""Patches along the centreline: every point of it is seen, nothing else has to be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.networks.checkpoint import load_checkpoint
from cascade.stage2_levels.classify import HALF_WIDTH_MM, classify, starts_along
from cascade.volume import Grid, LabelMap, Volume
from tests.synthetic import kind_of

Case = tuple[Grid, np.ndarray, tuple[int, int, int]]
PATCHES = st.tuples(*[st.sampled_from([16, 32, 64, 128])] * 3)


@st.composite
def lines(draw: st.DrawFn, patches: st.SearchStrategy[tuple[int, int, int]] = PATCHES, widest: float = 1.0) -> Case:
    """Grid, a swaying line in it, and patches; the line sways over less than `widest` patches and 0.4 of the grid."""
    shape = draw(st.tuples(st.integers(8, 60), st.integers(20, 150), st.integers(20, 400)))
    patch = draw(patches)
    grid = Grid(shape, np.diag([*draw(st.tuples(*[st.floats(0.5, 3.0)] * 3)), 1.0]))
    top, bottom = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    z = np.linspace(bottom, top, draw(st.integers(1, 120))) * (shape[2] - 1)
    sway = draw(st.floats(0, 1))
    width, depth = (sway * min(0.2 * (n - 1), widest * p / 2 - 1) for n, p in zip(shape[:2], patch[:2], strict=True))
    x = (shape[0] - 1) / 2 + width * np.sin(z / 30)
    y = (shape[1] - 1) / 2 + depth * np.cos(z / 40)
    return grid, grid.to_world(np.stack([x, y, z], axis=1)), patch


def is_covered(case: Case) -> bool:
    """Whether each point of the line lies in a patch."""
    grid, line, patch = case
    starts = np.array(starts_along(grid, line, patch))
    voxels = np.rint(grid.to_voxels(line))
    inside = ((voxels[:, None] >= starts) & (voxels[:, None] < starts + patch)).all(axis=2)
    return bool(inside.any(axis=1).all())


@given(lines(widest=0.5))
def test_every_point_of_a_line_that_sways_less_than_half_a_patch_is_covered(case: Case) -> None:
    assert is_covered(case)


@given(lines(patches=st.sampled_from([16, 32, 64, 128]).map(lambda n: (n, n, n))))
def test_cubes_cover_every_point_of_a_line_that_sways_as_it_likes(case: Case) -> None:
    assert is_covered(case)


@given(lines())
def test_patches_stay_inside_where_the_scan_is_large_enough(case: Case) -> None:
    grid, line, patch = case
    for start in starts_along(grid, line, patch):
        for a, p, n in zip(start, patch, grid.shape, strict=True):
            assert (0 <= a <= n - p) if n >= p else (a <= 0 and a + p >= n)


@given(lines())
def test_no_patch_is_computed_twice(case: Case) -> None:
    starts = starts_along(*case)
    assert len(set(starts)) == len(starts)


def test_one_point_needs_one_patch() -> None:
    assert starts_along(Grid((64, 64, 64), np.eye(4)), np.array([[32.0, 32, 32]]), (32, 32, 32)) == [(16, 16, 16)]


@pytest.fixture(scope="module")
def line_mm(coded: tuple[Volume, LabelMap]) -> np.ndarray:
    labels = coded[1]
    return np.array([labels.grid.to_world(np.argwhere(labels[f"L{n}"]).mean(axis=0)) for n in range(1, 6)])


def test_tissues_are_classified_around_the_line(coded: tuple[Volume, LabelMap], oracle_weights: Path, line_mm: np.ndarray) -> None:
    scan, labels = coded
    tissues = classify(scan, line_mm, load_checkpoint("stage2_levels", oracle_weights))
    assert tissues.classes == ("background", "body", "disc", "sacrum")
    assert np.allclose(tissues.probabilities.sum(axis=0), 1, atol=1e-4)
    winner = tissues.probabilities.argmax(axis=0)
    for name in ("L1", "L3", "L5", "L2-L3"):
        x, y, z = np.rint(tissues.grid.to_voxels(labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0)))).astype(int)
        assert tissues.classes[winner[x, y, z]] == kind_of(name)


def test_only_a_part_of_a_tall_scan_is_classified(coded: tuple[Volume, LabelMap], oracle_weights: Path, line_mm: np.ndarray) -> None:
    tissues = classify(coded[0], line_mm[1:3], load_checkpoint("stage2_levels", oracle_weights))
    height = tissues.grid.shape[2] * tissues.grid.spacing_mm[2]
    assert np.ptp(line_mm[1:3, 2]) + 60 <= height < np.ptp(line_mm[1:3, 2]) + 75


def test_patches_are_as_wide_as_the_spine_and_what_lies_beyond_is_background(oracle_weights: Path) -> None:
    checkpoint = load_checkpoint("stage2_levels", oracle_weights)
    scan = Volume(np.random.default_rng(0).random((200, 60, 100), dtype=np.float32), Grid((200, 60, 100), np.eye(4)))
    tissues = classify(scan, np.stack([np.full(9, 100.0), np.full(9, 30.0), np.linspace(10, 90, 9)], axis=1), checkpoint)
    seen = np.flatnonzero(tissues.probabilities[0].min(axis=(1, 2)) < 1)
    x_mm = tissues.grid.to_world(seen[:, None] * [1, 0, 0])[:, 0]
    voxel_mm, stride = checkpoint.spec.spacing_mm[0], checkpoint.spec.stride[0]
    assert max(abs(x_mm.min() - 100), abs(x_mm.max() - 100)) >= HALF_WIDTH_MM - voxel_mm
    assert np.ptp(x_mm) <= 2 * HALF_WIDTH_MM + stride * voxel_mm


def test_overlapping_patches_agree_with_one_large_one(coded: tuple[Volume, LabelMap], oracle_weights: Path, line_mm: np.ndarray) -> None:
    checkpoint = load_checkpoint("stage2_levels", oracle_weights)
    large, small = ((64, 128, 256), (64, 128, 64))
    results = [
        classify(coded[0], line_mm, dataclasses.replace(checkpoint, spec=dataclasses.replace(checkpoint.spec, patch_shape=shape)))
        for shape in (large, small)
    ]
    assert results[0].grid.matches(results[1].grid)
    assert np.allclose(results[0].probabilities, results[1].probabilities, atol=1e-3)

"""Patches cover everything, and blending changes nothing where patches agree."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cascade.networks.checkpoint import Checkpoint
from cascade.networks.patches import patch_shape_for, predict_at, tiles
from tests.synthetic import tiny_spec

SPEC = tiny_spec("stage2_levels", ("background", "body", "disc"), (1.0, 1.0, 1.0))
shapes = st.tuples(*[st.integers(1, 60)] * 3)


class Stub(torch.nn.Module):
    """Logits from one voxel's intensity alone; remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x[0, 0].clone())
        return torch.cat([x * 0, x, -x], dim=1)


def stub() -> Checkpoint:
    return Checkpoint(SPEC, Stub())


def expected(data: np.ndarray) -> np.ndarray:
    return np.asarray(torch.softmax(torch.from_numpy(np.stack([data * 0, data, -data])), dim=0))


@given(shapes, st.tuples(*[st.integers(2, 32)] * 3))
def test_tiles_cover_every_voxel(shape: tuple[int, int, int], patch: tuple[int, int, int]) -> None:
    covered = np.zeros(shape, dtype=bool)
    for start in tiles(shape, patch):
        covered[tuple(slice(max(0, a), a + p) for a, p in zip(start, patch, strict=True))] = True
    assert covered.all()


@given(st.integers(65, 400))
def test_tiles_overlap_by_half_and_stay_inside(length: int) -> None:
    starts = sorted({z for _, _, z in tiles((64, 64, length), (64, 64, 64))})
    assert starts[0] == 0
    assert starts[-1] == length - 64
    assert all(b - a <= 33 for a, b in itertools.pairwise(starts))


def test_a_scan_that_fits_is_one_tile() -> None:
    assert tiles((35, 100, 128), (48, 128, 128)) == [(-7, -14, 0)]


@given(shapes)
def test_the_patch_is_no_larger_than_needed_and_a_multiple_of_the_stride(shape: tuple[int, int, int]) -> None:
    spec: Any = tiny_spec("stage2_levels", ("background", "body"), (1, 1, 1), patch_shape=(32, 32, 48), stride=(4, 8, 16))
    patch = patch_shape_for(shape, spec)
    for size, length, largest, stride, least in zip(patch, shape, spec.patch_shape, spec.stride, (1, 1, 2), strict=True):
        assert size % stride == 0
        assert size <= largest
        assert size >= min(length, largest)
        assert size < length + stride or size == least * stride


@given(st.tuples(*[st.integers(4, 24)] * 3), st.integers(0, 1000))
def test_blending_sums_to_one_and_patches_that_agree_change_nothing(shape: tuple[int, int, int], seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    patch = (8, 8, 8)
    result = predict_at(data, tiles(shape, patch), patch, stub())
    assert result.shape == (3, *shape)
    assert np.allclose(result.sum(axis=0), 1, atol=1e-5)
    assert np.allclose(result, expected(data), atol=1e-5)


def test_what_no_patch_reached_is_certain_background() -> None:
    data = np.ones((8, 8, 24), np.float32)
    result = predict_at(data, [(0, 0, 0)], (8, 8, 8), stub())
    assert (result[0, ..., 8:] == 1).all()
    assert (result[1:, ..., 8:] == 0).all()
    assert (result[1, ..., :8] > 0.5).all()


@pytest.mark.parametrize("start", [(-3, -2, -1), (5, 4, 3), (-3, 4, 0)])
def test_a_patch_at_the_border_is_padded_with_air_and_loses_no_slice(start: tuple[int, int, int]) -> None:
    data = np.random.default_rng(0).normal(size=(9, 9, 9)).astype(np.float32)
    checkpoint = stub()
    result = predict_at(data, [start], (8, 8, 8), checkpoint)
    (seen,) = checkpoint.network.seen
    inside = tuple(slice(max(0, a), min(9, a + 8)) for a in start)
    within = tuple(slice(s.start - a, s.stop - a) for s, a in zip(inside, start, strict=True))
    assert np.array_equal(seen.numpy()[within], data[inside])
    padding = np.ones((8, 8, 8), dtype=bool)
    padding[within] = False
    assert (seen.numpy()[padding] == data.min()).all()
    assert np.allclose(result[(slice(None), *inside)], expected(data)[(slice(None), *inside)], atol=1e-5)


def test_where_patches_disagree_the_one_whose_centre_is_nearer_counts_more() -> None:
    class Twice(Stub):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = not self.seen
            self.seen.append(x)
            logits = torch.zeros(1, 3, *x.shape[2:])
            logits[:, 1 if first else 2] = 20.0
            return logits

    result = predict_at(np.zeros((8, 8, 12), np.float32), [(0, 0, 0), (0, 0, 4)], (8, 8, 8), Checkpoint(SPEC, Twice()))
    first, second = result[1, 4, 4], result[2, 4, 4]
    assert (first[:5] > 0.5).all()
    assert (second[7:] > 0.5).all()
    assert (np.diff(first) <= 1e-6).all()

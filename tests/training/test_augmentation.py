"""Augmentation: other contrasts keep to their range, and a reversed one does change the order of tissues."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from cascade.training.augmentation import Augmentation, bent_grid, fade, sample_patch, slip_mm, stretch_mm, tone_curve
from cascade.training.sampling import Source

#: Nothing varies but the discs' signal.
ONLY_FADING = Augmentation(
    fade_probability=1,
    cut_probability=0,
    tone_probability=0,
    invert_probability=0,
    bias_probability=0,
    slice_probability=0,
    blur_probability=0,
    noise_probability=0,
    ghost_probability=0,
    void_probability=0,
)


@given(st.integers(0, 10_000))
def test_a_rising_curve_keeps_the_order_from_black_to_white(seed: int) -> None:
    heights = tone_curve(np.random.default_rng(seed), reverse=False)
    assert heights[0] == 0
    assert heights[-1] == 1
    assert (np.diff(heights) > 0).all()


@given(st.integers(0, 10_000))
def test_a_reversed_curve_darkens_the_brightest_and_stays_in_range(seed: int) -> None:
    heights = tone_curve(np.random.default_rng(seed), reverse=True)
    assert heights[-1] < heights[-2]
    assert heights.min() >= 0
    assert heights.max() <= 1


def test_reversed_are_all_of_it_all_but_air_or_the_bright_end() -> None:
    curves = [tone_curve(np.random.default_rng(seed), reverse=True) for seed in range(60)]
    all_of_it = [curve for curve in curves if curve[0] == 1]
    all_but_air = [curve for curve in curves if curve[0] == 0 and (np.diff(curve[1:]) < 0).all()]
    bright_end = [curve for curve in curves if curve[0] == 0 and curve[1] < curve[2]]
    assert min(map(len, (all_of_it, all_but_air, bright_end))) > 5
    assert len(all_of_it) + len(all_but_air) + len(bright_end) == len(curves)


@given(st.integers(0, 10_000))
def test_stretching_keeps_the_order_of_heights_and_halves_or_doubles_nothing(seed: int) -> None:
    height_mm = torch.arange(-60, 60, 0.5)
    moved = height_mm + stretch_mm(height_mm, np.random.default_rng(seed))
    scale = torch.diff(moved) / 0.5
    assert scale.min() > 0.49
    assert scale.max() < 1.51


@given(st.integers(0, 10_000))
def test_a_slip_moves_what_is_higher_no_less_and_folds_nothing(seed: int) -> None:
    axes = torch.meshgrid(torch.zeros(1), torch.arange(-40, 40, 0.5), torch.arange(-60, 200, 0.5), indexing="ij")
    offsets_mm = torch.stack(axes, dim=-1)
    shift_mm = slip_mm(offsets_mm, np.random.default_rng(seed))
    moved = offsets_mm + shift_mm
    assert (torch.diff(moved[..., 1], dim=1) > 0).all()
    assert (torch.diff(moved[..., 2], dim=2) > 0).all()
    assert shift_mm.abs().max() <= 8
    way = shift_mm.norm(dim=-1)[0]
    assert (torch.diff(way, dim=1) >= -1e-5).all()
    assert (shift_mm[..., 0] == 0).all()


def _scan_with_discs() -> tuple[Tensor, Tensor]:
    patch = torch.full((8, 24, 120), 1.0) + torch.linspace(0, 0.1, 120)
    discs = torch.zeros(patch.shape, dtype=torch.bool)
    for z in range(10, 120, 20):
        discs[1:-1, 4:-4, z : z + 6] = True
    patch[discs] = 2.0
    patch[:, :2] = 0.0
    return patch, discs


@given(st.integers(0, 10_000))
def test_a_faded_disc_is_no_brighter_and_nothing_else_changes(seed: int) -> None:
    patch, discs = _scan_with_discs()
    faded = fade(patch, discs, 0.0, np.random.default_rng(seed))
    assert (faded[discs] <= patch[discs]).all()
    away = functional.max_pool3d(discs.float()[None], (1, 3, 3), 1, (0, 1, 1))[0] == 0
    assert torch.equal(faded[away], patch[away])


def test_discs_of_one_scan_fade_by_different_amounts() -> None:
    patch, discs = _scan_with_discs()
    lost = []
    for seed in range(20):
        difference = patch - fade(patch, discs, 0.0, np.random.default_rng(seed))
        lost.append([float(difference[4, 12, z + 3]) for z in range(10, 120, 20)])
    assert np.mean([max(row) - min(row) > 0.2 for row in lost]) > 0.5
    assert min(min(row) for row in lost) < 0.01


def test_without_discs_in_the_patch_nothing_fades() -> None:
    patch, discs = _scan_with_discs()
    assert fade(patch, torch.zeros_like(discs), 0.0, np.random.default_rng(0)) is patch


def test_a_recipe_may_stretch_every_patch_along_the_scan_and_only_there() -> None:
    never, always = (
        bent_grid((4, 8, 64), (2.0, 0.8, 0.8), Augmentation(stretch_probability=share), np.random.default_rng(1)) for share in (0.0, 1.0)
    )
    assert torch.equal(never[..., :2], always[..., :2])
    assert (never[..., 2] - always[..., 2]).abs().max() > 0.1


def test_a_recipe_may_fade_the_discs_of_every_patch_but_only_where_discs_are_a_class() -> None:
    patch, discs = _scan_with_discs()
    allowed = torch.where(discs, 4, 1).to(torch.uint8)
    voxels = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in patch.shape), indexing="ij"), dim=-1)
    lost = {}
    for disc in (0, 4):
        sampled, mask = sample_patch(Source(patch, allowed, disc), voxels, ONLY_FADING, np.random.default_rng(1))
        away = (mask == 1) & (patch > 0.5)
        lost[disc] = float((sampled[0][away].mean() - sampled[0][discs].mean()) / (sampled[0][away].mean() - sampled.min()))
    assert lost[4] > lost[0] + 0.05

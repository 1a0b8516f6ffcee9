"""Remnants of the disc S1/S2: where S1 ends is found, and a disc is drawn there and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from cascade.training.augmentation import sample_patch
from cascade.training.remnant import Junction, draw_remnant, find_junction, widen
from cascade.training.sampling import Source
from tests.training.test_augmentation import ONLY_FADING

BACKGROUND, BODY, DISC, SACRUM = 1, 2, 4, 8
SPACING_MM = (4.0, 0.8, 0.9)
SHAPE = (3, 120, 170)
S1_DEPTH_MM, DISC_DEPTH_MM, DISC_MM = 28.0, 34.0, 8.0
S1_LOW_MM, S1_HIGH_MM = 30.0, 55.0
MIDDLE_MM = 48.0
#: Brightness of tissue, bone, and disc.
TISSUE, BONE, DARK = 1.0, 2.0, 0.2


def _spine(tilt_deg: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A column of blocks with its sacrum, turned about a point in it: image and bit masks."""
    y, z = np.meshgrid(np.arange(SHAPE[1]) * SPACING_MM[1], np.arange(SHAPE[2]) * SPACING_MM[2], indexing="ij")
    turn = np.radians(tilt_deg)
    across = (y - MIDDLE_MM) * np.cos(turn) + (z - 60) * np.sin(turn) + MIDDLE_MM
    along = -(y - MIDDLE_MM) * np.sin(turn) + (z - 60) * np.cos(turn) + 60
    image, allowed = np.full(y.shape, TISSUE, np.float32), np.full(y.shape, BACKGROUND, np.uint8)

    def block(low_mm: float, high_mm: float, depth_mm: float, tone: float, bit: int) -> None:
        inside = (along >= low_mm) & (along < high_mm) & (np.abs(across - MIDDLE_MM) < depth_mm / 2)
        image[inside], allowed[inside] = tone, bit

    block(0, S1_LOW_MM, 20, BONE, BACKGROUND)  # what follows, not labelled
    block(S1_LOW_MM, S1_HIGH_MM, S1_DEPTH_MM, BONE, SACRUM)
    for low in (S1_HIGH_MM, S1_HIGH_MM + 35):
        block(low, low + DISC_MM, DISC_DEPTH_MM, DARK, DISC)
        block(low + DISC_MM, low + 35, DISC_DEPTH_MM, BONE, BODY)
    return np.repeat(image[None], SHAPE[0], axis=0), np.repeat(allowed[None], SHAPE[0], axis=0)


def _junction(allowed: NDArray[np.uint8]) -> Junction:
    found = find_junction(allowed, SACRUM, DISC, SPACING_MM)
    assert found is not None
    return found


def _source(tilt_deg: float = 0.0) -> Source:
    image, allowed = _spine(tilt_deg)
    return Source(torch.from_numpy(image), torch.from_numpy(allowed), DISC)


def _everywhere() -> Tensor:
    return torch.from_numpy(np.stack(np.indices(SHAPE), axis=-1).astype(np.float32))


@pytest.mark.parametrize("tilt_deg", [-50, -35, -20, 0, 10])
def test_the_lower_end_of_s1_is_found_however_it_is_tilted(tilt_deg: float) -> None:
    end = _junction(_spine(tilt_deg)[1]).end
    turn = np.radians(tilt_deg)
    forward = np.array([np.cos(turn), np.sin(turn)])
    up = np.array([-forward[1], forward[0]])
    assert np.allclose(end.forward, forward, atol=0.08)
    assert abs((end.centre_mm - (MIDDLE_MM, 60)) @ up - (S1_LOW_MM - 60)) < 2.5
    assert abs((end.centre_mm - (MIDDLE_MM, 60)) @ forward) < 2
    assert end.depth_mm == pytest.approx(S1_DEPTH_MM, abs=3)


def test_discs_of_the_spine_are_measured() -> None:
    discs = _junction(_spine(-20)[1]).discs
    assert [round(disc.depth_mm) for disc in discs] == pytest.approx([DISC_DEPTH_MM] * 2, abs=3)
    assert discs[0].centre_mm[1] < discs[1].centre_mm[1]


@pytest.mark.parametrize("missing", [SACRUM, DISC])
def test_without_s1_or_a_disc_there_is_no_place_for_a_remnant(missing: int) -> None:
    allowed = _spine()[1]
    allowed[allowed == missing] = BACKGROUND
    assert find_junction(allowed, SACRUM, DISC, SPACING_MM) is None


def test_a_sacrum_far_from_every_disc_is_not_taken_for_s1() -> None:
    allowed = _spine()[1]
    allowed[:, :, : int(80 / SPACING_MM[2])][allowed[:, :, : int(80 / SPACING_MM[2])] == DISC] = BACKGROUND
    assert find_junction(allowed, SACRUM, DISC, SPACING_MM) is None


@given(st.integers(0, 10_000), st.sampled_from([-45, -20, 0]))
def test_a_disc_is_drawn_at_the_end_of_s1_and_nothing_changes_elsewhere(seed: int, tilt_deg: float) -> None:
    source, voxels = _source(tilt_deg), _everywhere()
    junction = _junction(source.allowed.numpy())
    patch = source.image_at(voxels)
    drawn = draw_remnant(patch, source, voxels, junction, np.random.default_rng(seed))
    changed = ((drawn - patch).abs() > 1e-3).numpy()
    frame = np.transpose([junction.end.forward, junction.end.up])
    away_mm = (np.argwhere(changed)[:, 1:] * SPACING_MM[1:] - junction.end.centre_mm) @ frame
    assert np.abs(away_mm[:, 0]).max() < 26
    assert np.abs(away_mm[:, 1]).max() < 13
    y, z = np.round(junction.end.centre_mm / SPACING_MM[1:]).astype(int)
    assert float(drawn[1, y - 2 : y + 3, z - 2 : z + 3].min()) < BONE - 0.3 * (BONE - DARK)


def test_nothing_is_drawn_outside_the_scan() -> None:
    source, voxels = _source(), _everywhere()
    voxels[..., 0] -= 10
    patch = source.image_at(voxels)
    assert torch.equal(draw_remnant(patch, source, voxels, _junction(source.allowed.numpy()), np.random.default_rng(0)), patch)


@given(st.integers(0, 10_000))
def test_widening_keeps_the_order_of_places_and_shrinks_nothing_at_the_end_of_s1(seed: int) -> None:
    junction = _junction(_spine()[1])
    moved = widen(_everywhere(), junction, np.random.default_rng(seed))
    assert (torch.diff(moved[..., 1], dim=1) > 0).all()
    assert torch.equal(moved[..., 0], _everywhere()[..., 0])
    y, z = np.round(junction.end.centre_mm / SPACING_MM[1:]).astype(int)
    steps = torch.diff(moved[1, y - 5 : y + 6, z, 1])
    assert float(steps.min()) > 0.6
    assert float(steps.max()) <= 1.001


def test_labels_follow_the_widening_and_not_the_remnant() -> None:
    source = _source()
    how = dataclasses.replace(ONLY_FADING, fade_probability=0, remnant_probability=1)
    _, mask = sample_patch(source, _everywhere(), how, np.random.default_rng(3), _junction(source.allowed.numpy()))
    assert int((mask == DISC).sum()) == int((source.allowed == DISC).sum())
    assert int((mask == SACRUM).sum()) > int((source.allowed == SACRUM).sum())


def test_a_patch_without_a_known_s1_is_drawn_as_before() -> None:
    recipes = (dataclasses.replace(ONLY_FADING, remnant_probability=1), ONLY_FADING)
    assert torch.equal(*(sample_patch(_source(), _everywhere(), how, np.random.default_rng(0))[0] for how in recipes))

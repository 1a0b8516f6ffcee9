"""Made scans without a spine: all background, the same for the same seed, and counted with the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cascade.networks.spec import StageSpec
from cascade.stage1_spine.target import BACKGROUND
from cascade.training.examples import draw_batch
from cascade.training.recipe import PatchChoice, Recipe
from cascade.training.spineless import spineless_examples
from tests.synthetic import tiny_spec


@pytest.fixture
def spec() -> StageSpec:
    return tiny_spec("stage1_spine", ("background", "column"), (8.0, 4.0, 4.0))


def test_every_voxel_is_background_and_no_scan_is_like_another(spec: StageSpec) -> None:
    scans = spineless_examples(spec, 12, seed=3)
    assert all((scan.allowed == BACKGROUND).all() and scan.allowed.shape == scan.image.shape == scan.grid.shape for scan in scans)
    assert all(torch.isfinite(scan.image).all() and scan.image.float().std() > 0.1 for scan in scans)
    assert len({scan.image.float().sum().item() for scan in scans}) == 12


def test_the_same_seed_makes_the_same_scans(spec: StageSpec) -> None:
    first, again, other = (spineless_examples(spec, 2, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not any(a.image.shape == b.image.shape and torch.equal(a.image, b.image) for a, b in zip(first, other, strict=True))


def test_a_patch_allows_background_alone(spec: StageSpec) -> None:
    recipe = Recipe(spec, steps=5, patches=(PatchChoice((8, 24, 24), 4),))
    images, allowed = draw_batch(spineless_examples(spec, 4, seed=1), recipe, step=0)
    assert torch.isfinite(images).all()
    assert set(np.unique(allowed)) <= {0, BACKGROUND}  # 0: outside the scan
    assert (allowed == BACKGROUND).any()

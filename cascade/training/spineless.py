"""Synthetic scans without a spine, so that stage 1 learns to say no: bottles, balls and blocks of even brightness, and noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from cascade.io.cases import Case
from cascade.labels import VERSE
from cascade.networks.preprocess import IntensityScale
from cascade.networks.spec import StageSpec
from cascade.training.examples import Example
from cascade.volume import Grid

#: As data set of such scans in counts and shares.
DATASET = "without-spine"


def spineless_examples(spec: StageSpec, number: int, seed: int) -> list[Example]:
    """Make `number` scans in which every voxel is background; a seed makes the same scans again."""
    return [_scan(spec, np.random.default_rng((seed, index)), f"{index:03d}") for index in range(number)]


def _scan(spec: StageSpec, rng: np.random.Generator, name: str) -> Example:
    extent_mm = rng.uniform((50, 120, 150), (150, 300, 320))
    x, y, z = (int(n) for n in np.maximum(extent_mm / spec.spacing_mm, 8))
    shape = (x, y, z)
    grid = Grid(shape, np.diag([*spec.spacing_mm, 1.0]))
    data = _texture(shape, rng) if rng.random() < 0.3 else _objects(grid, rng)
    data += rng.normal(0, rng.uniform(0, 0.1), shape)
    intensities = data.astype(np.float32)
    image = torch.from_numpy(IntensityScale.of(intensities, spec.normalisation).apply(intensities)).half()
    background = torch.ones(shape, dtype=torch.uint8)
    centres = rng.integers(0, shape, (500, 3)).astype(np.int16)
    return Example(Case(DATASET, name, name, "train", Path(), Path(), VERSE), image, background, grid, centres)


def _objects(grid: Grid, rng: np.random.Generator) -> NDArray[np.float64]:
    """Up to three balls (norm 2), blocks (large norm) or what lies between, 25 to 90 mm in radius, on a darker ground."""
    mm = np.moveaxis(np.indices(grid.shape), 0, -1) * grid.spacing_mm
    data = np.full(grid.shape, rng.uniform(0, 0.2))
    for _ in range(rng.integers(1, 4)):
        centre = rng.uniform(0.2, 0.8, 3) * mm[-1, -1, -1]
        distance = np.linalg.norm((mm - centre) / rng.uniform(25, 90, 3), ord=rng.choice([2, 4, 20]), axis=-1)
        data[distance < 1] = rng.uniform(0.4, 1)
    return data


def _texture(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise of one grain, from single voxels to clouds."""
    grain = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(0, 6))
    texture: NDArray[np.float64] = grain / grain.std()
    return texture

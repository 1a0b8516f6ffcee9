"""Random patches of a training scan, varied as users' scans vary: geometry, field of view, contrast, coil, resolution, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional

from cascade.training.remnant import Junction, draw_remnant, widen
from cascade.training.sampling import Source


@dataclass(frozen=True)
class Augmentation:
    """Ranges and probabilities; a recipe may set each.

    Parameters
    ----------
    rotation_deg, large_rotation_deg : float
        Largest rotation about each axis, and in one patch of five.
    scale : float
        Largest factor of magnification or shrinking.
    bend_mm : float
        Largest amplitude of a scoliosis-like sideways or forward wave.
    stretch_probability : float
        How often levels are pulled apart and pressed together along the scan, so that discs and bodies change their heights.
    fade_probability : float
        How often discs lose signal, each as much as it happens to, as they do when they degenerate.
    slip_probability : float
        How often what lies above a plane, at any height, slips forward or back and sinks, as above a slipped vertebra or a collapsed disc.
    remnant_probability : float
        How often S1, where it is labelled, ends in a disc of the same spine and is less of a wedge, as a lumbar vertebra.
    cut_probability, tone_probability, invert_probability, bias_probability, slice_probability, blur_probability,
    noise_probability, ghost_probability, void_probability : float
        How often a patch gets a cut field of view, another contrast, one that reverses what is bright and what is dark, a bias
        field, thicker slices, a coarser in-plane resolution, noise, a shifted ghost of itself, and metal-like holes in the signal.
    noise : float
        Largest standard deviation, in units of the image's own.
    """

    rotation_deg: float = 10.0
    large_rotation_deg: float = 25.0
    scale: float = 1.25
    bend_mm: float = 8.0
    stretch_probability: float = 0.0
    fade_probability: float = 0.0
    slip_probability: float = 0.0
    remnant_probability: float = 0.0
    cut_probability: float = 0.25
    tone_probability: float = 0.5
    invert_probability: float = 0.08
    bias_probability: float = 0.5
    slice_probability: float = 0.25
    blur_probability: float = 0.2
    noise_probability: float = 0.4
    ghost_probability: float = 0.1
    void_probability: float = 0.1
    noise: float = 0.3


def bent_grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], how: Augmentation, rng: np.random.Generator) -> Tensor:
    """Where the voxels of a turned, scaled and bent patch lie, in mm from its centre: (*shape, 3)."""
    largest = how.large_rotation_deg if rng.random() < 0.2 else how.rotation_deg
    turn = Rotation.from_euler("xyz", rng.uniform(-largest, largest, 3), degrees=True).as_matrix()
    zoom = np.exp(rng.uniform(-1, 1) * math.log(how.scale) + rng.uniform(-0.08, 0.08, 3))
    zoom[0] *= rng.choice([-1, 1])
    linear = torch.from_numpy((turn * zoom).astype(np.float32))
    axes = [(torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * float(s) for n, s in zip(shape, spacing_mm, strict=True)]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    moved = offsets @ linear.T
    if rng.random() < 0.5:
        for axis in (0, 1):
            wave = torch.sin(2 * math.pi * offsets[..., 2] / rng.uniform(100, 300) + rng.uniform(0, 2 * math.pi))
            moved[..., axis] += rng.uniform(0, how.bend_mm) * wave
    if rng.random() < how.stretch_probability:
        moved[..., 2] += stretch_mm(offsets[..., 2], rng)
    if rng.random() < how.slip_probability:
        for _ in range(int(rng.integers(1, 3))):
            moved += slip_mm(offsets, rng)
    return moved


def stretch_mm(height_mm: Tensor, rng: np.random.Generator) -> Tensor:
    """Along the scan, how far a voxel moves: a wave about as long as a level or two, which halves no length and doubles none."""
    length_mm = rng.uniform(25, 70)
    amplitude_mm = rng.uniform(0, 0.5) * length_mm / (2 * math.pi)
    return amplitude_mm * torch.sin(2 * math.pi * height_mm / length_mm + rng.uniform(0, 2 * math.pi))


def slip_mm(offsets_mm: Tensor, rng: np.random.Generator) -> Tensor:
    """Across a tilted plane at a random height, how far a voxel moves: not below it, up to 8 mm forward or back and down above it."""
    slope = math.tan(math.radians(rng.uniform(-30, 30)))
    reach_mm = 0.8 * float(offsets_mm[..., 2].max())
    above_mm = offsets_mm[..., 2] + slope * offsets_mm[..., 1] - rng.uniform(-reach_mm, reach_mm)
    share = torch.sigmoid(above_mm / rng.uniform(1.5, 3.5))
    shift_mm = torch.tensor([0.0, rng.uniform(-8, 8), rng.uniform(0, 8)], dtype=torch.float32)
    return share[..., None] * shift_mm


def sample_patch(
    source: Source, voxels: Tensor, how: Augmentation, rng: np.random.Generator, junction: Junction | None = None
) -> tuple[Tensor, Tensor]:
    """Cut one augmented patch.

    Parameters
    ----------
    source : Source
    voxels : Tensor of float32, (*shape, 3)
        Where in the scan each voxel of the patch is taken from.
    how : Augmentation
    rng : numpy Generator
        The only source of randomness.
    junction : Junction, optional
        Where S1 ends below, if that is known.

    Returns
    -------
    image : Tensor of float32, (1, *shape)
    allowed : Tensor of uint8, shape
        0 outside the scan.
    """
    remnant_at = junction if junction and rng.random() < how.remnant_probability else None
    if remnant_at:
        voxels = widen(voxels, remnant_at, rng)
    patch, mask, air = source.image_at(voxels), source.allowed_at(voxels), source.air
    if remnant_at:
        patch = draw_remnant(patch, source, voxels, remnant_at, rng)
    if source.disc and rng.random() < how.fade_probability:
        patch = fade(patch, mask == source.disc, air, rng)
    if rng.random() < how.cut_probability:
        _cut_field_of_view(patch, mask, air, rng)
    if rng.random() < how.void_probability:
        _metal_voids(patch, air, rng)
    return _vary_intensity(patch, how, rng)[None], mask


def fade(patch: Tensor, discs: Tensor, air: float, rng: np.random.Generator) -> Tensor:
    """Draw discs towards a tone between the darkest tissue and its median, some much and some not at all, from head to foot."""
    tissue = patch[patch > air + 0.1]
    if not discs.any() or not len(tissue):
        return patch
    edges = functional.avg_pool3d(discs.float()[None, None], (1, 3, 3), 1, (0, 1, 1))[0, 0]
    knots = torch.from_numpy(np.clip(rng.uniform(-0.6, 1.0, max(3, patch.shape[2] // 30)), 0, 0.9).astype(np.float32))
    strength = functional.interpolate(knots[None, None], size=patch.shape[2], mode="linear", align_corners=True)[0, 0]
    dark, median = np.quantile(tissue[:: max(1, len(tissue) // 20_000)].numpy(), (0.05, 0.5))
    tone = float(dark + rng.uniform() * (median - dark))
    return torch.lerp(patch, torch.full_like(patch, tone), edges * strength)


def _cut_field_of_view(patch: Tensor, mask: Tensor, air: float, rng: np.random.Generator) -> None:
    """Let the scan end inside the patch, at the top, the bottom, or either side."""
    axis = int(rng.choice([0, 1, 2, 2, 2]))
    length = patch.shape[axis]
    keep = int(length * rng.uniform(0.5, 0.95))
    outside = slice(keep, length) if rng.random() < 0.5 else slice(0, length - keep)
    where = tuple(outside if i == axis else slice(None) for i in range(3))
    patch[where] = air
    mask[where] = 0


def _vary_intensity(patch: Tensor, how: Augmentation, rng: np.random.Generator) -> Tensor:
    if rng.random() < how.tone_probability:
        patch = _other_contrast(patch, how, rng)
    if rng.random() < how.bias_probability:
        patch = _bias_field(patch, rng)
    if rng.random() < how.ghost_probability:
        patch = _ghost(patch, rng)
    if rng.random() < how.slice_probability:
        patch = _coarser(patch, (float(rng.uniform(1.3, 3.2)), 1.0, 1.0))
    if rng.random() < how.blur_probability:
        factor = float(rng.uniform(1.1, 1.9))
        patch = _coarser(patch, (1.0, factor, factor))
    if rng.random() < how.noise_probability:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        patch = patch + torch.randn(patch.shape, generator=generator) * float(rng.uniform(0, how.noise))
    return patch * float(rng.uniform(0.85, 1.15)) + float(rng.uniform(-0.15, 0.15))


def _other_contrast(patch: Tensor, how: Augmentation, rng: np.random.Generator) -> Tensor:
    """Pass the intensities through a random tone curve, then back to mean 0 and deviation 1."""
    low, high = float(patch.min()), float(patch.max())
    heights = tone_curve(rng, reverse=rng.random() < how.invert_probability / how.tone_probability)
    curve = torch.from_numpy(np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(heights)), heights).astype(np.float32))
    toned = curve[((patch - low) / max(high - low, 1e-6) * 255).to(torch.int64)]
    tissue = toned[patch > low + 0.02 * (high - low)]
    return (toned - tissue.mean()) / tissue.std().clamp(min=1e-3) if tissue.numel() > 100 else patch


def tone_curve(rng: np.random.Generator, reverse: bool) -> NDArray[np.float64]:
    """Brightness, 0 to 1, of what was evenly spaced from darkest to brightest: rising, or reversed in one of three ways.

    Reversed are all of it, all but air, or, as often as both, only the bright end, as of fluid between T2 and T1 weighting.
    """
    steps = rng.uniform(0.1, 1.0, 6)
    rising: NDArray[np.float64] = np.r_[0.0, np.cumsum(steps) / steps.sum()]
    if not reverse:
        return rising
    peak = int(rng.integers(2, 5))
    beyond = np.clip((rising - rising[peak]) / (1 - rising[peak]), 0, 1)
    folded = np.minimum(rising, rising[peak]) * (1 - rng.uniform(0.5, 1.0) * beyond)
    return (1 - rising, np.r_[0.0, 1 - rising[1:]], folded, folded)[int(rng.integers(4))]


def _bias_field(patch: Tensor, rng: np.random.Generator) -> Tensor:
    """Multiply by a smooth field of up to about a factor of two either way (coil fall-off)."""
    knots = torch.from_numpy(rng.normal(0, rng.uniform(0.05, 0.4), (1, 1, 3, 4, 4)).astype(np.float32))
    field = functional.interpolate(knots, size=patch.shape, mode="trilinear", align_corners=True)[0, 0].exp()
    low = patch.min()
    return (patch - low) * field + low


def _metal_voids(patch: Tensor, air: float, rng: np.random.Generator) -> None:
    """Take the signal out of one to three ellipsoids as screws do, with a bright rim on one side."""
    axes = [torch.arange(n, dtype=torch.float32) for n in patch.shape]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    bright = float(patch.max())
    for _ in range(int(rng.integers(1, 4))):
        a, b, c = (float(value) for value in rng.uniform(0, 1, 3) * patch.shape)
        radii = [float(value) for value in rng.uniform((2, 3, 3), (5, 18, 12))]
        distance = ((x - a) / radii[0]) ** 2 + ((y - b) / radii[1]) ** 2 + ((z - c) / radii[2]) ** 2
        patch[(distance < 1.35) & (z > c)] = bright
        patch[distance < 1] = air


def _ghost(patch: Tensor, rng: np.random.Generator) -> Tensor:
    """Add a weak copy of the patch, shifted along a phase-encoding axis, as motion does."""
    axis = int(rng.integers(1, 3))
    shift = int(rng.integers(8, max(9, patch.shape[axis] // 2)))
    strength = float(rng.uniform(0.05, 0.25))
    return (1 - strength) * patch + strength * torch.roll(patch, shift, dims=axis)


def _coarser(patch: Tensor, factors: tuple[float, float, float]) -> Tensor:
    """Average to larger voxels and interpolate back."""
    x, y, z = (max(2, round(n / f)) for n, f in zip(patch.shape, factors, strict=True))
    averaged = functional.adaptive_avg_pool3d(patch[None, None], (x, y, z))
    return functional.interpolate(averaged, size=patch.shape, mode="trilinear", align_corners=False)[0, 0]

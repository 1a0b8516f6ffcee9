"""From a scan to what a network sees: orientation, spacing, intensity. Training and inference share these lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.errors import InputError
from cascade.networks.sampling import sampled
from cascade.networks.spec import Normalisation, StageSpec
from cascade.volume import FloatArray, Volume

#: Percentiles and moments of larger scans are taken from at most about this many evenly spaced voxels.
_SAMPLES = 500_000
#: What is darker than this part of the range is no tissue; of the rest no intensity is spread to more than `_STEEPEST` times its width, so
#: that noise is not (contrast limited equalisation: Pizer et al. 1987, Comput Vision Graph 39:355-368; here of the whole scan at once).
_DARK, _STEEPEST, _BINS = 0.03, 4.0, 256


@dataclass(frozen=True)
class IntensityScale:
    """A scale of intensities, measured once on the whole scan and applied to any part of it.

    Parameters
    ----------
    low, high : float
        Intensities are clipped to these.
    mean, deviation : float
        Of the clipped ones; the result has mean 0 and deviation 1.
    heights : tuple of float
        The result at evenly spaced intensities from `low` to `high`; empty if it is linear.
    """

    low: float
    high: float
    mean: float
    deviation: float
    heights: tuple[float, ...] = ()

    @classmethod
    def of(cls, oriented: NDArray[np.float32], how: Normalisation, equalisation: float = 0.0) -> IntensityScale:
        """Measure percentiles, mean and standard deviation of the voxels above air.

        Parameters
        ----------
        oriented : array of float32, (x, y, z)
            The whole scan with the network's axes, so that voxels are chosen by where they are and not by how the scan was stored.
        how : Normalisation
        equalisation : float
            Part, 0 to 1, that intensities with an equalised histogram have in the mix; scans of other contrasts look more alike with them.

        Raises
        ------
        InputError
            The image is constant.
        """
        chosen = _evenly_spaced(oriented)
        tissue = chosen[chosen > oriented.min()]
        if tissue.size == 0:
            raise InputError("expected an image; every voxel has the same value")
        low, high = np.percentile(tissue, (how.low_percentile, how.high_percentile))
        clipped = np.clip(tissue, low, high, dtype=np.float64)
        tiny = 1e-6 * max(abs(float(low)), abs(float(high)), 1e-6)
        is_flat = high - low < tiny or not equalisation
        heights = () if is_flat else tuple(_heights((clipped - low) / (high - low), equalisation).tolist())
        return cls(float(low), float(high), float(clipped.mean()), max(float(clipped.std()), tiny), heights)

    def apply(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Clip to the percentiles, and bring to mean 0 and deviation 1."""
        if self.heights:
            return self._along_heights(data)
        return ((np.clip(data, self.low, self.high) - self.mean) / self.deviation).astype(np.float32)

    def _along_heights(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Interpolate between the heights, as `np.interp` does in five times as long."""
        heights, last = np.asarray(self.heights, np.float32), len(self.heights) - 1
        # halved, as the whole range may be more than float32 holds
        half = np.clip(data, self.low, self.high) * np.float32(0.5) - np.float32(self.low / 2)
        place = half * np.float32(2 * last / (self.high - self.low))
        below = np.minimum(place.astype(np.int32), last - 1)
        place -= below
        return heights[below] + np.diff(heights)[below] * place


def _heights(tissue: FloatArray, equalisation: float) -> FloatArray:
    """The mix of intensities, 0 to 1, and of those with an equalised histogram, each with mean 0 and deviation 1, and it, too."""
    counts = np.histogram(tissue, _BINS, (0, 1))[0].astype(float)
    first = math.ceil(_DARK * _BINS)
    bright = counts[first:]
    limited = np.minimum(bright, _STEEPEST * bright.sum() / _BINS)
    limited += (bright.sum() - limited.sum()) / len(bright)
    equalised = np.r_[np.zeros(first + 1), np.cumsum(limited)] / max(float(bright.sum()), 1.0)

    def standard(heights: FloatArray) -> FloatArray:
        middles = (heights[1:] + heights[:-1]) / 2
        mean = np.average(middles, weights=counts)
        return np.asarray((heights - mean) / max(math.sqrt(np.average((middles - mean) ** 2, weights=counts)), 1e-6))

    mixed = (1 - equalisation) * standard(np.linspace(0, 1, _BINS + 1)) + equalisation * standard(equalised)
    return standard(mixed)


def _evenly_spaced(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """About `_SAMPLES` voxels, or all; the step shares no factor with any length, so that no row, column or slice is left out.

    Of a scan of 59 x 302 x 302 voxels every tenth lies in an even column; there the deviation came out 3 % too high.
    """
    step = max(1, data.size // _SAMPLES)
    while math.gcd(step, data.size) > 1:
        step += 1
    return data.flat[::step]


def network_input(scan: Volume, spec: StageSpec, scale: IntensityScale | None = None) -> Volume:
    """Bring a scan to the orientation, voxel spacing and intensity scale that a checkpoint was trained for.

    Parameters
    ----------
    scan : Volume
        Finite intensities, any orientation.
    spec : StageSpec
    scale : IntensityScale, optional
        By default measured on `scan`; give that of the whole scan where `scan` is a part.

    Returns
    -------
    Volume
        Axes along ``spec.axcodes``, spacing ``spec.spacing_mm``, normalised intensities.
    """
    oriented = scan.turned(spec.axcodes)
    scale = scale or IntensityScale.of(oriented.data, spec.normalisation)
    working = sampled(oriented, oriented.grid.with_spacing(spec.spacing_mm))
    return Volume(scale.apply(working.data), working.grid)


def detailed_input(scan: Volume, spec: StageSpec) -> Volume:
    """Bring a scan to where `network_input` interpolates from, so that training can interpolate in other ways.

    Parameters
    ----------
    scan : Volume
        Finite intensities, any orientation.
    spec : StageSpec

    Returns
    -------
    Volume
        As `network_input`, but with the voxels of the scan, or half as large as those of `spec` where the scan's are smaller.
    """
    oriented = scan.reoriented(spec.axcodes)
    scale = IntensityScale.of(oriented.data, spec.normalisation)
    smooth = oriented.smoothed_for(oriented.grid.with_spacing(spec.spacing_mm))
    spacing_mm = [max(own, wanted / 2) for own, wanted in zip(smooth.grid.spacing_mm, spec.spacing_mm, strict=True)]
    detailed = smooth.resampled(smooth.grid.with_spacing(spacing_mm))
    return Volume(scale.apply(detailed.data), detailed.grid)

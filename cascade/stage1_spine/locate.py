"""Find the column in a scan: probability map, largest component, centreline, box."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.centreline import row_centres
from cascade.errors import NoSpineError
from cascade.networks.patches import Network, patch_shape_for, predict_at, tiles
from cascade.networks.preprocess import IntensityScale, network_input
from cascade.notices import Notice, rounded_down
from cascade.volume import FloatArray, Volume

#: Probability from which a voxel belongs to the column; of 0.4 to 0.7 the best Dice on the validation scans is at 0.5 and 0.6, where it is
#: the same to 0.0003.
COLUMN_PROBABILITY = 0.6
#: A column smaller than this is no spine. One vertebral body of an adult in a 13 mm sagittal slab has about 10 ml.
MIN_COLUMN_ML = 6.0
#: Mean probability inside the column below which the result is reported as unsure.
LOW_CONFIDENCE = 0.85
#: Below this (the 80 training scans have 0.9678 and more) a scan is looked at again with another contrast; what is found counts if it is so
#: much larger. Of those scans and 171 slices, as they are, none comes to more than 1.05 (docs/notes/2026-11-29-contrasts.md).
SURE, LARGER = 0.967, 1.1
#: What of the intensities then comes from an equalised histogram.
EQUALISATION = 0.5
_SMOOTHING_MM = 12.0


@dataclass(frozen=True, eq=False)
class Spine:
    """Where the spine is.

    Parameters
    ----------
    probability : Volume
        Probability of the column on stage 1's working grid (RAS axes).
    column : array of bool
        The largest component above `COLUMN_PROBABILITY`, same grid.
    centreline_mm : (n, 3) array
        Points from head to foot, in RAS+ mm.
    confidence : float
        Mean probability inside the column.
    second_look : bool
        Whether it was found at the second look, with another contrast.
    """

    probability: Volume
    column: NDArray[np.bool_]
    centreline_mm: FloatArray
    confidence: float
    second_look: bool = False

    def box_mm(self) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest corner of the column's box along the working grid's axes, in mm from its first voxel."""
        voxels = np.argwhere(self.column)
        spacing = np.asarray(self.probability.grid.spacing_mm)
        return (voxels.min(axis=0) - 0.5) * spacing, (voxels.max(axis=0) + 0.5) * spacing

    def notices(self) -> Iterator[Notice]:
        """What to know about how it was found."""
        if self.confidence < LOW_CONFIDENCE:
            text = f"the column was located with a mean probability of only {rounded_down(self.confidence)}"
            yield Notice("stage1-low-confidence", None, text)
        if self.second_look:
            text = "more of the column was found with an equalised histogram; stage 1 has not learned this contrast"
            yield Notice("unknown-contrast", None, text)


def locate(scan: Volume, network: Network) -> Spine:
    """Locate the spine: one pass of the network over the whole scan where it fits, else overlapping tiles.

    Of a contrast that it has not learned from it may find a part only. So where it is not sure it looks again with another contrast.

    Raises
    ------
    NoSpineError
        No component is large enough to be a spine.
    """
    spine = _look(scan, network)
    if spine.confidence < SURE:
        oriented = scan.turned(network.spec.axcodes).data
        with contextlib.suppress(NoSpineError):
            other = _look(scan, network, IntensityScale.of(oriented, network.spec.normalisation, EQUALISATION))
            spine = dataclasses.replace(other, second_look=True) if other.column.sum() > LARGER * spine.column.sum() else spine
    return spine


def _look(scan: Volume, network: Network, scale: IntensityScale | None = None) -> Spine:
    working = network_input(scan, network.spec, scale)
    patch = patch_shape_for(working.grid.shape, network.spec)
    probability = predict_at(working.data, tiles(working.grid.shape, patch), patch, network)[1]
    column = largest_column(probability)
    volume_ml = float(column.sum()) * working.grid.voxel_mm3 / 1000
    if volume_ml < MIN_COLUMN_ML:
        raise NoSpineError(
            f"no spine found: expected a lumbar MR with a column of at least {MIN_COLUMN_ML:.0f} ml, "
            f"the largest candidate has {volume_ml:.1f} ml; check the scan's body part and orientation"
        )
    confidence = float(probability[column].mean())
    return Spine(Volume(probability, working.grid), column, centreline(probability, column, working), confidence)


def largest_column(probability: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The component above `COLUMN_PROBABILITY` that carries the most probability; all False if there is none."""
    labels, count = ndimage.label(probability > COLUMN_PROBABILITY)
    if not count:
        return np.zeros(probability.shape, dtype=bool)
    mass = ndimage.sum_labels(probability, labels, np.arange(1, count + 1))
    return np.asarray(labels == 1 + int(np.argmax(mass)))


def centreline(probability: NDArray[np.float32], column: NDArray[np.bool_], working: Volume) -> FloatArray:
    """Centre of the column in each axial row, smoothed, from head to foot, in RAS+ mm."""
    return row_centres(np.where(column, probability, 0.0), working.grid, _SMOOTHING_MM)

"""Measurements of a labelled spine: volumes, heights, angles, signal; one row a structure.

Definitions (figure in ``docs/measurements.md``); every length is taken in the structure's own frame, see `cascade.measure.endplates`:

- *Anterior, middle, posterior height*: distance of the two end plates in the mid-sagittal plane (a band 10 mm wide), the mean
  over a fifth of the depth around 4/5, 1/2 and 1/5 of it. The three heights of Genant et al. 1993 (J Bone Miner Res
  8:1137-1148), with bands in place of corner points, because a mask has no sharp corners.
- *Depth, width*: front to rear in the mid-sagittal plane and side to side in the mid-coronal plane, at half height.
- *Wedge angle*: between the two end plates of a body or disc in the sagittal plane, positive where it is higher in front.
- *Height index* of a disc: mean of its three heights over the mean middle height of the bodies that it joins (Chen et al.
  2022, J Clin Neurosci 103:153-162); L5/S1 is related to L5 alone.
- *Signal* of a disc: mean intensity inside it, over that of the cerebrospinal fluid at its height (King et al. 2023,
  JOR Spine 6:e1278; here the upper quartile of the canal, which also holds nerve roots), or, where no canal is labelled,
  over the mean of the bodies that it joins.
- *Segmental angle*: between the upper end plates of a body and of the next one below; the sum over a region is its lordosis
  (Been and Kalichman 2014, Spine J 14:87-97).
- *Lordosis*: Cobb angle between the upper end plates of L1 and S1, or, without sacrum, the upper one of L1 and the lower one
  of L5. Patients who lie have less of it than those who stand.
"""

from __future__ import annotations

from collections.abc import Collection

from cascade.errors import InputError
from cascade.measure.alignment import lordosis, with_segments
from cascade.measure.bodies import canal_row, size_row
from cascade.measure.discs import with_indices
from cascade.measure.endplates import patient_axes
from cascade.measure.signal import with_signal
from cascade.measure.structures import find_canal, find_structures, fit_shapes
from cascade.measure.table import Measurement
from cascade.volume import LabelMap, Volume


def measure(labels: LabelMap, scan: Volume | None = None, cut: Collection[str] = ()) -> tuple[Measurement, ...]:
    """Measure every body and disc of a label map, the canal, and the lordosis.

    Parameters
    ----------
    labels : LabelMap
        Any scheme, any orientation.
    scan : Volume, optional
        On the same grid; without it there is no signal.
    cut : collection of str
        Structures known to be cut by the upper or lower end of the field of view, beside those that reach the border.

    Returns
    -------
    tuple of Measurement
        From head to foot; the canal and the lordosis come last.

    Raises
    ------
    InputError
        `scan` is on another grid.
    """
    if scan is not None and not scan.grid.matches(labels.grid):
        raise InputError("expected scan and labels on the same grid; resample one onto the grid of the other first")
    structures = find_structures(labels, frozenset(cut))
    axes = patient_axes(labels.grid)
    shapes = fit_shapes(structures, axes)
    rows = [size_row(structure, shapes.get(structure.name), axes) for structure in structures]
    rows = with_indices(rows)
    rows = with_segments(rows, shapes, axes)
    if scan is not None:
        rows = with_signal(rows, structures, shapes, labels, scan)
    canal = find_canal(labels)
    return (*rows, *([canal_row(canal)] if canal else []), *lordosis(shapes, axes))

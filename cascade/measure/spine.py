"""Measurements of a labelled spine: volumes, heights, angles, signal; one row a structure.

Definitions (figure in ``docs/measurements.md``); every length is taken in the structure's own frame, see `cascade.measure.endplates`:

- *Anterior, middle, posterior height*: distance of the two end plates in the mid-sagittal plane (a band 10 mm wide), the mean
  over a fifth of the depth around 4/5, 1/2 and 1/5 of it. The three heights of Genant et al. 1993 (J Bone Miner Res
  8:1137-1148), with bands in place of corner points, because a mask has no sharp corners.
- *Depth, width*: front to rear in the mid-sagittal plane and side to side in the mid-coronal plane, at half height.
- *Wedge angle*: between the two end plates of a body or disc in the sagittal plane, positive where it is higher in front.
- *Height index* of a disc: mean of its three heights over the mean middle height of the bodies that it joins (Chen et al.
  2022, J Clin Neurosci 103:153-162); L5/S1 is related to L5 alone.
- *Height loss* of a body: see `cascade.measure.bodies`.
- Slip, segmental angles, lordosis, sacral slope and Cobb angle: see `cascade.measure.alignment`.
- Canal: see `cascade.measure.canal`; signal: see `cascade.measure.signal`.
"""

from __future__ import annotations

from collections.abc import Collection

from cascade.errors import InputError
from cascade.labels import SACRUM
from cascade.measure.alignment import cobb, lordosis, with_segments
from cascade.measure.bodies import size_row, with_losses
from cascade.measure.canal import narrowest, with_canal
from cascade.measure.discs import with_indices
from cascade.measure.fitted import Fitted
from cascade.measure.signal import bone, look, with_signal
from cascade.measure.table import Measurement
from cascade.volume import LabelMap, Volume


def measure(
    labels: LabelMap, scan: Volume | None = None, cut: Collection[str] = (), *, fitted: Fitted | None = None
) -> tuple[Measurement, ...]:
    """Measure every body and disc of a label map, and the lordosis.

    Parameters
    ----------
    labels : LabelMap
        Any scheme, any orientation.
    scan : Volume, optional
        On the same grid; without it there is no signal.
    cut : collection of str
        Structures known to be cut by the upper or lower end of the field of view, beside those that reach the border.
    fitted : Fitted, optional
        To these labels with these cuts, where it is at hand.

    Returns
    -------
    tuple of Measurement
        From head to foot; the lordosis comes last.

    Raises
    ------
    InputError
        `scan` is on another grid.
    """
    if scan is not None and not scan.grid.matches(labels.grid):
        raise InputError("expected scan and labels on the same grid; resample one onto the grid of the other first")
    fitted = fitted or Fitted.to(labels, cut)
    axes, structures, fits, canal = fitted.axes, fitted.structures, fitted.shapes, fitted.canal
    rows = [size_row(structure, fits.get(structure.name), axes) for structure in structures]
    plates = {name: fit for name, fit in fits.items() if name == SACRUM or fit.agrees}
    rows = with_segments(with_indices(with_losses(rows)), plates, axes)
    scene = look(labels, scan, structures, fits) if scan is not None else None
    rows = with_signal(rows, scene) if scene else rows
    rows = with_canal(rows, canal, structures, fits) if canal else rows
    narrow = narrowest(rows, canal, structures, fits) if canal else ()
    return (*rows, *narrow, *(bone(rows, scene) if scene else ()), *cobb(rows, plates, axes), *lordosis(plates, axes))

"""Where stage 1 left some of the spine out: stage 2 follows its own vertebrae further."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cascade.centreline import row_centres
from cascade.networks.patches import Network
from cascade.stage2_levels.classify import Tissues, classify
from cascade.volume import FloatArray, Grid, Volume

#: Bodies and discs of so much, so near to an end of what was classified, say that the spine goes on. Stage 1 reaches the sacrum, and 30 mm
#: more are classified: there they are not as low.
NEAR_END_MM, LEAST_ML = 25.0, 2.0
#: How much further is looked at a time, and how often.
STEP_MM, STEPS = 50.0, 4
#: Over so much the line turns from where it ended to the middle of the vertebrae: a step aside would make the body there longer along it.
TURN_MM = 20.0
#: The direction is that of so much of the spine; less than `LEAST_ROOM_MM` to the end of the view is no way.
DIRECTION_MM, SMOOTHING_MM, LEAST_ROOM_MM = 60.0, 8.0, 10.0


def classify_whole(scan: Volume, centreline_mm: FloatArray, network: Network) -> tuple[Tissues, FloatArray]:
    """Classify the surroundings of a centreline, and go on as far as vertebrae do.

    Parameters
    ----------
    scan : Volume
    centreline_mm : (n, 3) array
        RAS+, from head to foot.
    network : Network
        Of stage 2.

    Returns
    -------
    Tissues
    (m, 3) array
        The centreline, longer where stage 1 had left vertebrae out.
    """
    tissues = classify(scan, centreline_mm, network)
    for _ in range(STEPS):
        longer = _gone_on(tissues, centreline_mm, scan)
        if len(longer) == len(centreline_mm):
            break
        centreline_mm, tissues = longer, classify(scan, longer, network)
    return tissues, centreline_mm


def _gone_on(tissues: Tissues, centreline_mm: FloatArray, scan: Volume) -> FloatArray:
    """The line, straight on at each end where vertebrae reach the end of what was classified and the scan goes on."""
    grid, view = tissues.grid, scan.grid.reoriented(tissues.grid.axcodes)
    body, disc = (tissues.probabilities[tissues.classes.index(name)] for name in ("body", "disc"))
    vertebrae = body + disc > 0.5
    row_ml = vertebrae.sum(axis=(0, 1)) * grid.voxel_mm3 / 1000
    near, step, turn, least_room = (mm / grid.spacing_mm[2] for mm in (NEAR_END_MM, STEP_MM, TURN_MM, LEAST_ROOM_MM))
    ends = grid.to_voxels(view.to_world(np.outer((0, 1), np.subtract(view.shape, 1))))
    lowest, highest = ends[:, 2]
    line, last = grid.to_voxels(centreline_mm), grid.shape[2] - 1
    above: list[FloatArray] = []
    below: list[FloatArray] = []
    if row_ml[: round(near)].sum() >= LEAST_ML and -lowest >= least_room:
        below = [_straight_on(vertebrae, grid, np.arange(line[-1, 2] - turn, max(lowest, -step), -1.0), ends)]
    if row_ml[-round(near) :].sum() >= LEAST_ML and highest - last >= least_room:
        above = [_straight_on(vertebrae, grid, np.arange(line[0, 2] + turn, min(highest, last + step), 1.0), ends)[::-1]]
    return np.concatenate([*above, centreline_mm, *below])


def _straight_on(vertebrae: NDArray[np.bool_], grid: Grid, rows: NDArray[np.float64], ends: FloatArray) -> FloatArray:
    """Points in RAS+ mm at rows beyond an end of the vertebrae, in line with those next to it, between the ends of the view in voxels."""
    centres = grid.to_voxels(row_centres(vertebrae, grid, SMOOTHING_MM))
    end = centres[0 if rows[-1] > rows[0] else -1, 2]
    part = centres[np.abs(centres[:, 2] - end) <= DIRECTION_MM / grid.spacing_mm[2]]
    x, y = (np.clip(np.polyval(np.polyfit(part[:, 2], part[:, axis], 1), rows), *ends[:, axis]) for axis in (0, 1))
    return grid.to_world(np.stack([x, y, rows], axis=1))

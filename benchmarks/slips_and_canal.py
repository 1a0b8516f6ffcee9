"""How far slip, angles, canal and lost height are from the analytic answers of phantoms that have slips, bends, narrow places, collapses.

Prints a Markdown table of the mean absolute and the largest error; ``docs/measurements.md`` quotes it. Run in the root of a checkout:
``python -m benchmarks.slips_and_canal``.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from cascade.measure import measure
from cascade.phantom import PhantomSpec, voxelise
from tests.measure.phantoms import bodies_of, by_name, canal_ap_mm, grid_of, losses, slips_mm, with_canal

GRIDS = {"1 mm isotropic": (1.0, 1.0, 1.0), "4 x 0.9 x 0.9 mm sagittal": (4.0, 0.9, 0.9), "0.8 x 0.8 x 3 mm axial": (0.8, 0.8, 3.0)}
STRAIGHT = PhantomSpec(thoracic=0)
SLIPS = (None, ("L4", 6.0), ("L3", -7.0), ("L5", 9.0))
BENDS_DEG = (12.0, -27.0)
CANALS = (STRAIGHT, dataclasses.replace(STRAIGHT, canal_ap_mm=13.0, stenosis=("L3", 7.0), slip=("L4", 5.0)))
COLLAPSES = (("L2", 0.21, 0.21), ("L3", 0.40, 0.10), ("L2", 0.55, 0.55))
LOSSES = ("anterior_loss_percent", "middle_loss_percent", "posterior_loss_percent")
LEVELS = ("L1", "L2", "L3", "L4", "L5", "L1-L2", "L2-L3", "L3-L4", "L4-L5")


def errors(spacing_mm: tuple[float, float, float]) -> dict[str, list[float]]:
    """Errors of every measured value on one grid, by measure."""
    grid, found = grid_of(spacing_mm), defaultdict(list)
    for slip in SLIPS:
        spec = dataclasses.replace(STRAIGHT, slip=slip)
        rows = measure(voxelise(bodies_of(spec), grid))
        found["slip (mm)"] += [(by_name(rows)[name].slip_mm or np.nan) - truth for name, truth in slips_mm(spec).items()]
        lordosis = {row.structure: row.segment_deg or np.nan for row in rows if row.kind == "lordosis"}
        found["lordosis (°)"] += [lordosis["L1-L5"] - 32, lordosis["L1-S1"] - 53]
        found["sacral slope (°)"].append((by_name(rows)["sacrum"].slope_deg or np.nan) - 45)
    for cobb_deg in BENDS_DEG:
        rows = measure(voxelise(bodies_of(dataclasses.replace(STRAIGHT, cobb_deg=cobb_deg)), grid))
        found["Cobb (°)"] += [(row.cobb_deg or np.nan) - cobb_deg for row in rows if row.kind == "cobb"]
    for spec in CANALS:
        rows = measure(with_canal(spec, grid))
        found["canal AP (mm)"] += [(by_name(rows)[name].canal_ap_mm or np.nan) - canal_ap_mm(spec, name) for name in LEVELS]
    for collapse in COLLAPSES:
        spec = dataclasses.replace(STRAIGHT, collapse=collapse)
        rows = by_name(measure(voxelise(bodies_of(spec), grid)))
        for name, truth in losses(spec).items():
            found["lost height (%)"] += [getattr(rows[name], loss) - getattr(truth, loss) for loss in LOSSES]
    return found


def main() -> None:
    """Print the table."""
    tables = {name: errors(spacing_mm) for name, spacing_mm in GRIDS.items()}
    headings = list(next(iter(tables.values())))
    print(f"| grid | {' | '.join(headings)} |\n|---{'|---' * len(headings)}|")
    for name, found in tables.items():
        cells = [f"{np.mean(np.abs(found[h])):.2f} ({np.max(np.abs(found[h])):.2f})" for h in headings]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

"""Whole vertebrae cut to bodies, on real labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cascade.io.nifti import read_label_array
from cascade.labels import BODIES, VERSE
from cascade.measure import measure
from cascade.measure.whole import cut_bodies, whole_vertebrae
from cascade.volume import LabelMap

#: Posterior elements without a level.
ARCHES = 90


@pytest.mark.data
@pytest.mark.parametrize("case", ["118", "152"])
def test_cut_to_bodies_they_measure_as_the_bodies_alone(data_folder: Path, case: str) -> None:
    """In the first a body has crumbs beside it, in the second two bodies are destroyed."""
    numbers, grid = read_label_array(data_folder / "spider" / f"{case}_labels.nii.gz")
    alone = LabelMap(np.where(numbers == ARCHES, 0, numbers).astype(np.uint8), grid, VERSE)
    bodies = np.isin(numbers, [VERSE[name] for name in BODIES if name in VERSE])
    nearest = ndimage.distance_transform_edt(~bodies, sampling=grid.spacing_mm, return_distances=False, return_indices=True)
    whole = LabelMap(np.where(numbers == ARCHES, numbers[tuple(nearest)], numbers).astype(np.uint8), grid, VERSE)
    assert len(whole_vertebrae(whole)) >= 6
    cut = cut_bodies(whole)
    assert cut is not None
    before, after = ({row.structure: row for row in measure(labels) if row.kind == "body"} for labels in (alone, cut[0]))
    assert before.keys() == after.keys()
    for quantity, most_mm in {"anterior_mm": 0.5, "middle_mm": 0.5, "posterior_mm": 0.5, "slip_mm": 1.0}.items():
        told = [name for name, row in before.items() if getattr(row, quantity) is not None]
        off_mm = [getattr(after[name], quantity) - getattr(before[name], quantity) for name in told]
        assert max(map(abs, off_mm)) < most_mm, quantity

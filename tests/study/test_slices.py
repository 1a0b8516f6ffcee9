"""What axial slices show, from a sagittal result that is known to be right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cascade.labels import SACRUM, VERSE, is_disc
from cascade.phantom import PhantomSpec, solids, voxelise
from cascade.postproc.identify import Evidence, identify
from cascade.postproc.naming import Numbering
from cascade.stage2_levels.target import CLASSES
from cascade.study.slices import Guide
from cascade.volume import Grid, LabelMap, box_between
from tests.study import made

SPEC = PhantomSpec()


def sagittal_grid() -> Grid:
    affine = np.diag([4.0, 1.0, 1.0, 1.0])
    shape = (17, 130, 330)
    affine[:3, 3] = -np.array([32.0, 45.0, 165.0])
    return Grid(shape, affine)


@pytest.fixture(scope="module")
def guide() -> Guide:
    """The phantom as a perfect stage 2 sees it in 4 mm slices: probabilities are the share of a voxel that a class fills."""
    grid, parts = sagittal_grid(), 4
    fine = grid.with_spacing((1.0, 1.0, 1.0))
    labels = voxelise((solid for solid in solids(SPEC) if solid.name in VERSE), fine)
    kinds = {name: CLASSES.index("disc" if is_disc(name) else SACRUM if name == SACRUM else "body") for name in labels.structures}
    probabilities = np.zeros((len(CLASSES), *grid.shape), dtype=np.float32)
    for name, channel in kinds.items():
        probabilities[channel] += labels[name].reshape(grid.shape[0], parts, *grid.shape[1:]).mean(axis=1)
    probabilities[0] = 1 - probabilities[1:].sum(axis=0)
    centreline = np.array([solid.centre_mm for solid in solids(SPEC) if solid.name in VERSE])
    evidence = Evidence(probabilities, CLASSES, grid, centreline, grid)
    found = identify(evidence, Numbering({"L3": tuple(next(s.centre_mm for s in solids(SPEC) if s.name == "L3"))}))
    return Guide("t2", found, evidence)


def block(name: str, slice_mm: float = 3.5) -> tuple[Grid, LabelMap]:
    """Five slices along a disc of the upright phantom, from below upwards, and what they hold."""
    solid = next(each for each in solids(SPEC) if each.name == name)
    grid = made.block(solid, range(5), slice_mm, 1.0, 0.0, 5)
    labels = voxelise((each for each in solids(SPEC) if each.name in VERSE), grid)
    stored = grid.reoriented(made.stored_axcodes(grid))
    return stored, labels.reoriented(stored.axcodes)


@pytest.mark.parametrize("disc", ["L1-L2", "L3-L4", "L4-L5", "L5-S1"])
def test_the_distance_to_the_middle_of_the_disc_is_right_within_a_millimetre(guide: Guide, disc: str) -> None:
    rows = list(guide.where(block(disc)[0]))
    assert [row.disc for row in rows] == [disc] * 5
    assert [row.distance_mm for row in rows] == pytest.approx([-7.0, -3.5, 0.0, 3.5, 7.0], abs=1.0)
    assert rows[2].structure == disc
    assert rows[2].tilt_deg == pytest.approx(0, abs=8)


def test_a_slice_through_a_body_is_told_the_third_of_it(guide: Guide) -> None:
    rows = list(guide.where(block("L3-L4", 9.0)[0]))
    assert [(row.structure, row.part) for row in rows] == [
        ("L4", "middle"),
        ("L4", "upper"),
        ("L3-L4", None),
        ("L3", "lower"),
        ("L3", "middle"),
    ]


def test_a_slice_beyond_the_sagittal_result_says_so(guide: Guide) -> None:
    grid, _ = block("L3-L4")
    affine = grid.vox2world.copy()
    affine[2, 3] -= 400
    rows = list(guide.where(Grid(grid.shape, affine)))
    assert [(row.structure, row.disc, row.distance_mm) for row in rows] == [(None, None, None)] * 5


def test_a_slice_beside_the_column_says_so(guide: Guide) -> None:
    grid, _ = block("L3-L4")
    affine = grid.vox2world.copy()
    affine[0, 3] += 300
    assert {row.structure for row in guide.where(Grid(grid.shape, affine))} == {None}


@pytest.mark.parametrize("disc", ["L1-L2", "L3-L4", "L4-L5", "L5-S1"])
def test_labels_on_the_axial_grid_are_those_of_the_phantom(guide: Guide, disc: str) -> None:
    grid, truth = block(disc)
    labels = guide.labels(grid, VERSE)
    dice = {}
    for name in truth.structures:
        found, true = labels[name], truth[name]
        dice[name] = 2 * (found & true).sum() / (found.sum() + true.sum())
    assert dice.pop(SACRUM, 1.0) > 0.8
    assert dice[disc] >= 0.85
    assert min((value for name, value in dice.items() if not is_disc(name)), default=1.0) >= 0.90, dice


def test_nothing_is_labelled_beside_the_sagittal_field_of_view(guide: Guide) -> None:
    """Eight slices of 4 mm, less than a vertebra is wide."""
    box = box_between((5, 0, 0), (13, 130, 330))
    part = dataclasses.replace(guide.evidence, scan_grid=guide.evidence.scan_grid.cropped(box))
    grid, _ = block("L3-L4")
    labels = Guide("narrow", guide.found, part).labels(grid, VERSE)
    across = grid.to_world(np.argwhere(labels["L3-L4"]))[:, 0]
    assert across.min() == pytest.approx(-14.0, abs=1.0)
    assert across.max() == pytest.approx(18.0, abs=1.0)


def test_labels_do_not_depend_on_how_the_slices_are_stored(guide: Guide) -> None:
    grid, _ = block("L4-L5")
    one = guide.labels(grid, VERSE)
    for codes in ("LPS", "RAI", "ASL"):
        assert np.array_equal(guide.labels(grid.reoriented(codes), VERSE).reoriented(grid.axcodes).data, one.data)

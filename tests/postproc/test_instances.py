"""Instances: measured in mm along the line, not in voxels; and painted back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cascade.centreline import SpineLine
from cascade.labels import CASCADE, VERSE
from cascade.postproc.instances import Instance, InstanceMap, find_instances
from cascade.postproc.paint import paint
from cascade.stage2_levels.target import CLASSES
from cascade.volume import Grid, keep_largest_components
from tests.synthetic import BODY, DISC, Blob, Column, identified, painted


def found(column: Column) -> InstanceMap:
    grid = column.grid
    return find_instances(column.probabilities(), CLASSES, grid, SpineLine(column.centreline_mm), (0.0, grid.shape[2] - 1.0))


def test_a_column_falls_into_its_bodies_discs_and_sacrum() -> None:
    kinds = [instance.kind for instance in found(Column()).instances]
    assert (kinds.count("body"), kinds.count("disc"), kinds.count("sacrum")) == (6, 6, 1)


def test_instances_are_measured_in_mm() -> None:
    column = Column(sway_mm=(0.0, 0.0))
    bodies = sorted((i for i in found(column).instances if i.kind == "body"), key=lambda i: i.position_mm)
    steps = np.diff([body.position_mm for body in bodies])
    heights, gaps = np.array(column.heights_mm), np.array(column.gaps_mm)
    assert steps == pytest.approx((heights[:-1] + heights[1:]) / 2 + gaps[:-1], abs=3.5)
    for body, height in zip(bodies, heights, strict=True):
        assert body.volume_mm3 == pytest.approx(np.pi * 16**2 * height, rel=0.25)
        assert body.offset_mm < 3
        assert body.confidence == pytest.approx(0.91, abs=1e-3)
        assert body.length_mm == pytest.approx(0.9 * height, abs=4)
        assert not body.touches_border


def test_a_body_knows_how_much_of_a_sacrum_the_network_saw_in_it() -> None:
    column = Column()
    probabilities = column.probabilities()
    bodies = [i for i in found(column).instances if i.kind == "body"]
    assert all(body.sacral == pytest.approx(0.03, abs=1e-3) for body in bodies)
    (box, mask), channel = found(column).mask(bodies[0].value), CLASSES.index("sacrum")
    probabilities[channel][box][mask] = 0.2
    line = SpineLine(column.centreline_mm)
    changed = find_instances(probabilities, CLASSES, column.grid, line, (0.0, column.grid.shape[2] - 1.0)).instances
    assert [i.sacral for i in changed if i.kind == "body"] == pytest.approx([0.2, *[0.03] * (len(bodies) - 1)], abs=1e-3)


def test_values_of_the_map_are_those_of_the_instances() -> None:
    result = found(Column())
    assert set(np.unique(result.values)) == {0, *(instance.value for instance in result.instances)}
    assert len({instance.value for instance in result.instances}) == len(result.instances)


def test_specks_are_no_instances() -> None:
    specks = tuple(Blob(kind, (40.0, 40.0, z), 3.5) for kind, z in ((BODY, 20.0), (DISC, -40.0)))
    assert len(found(Column(blobs=specks)).instances) == len(found(Column()).instances)


def test_fused_bodies_are_cut_where_the_disc_should_be() -> None:
    result = found(Column(fused_gaps=frozenset({2})))
    assert [instance.kind for instance in result.instances].count("body") == 6
    assert len(result.split) == 2


def test_a_body_at_the_end_of_the_field_of_view_touches_it() -> None:
    column = Column()
    grid = column.grid
    top = int(grid.to_voxels([0, 0, column.top_mm])[2])
    result = find_instances(column.probabilities(), CLASSES, grid, SpineLine(column.centreline_mm), (0.0, top - 3.0))
    touching = [instance for instance in result.instances if instance.touches_border]
    assert len(touching) == 1
    assert touching[0].centroid_mm[2] == max(i.centroid_mm[2] for i in result.instances if i.kind == "body")


class TestPaint:
    def test_on_the_networks_grid_it_is_what_the_networks_said(self) -> None:
        column = Column()
        labels = painted(column, identified(column))
        assert np.array_equal(labels.data > 0, column.classes() > 0)
        assert labels["L5-S1"].any()

    def test_on_another_grid_volumes_stay(self) -> None:
        column = Column()
        result = identified(column)
        coarse, fine = painted(column, result), painted(column, result, column.grid.with_spacing((2.0, 2.0, 2.0)))
        for name in coarse.structures:
            volumes = [labels[name].sum() * labels.grid.voxel_mm3 for labels in (coarse, fine)]
            assert volumes[1] == pytest.approx(volumes[0], rel=0.25), name

    def test_outside_of_what_was_classified_is_background(self) -> None:
        column = Column()
        affine = column.grid.vox2world.copy()
        affine[2, 3] -= 90
        target = Grid((column.grid.shape[0], column.grid.shape[1], column.grid.shape[2] + 60), affine)
        labels = painted(column, identified(column), target)
        assert not labels.data[:, :, :29].any()
        assert np.array_equal(labels.data[:, :, 30 : 30 + column.grid.shape[2]], painted(column, identified(column)).data)

    def test_only_named_structures_are_painted(self) -> None:
        column = Column()
        result = identified(column)
        value = next(value for value, name in result.names.items() if name == "L3")
        labels = paint(column.probabilities(), CLASSES, column.grid, result.instances, {value: "L3"}, target=column.grid, scheme=CASCADE)
        assert labels.structures == ("L3",)
        assert labels.data.dtype == np.uint8

    def test_a_scheme_with_large_numbers_needs_a_larger_type(self) -> None:
        column = Column()
        big = dataclasses.replace(VERSE, ids={name: 10 * number for name, number in VERSE.ids.items()})
        result = identified(column)
        labels = paint(column.probabilities(), CLASSES, column.grid, result.instances, result.names, target=column.grid, scheme=big)
        assert labels.data.dtype == np.uint16
        assert labels["L5-S1"].any()

    def test_of_every_label_the_largest_component_stays(self) -> None:
        labels = np.zeros((9, 9, 9), np.uint8)
        labels[0:3, 0:3, 0:3] = 4
        labels[7, 7, 7] = 4
        labels[3, 3, 3] = 4
        labels[8, 0, 0] = 7
        keep_largest_components(labels)
        assert (labels == 4).sum() == 28
        assert labels[3, 3, 3] == 4
        assert labels[8, 0, 0] == 7


def block(disc_radius_mm: float, rows: slice = slice(17, 23)) -> np.ndarray:
    """What a short axial stack shows: two half bodies joined around the disc between them, all of it 40 mm high."""
    x, y, _ = np.indices((21, 41, 40))
    from_axis_mm = np.hypot(2.0 * (x - 10), y - 20)
    classes = np.where(from_axis_mm[:, :, :] < 17, CLASSES.index("body"), 0)
    disc = np.zeros(classes.shape, dtype=bool)
    disc[:, :, rows] = from_axis_mm[:, :, rows] < disc_radius_mm
    classes[disc] = CLASSES.index("disc")
    return np.stack([np.where(classes == c, 0.96, 0.01) for c in range(len(CLASSES))]).astype(np.float32)


def bodies_in(probabilities: np.ndarray) -> list[Instance]:
    grid = Grid((21, 41, 40), np.diag([2.0, 1.0, 1.0, 1.0]))
    line = SpineLine(np.array([[20.0, 20.0, 39.0], [20.0, 20.0, 0.0]]))
    return [i for i in find_instances(probabilities, CLASSES, grid, line, (0.0, 39.0)).instances if i.kind == "body"]


def test_two_half_bodies_that_are_joined_around_a_disc_are_cut_there() -> None:
    upper, lower = sorted(bodies_in(block(14.0)), key=lambda body: body.position_mm)
    assert abs((upper.end_mm + lower.start_mm) / 2 - (150 + 19.5)) < 4


@pytest.mark.parametrize(("radius_mm", "rows"), [(6.0, slice(17, 23)), (14.0, slice(2, 6)), (14.0, slice(35, 38))])
def test_a_dent_in_an_end_plate_or_a_dark_spot_cuts_no_body(radius_mm: float, rows: slice) -> None:
    whole = max(bodies_in(block(radius_mm, rows)), key=lambda body: body.volume_mm3)
    assert whole.length_mm > 30

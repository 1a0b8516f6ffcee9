from __future__ import annotations

import dataclasses
import functools

import pytest

from cascade.labels import SACRUM
from cascade.measure import Measurement, measure
from cascade.phantom import PhantomSpec, solids, voxelise
from tests.measure.phantoms import bodies_of, by_name, grid_of, slips_mm

ONE_MM = grid_of((1.0, 1.0, 1.0))
SAGITTAL = grid_of((4.0, 0.9, 0.9))
STRAIGHT = PhantomSpec(thoracic=0)


@functools.cache
def measured(spec: PhantomSpec, *, thick: bool = False) -> tuple[Measurement, ...]:
    return measure(voxelise(bodies_of(spec), SAGITTAL if thick else ONE_MM))


@pytest.mark.parametrize(("slip", "thick"), [(None, False), (("L4", 6.0), False), (("L3", -7.0), True), (("L5", 9.0), True)])
def test_a_slip_is_told_to_half_a_millimetre_on_1_mm_and_nearly_so_in_thick_slices_and_the_other_levels_have_none(
    slip: tuple[str, float] | None, thick: bool
) -> None:
    spec = dataclasses.replace(STRAIGHT, slip=slip)
    rows = by_name(measured(spec, thick=thick))
    for name, truth_mm in slips_mm(spec).items():
        assert rows[name].slip_mm == pytest.approx(truth_mm, abs=0.6 if thick else 0.5)
        assert (rows[name].slip_grade != 0) == (slip is not None and name == slip[0])


def test_a_slip_is_graded_by_its_share_of_the_lower_end_plate() -> None:
    row = by_name(measured(dataclasses.replace(STRAIGHT, slip=("L4", 12.0))))["L4"]
    assert row.slip_percent == pytest.approx(100 * 12 / 35, abs=2)
    assert row.slip_grade == 2


def test_a_slip_backwards_is_negative_and_graded_alike() -> None:
    row = by_name(measured(dataclasses.replace(STRAIGHT, slip=("L2", -7.0))))["L2"]
    assert row.slip_percent == pytest.approx(-100 * 7 / 35, abs=2)
    assert row.slip_grade == 1


def test_on_s1_a_slip_backwards_needs_more_to_have_a_grade() -> None:
    """Of S1 networks leave out a corner."""
    rows = {name: by_name(measured(dataclasses.replace(STRAIGHT, slip=(name, -6.0)), thick=True))[name] for name in ("L4", "L5")}
    assert rows["L4"].slip_mm == pytest.approx(-6.0, abs=0.6)
    assert rows["L5"].slip_mm == pytest.approx(-6.0, abs=0.6)
    assert [rows[name].slip_grade for name in ("L4", "L5")] == [1, 0]


def test_the_end_plate_of_s1_is_found_wherever_the_disc_above_it_lies() -> None:
    """Of a slipped L5 networks draw the disc in front of S1."""
    spec = dataclasses.replace(STRAIGHT, slip=("L5", 9.0))
    disc = next(part for part in solids(spec) if part.name == "L5-S1")
    ahead = dataclasses.replace(disc, centre_mm=disc.centre_mm + 18 * disc.axes[1])
    row = by_name(measure(voxelise([ahead, *bodies_of(spec)], SAGITTAL)))["L5"]
    assert row.slip_mm == pytest.approx(slips_mm(spec)["L5"], abs=0.6)


def test_lordosis_and_the_slope_of_the_sacrum_are_those_of_the_solids() -> None:
    rows = measured(STRAIGHT)
    lordosis = {row.structure: row.segment_deg for row in rows if row.kind == "lordosis"}
    assert lordosis == {"L1-L5": pytest.approx(24 + 8, abs=1.5), "L1-S1": pytest.approx(45 + 8, abs=1.5)}
    assert by_name(rows)[SACRUM].slope_deg == pytest.approx(45, abs=1.5)


@pytest.mark.parametrize(("cobb_deg", "thick"), [(22.0, False), (-27.0, True)])
def test_a_sideways_bend_is_told_with_its_end_vertebrae(cobb_deg: float, thick: bool) -> None:
    rows = measured(dataclasses.replace(STRAIGHT, cobb_deg=cobb_deg), thick=thick)
    (row,) = (row for row in rows if row.kind == "cobb")
    assert row.structure == "L1-L4"
    assert row.cobb_deg == pytest.approx(cobb_deg, abs=1.5)


def test_a_view_too_narrow_for_a_sideways_bend_gives_none() -> None:
    spec = dataclasses.replace(STRAIGHT, cobb_deg=22.0)
    narrow = grid_of((4.0, 0.9, 0.9), size_mm=(20, 112, 220))
    assert not [row for row in measure(voxelise(bodies_of(spec), narrow)) if row.kind == "cobb"]


def test_a_missing_body_leaves_no_slip_across_the_gap() -> None:
    parts = [part for part in bodies_of(STRAIGHT) if part.name != "L3"]
    rows = by_name(measure(voxelise(parts, SAGITTAL)))
    assert rows["L2"].slip_mm is None
    assert rows["L4"].slip_mm is not None

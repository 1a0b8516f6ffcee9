"""One numbering from the evidence of several series, without networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cascade.errors import NumberingError
from cascade.postproc.identify import identify
from cascade.postproc.naming import Numbering
from cascade.study.numbering import Witness, agree, shared_numbering
from cascade.volume import Grid
from tests.synthetic import Column, as_probabilities, evidence_of

RIGHT = np.array([1.0, 0.0, 0.0])
WHOLE = Column()


def witness(name: str, column: Column = WHOLE, *, lift_mm: float = 0.0, sacral_depth_mm: float | None = None) -> Witness:
    """A column, seen by a perfect stage 2."""
    evidence = evidence_of(column, None if sacral_depth_mm is None else as_probabilities(column.with_sacrum_of(sacral_depth_mm)))
    lift = np.eye(4)
    lift[2, 3] = lift_mm

    def lifted(grid: Grid) -> Grid:
        return Grid(grid.shape, lift @ grid.vox2world)

    line = evidence.centreline_mm + np.array([0, 0, lift_mm])
    return Witness(
        name, dataclasses.replace(evidence, grid=lifted(evidence.grid), scan_grid=lifted(evidence.scan_grid), centreline_mm=line), RIGHT
    )


def cut() -> Column:
    """The upper four bodies of the whole column, at the place where that has them."""
    return dataclasses.replace(
        WHOLE, heights_mm=WHOLE.heights_mm[:4], gaps_mm=WHOLE.gaps_mm[:4], sacrum=False, room_below_mm=2.0, sway_mm=(0.0, 0.0)
    )


STRAIGHT = dataclasses.replace(WHOLE, sway_mm=(0.0, 0.0))
#: Both columns are centred on the world's origin, so the shorter one is lifted to where the longer one has its upper bodies.
LIFT_MM = (STRAIGHT.length_mm - cut().length_mm) / 2


def test_a_series_without_the_sacrum_is_named_by_one_that_shows_it() -> None:
    alone = agree([witness("cut", cut())], Numbering())
    assert alone.naming.names == ("L2", "L3", "L4", "L5")
    both = agree([witness("cut", cut(), lift_mm=LIFT_MM), witness("whole", STRAIGHT)], Numbering())
    assert both.names_in("whole") == ("T12", "L1", "L2", "L3", "L4", "L5")
    assert both.names_in("cut") == ("T12", "L1", "L2", "L3")
    assert both.disagreeing == {}
    assert [notice.code for notice in alone.notices if notice.code == "no-sacrum-in-view"] == ["no-sacrum-in-view"]
    assert "no-sacrum-in-view" not in {notice.code for notice in both.notices}


def test_the_order_of_the_series_does_not_matter() -> None:
    series = [witness("a", cut(), lift_mm=LIFT_MM), witness("b", STRAIGHT), witness("c", STRAIGHT)]
    one, other = agree(series, Numbering()), agree(series[::-1], Numbering())
    assert (one.naming, one.confidence, one.column.places) == (other.naming, other.confidence, other.column.places)


def test_two_series_that_say_the_same_are_no_surer_than_one() -> None:
    alone = agree([witness("a", STRAIGHT)], Numbering()).confidence
    assert agree([witness("a", STRAIGHT), witness("b", STRAIGHT)], Numbering()).confidence == pytest.approx(alone)


def test_a_narrow_sacrum_is_a_doubt_of_the_whole_study_unless_a_level_is_told() -> None:
    series = [witness("cut", cut(), lift_mm=LIFT_MM), witness("whole", STRAIGHT, sacral_depth_mm=14.0)]
    (doubt,) = [notice.text for notice in agree(series, Numbering()).notices if notice.code == "numbering-uncertain"]
    assert doubt.endswith("L5 may be S1")
    told = agree(series, Numbering({"L5": series[1].anchors(["", "", "", "", "", "L5"])["L5"]}))
    assert "numbering-uncertain" not in {notice.code for notice in told.notices}


def test_a_doubt_tells_the_name_that_the_study_gives() -> None:
    """The series with the narrow sacrum would alone call its lowest vertebra, the L4 of two others, L5."""
    shorter = dataclasses.replace(STRAIGHT, heights_mm=STRAIGHT.heights_mm[:5], gaps_mm=STRAIGHT.gaps_mm[:5])
    odd = witness("shorter", shorter, lift_mm=(STRAIGHT.length_mm - shorter.length_mm) / 2, sacral_depth_mm=14.0)
    agreed = agree([witness("a", STRAIGHT), witness("b", STRAIGHT), odd], Numbering())
    assert agreed.names_in("shorter")[-1] == "L4"
    (doubt,) = [notice.text for notice in agreed.notices if notice.code == "numbering-uncertain"]
    assert doubt.endswith("L4 may be S1")


def test_a_series_alone_is_named_as_without_a_study() -> None:
    whole = witness("a", STRAIGHT)
    alone = identify(whole.evidence)
    agreed = agree([whole], Numbering())
    assert agreed.naming.names == alone.naming.names
    assert agreed.naming.possible == alone.naming.possible
    assert agreed.confidence == pytest.approx(alone.naming.confidence)
    assert {notice.code for notice in agreed.notices} <= {notice.code for notice in alone.notices}


def test_a_pair_that_contradicts_itself_is_told() -> None:
    """In one series the sacrum follows the sixth body, in the other the fifth, at the same places."""
    shorter = dataclasses.replace(STRAIGHT, heights_mm=STRAIGHT.heights_mm[:5], gaps_mm=STRAIGHT.gaps_mm[:5])
    lift_mm = (STRAIGHT.length_mm - shorter.length_mm) / 2
    agreed = agree([witness("longer", STRAIGHT), witness("shorter", shorter, lift_mm=lift_mm)], Numbering())
    assert len(agreed.disagreeing) == 1


def test_what_a_person_knows_counts_for_all_series() -> None:
    place = witness("whole", STRAIGHT).row.points_mm[5]
    known = Numbering({"L4": tuple(float(v) for v in place)})
    agreed = agree([witness("cut", cut(), lift_mm=LIFT_MM), witness("whole", STRAIGHT)], known)
    assert agreed.names_in("cut") == ("T11", "T12", "L1", "L2")


def test_every_body_of_a_series_gets_an_anchor_of_its_own() -> None:
    cut_one = witness("cut", cut(), lift_mm=LIFT_MM)
    agreed = agree([cut_one, witness("whole", STRAIGHT)], Numbering(count=5))
    known = shared_numbering(cut_one, agreed)
    assert list(known.anchors) == ["T12", "L1", "L2", "L3"]
    assert known.count == 5
    assert known.anchors["L2"] == pytest.approx(cut_one.row.points_mm[2], abs=3.0)


def test_anchors_that_contradict_each_other_are_refused() -> None:
    points = witness("whole", STRAIGHT).row.points_mm
    known = Numbering({"L4": tuple(map(float, points[2])), "L1": tuple(map(float, points[4]))})
    with pytest.raises(NumberingError):
        agree([witness("whole", STRAIGHT)], known)

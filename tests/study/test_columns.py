"""Which body of one series is which of another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.study.columns import Row, filled, match
from cascade.volume import FloatArray

RIGHT = np.array([1.0, 0.0, 0.0])
#: Ten bodies from the head down, 30 to 36 mm apart, in a gentle bend.
SPINE = np.array([(0.0, 12 * np.sin(i / 3), -33.0 * i - (i % 2)) for i in range(10)])


def row(name: str, first: int, stop: int, move: tuple[float, float, float] = (0, 0, 0), points: FloatArray = SPINE) -> Row:
    return Row(name, points[first:stop] + move, RIGHT)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(3, 6)), min_size=2, max_size=5), st.randoms(use_true_random=False), st.integers(0, 99)
)
def test_bodies_of_overlapping_series_are_matched_whatever_the_order(spans: list[tuple[int, int]], chance: object, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        row(str(i), first, min(10, first + count), points=SPINE + rng.normal(0, 1, SPINE.shape)) for i, (first, count) in enumerate(spans)
    ]
    rows.append(row("all", 0, 10))
    chance.shuffle(rows)  # type: ignore[attr-defined]
    column = match(rows)
    assert column.places["all"] == tuple(range(10))
    assert {str(i): column.places[str(i)] for i in range(len(spans))} == {
        str(i): tuple(range(first, min(10, first + count))) for i, (first, count) in enumerate(spans)
    }
    assert column.strangers == {}
    assert column.moved_mm == {}


def test_series_that_show_different_parts_make_a_longer_column() -> None:
    column = match([row("low", 4, 10), row("high", 0, 6)])
    assert len(column.points_mm) == 10
    assert column.places == {"high": (0, 1, 2, 3, 4, 5), "low": (4, 5, 6, 7, 8, 9)}


def test_how_far_a_patient_moved_is_told_and_bodies_are_matched_all_the_same() -> None:
    column = match([row("first", 0, 10), row("then", 2, 8, (0.0, 6.0, -8.0))])
    assert column.places["then"] == (2, 3, 4, 5, 6, 7)
    assert column.moved_mm == {"then": pytest.approx(10.0)}


def test_a_shift_across_thick_slices_is_no_move() -> None:
    assert match([row("first", 0, 10), row("then", 2, 8, (9.0, 0.0, 0.0))]).moved_mm == {}


def test_a_move_by_half_a_level_is_told_from_the_shape_of_the_spine() -> None:
    column = match([row("first", 0, 10), row("then", 2, 8, (0.0, 0.0, 16.0))])
    assert column.places["then"] == (2, 3, 4, 5, 6, 7)
    assert column.moved_mm == {"then": pytest.approx(16.0, abs=1.0)}


def test_where_one_level_is_like_the_next_half_a_level_cannot_be_told() -> None:
    ladder = np.array([(0.0, 0.0, -34.0 * i) for i in range(10)])
    column = match([row("first", 0, 10, points=ladder), row("then", 2, 8, (0.0, 0.0, 17.0), points=ladder)])
    assert set(column.strangers) == {"then"}
    assert "cannot be told" in column.strangers["then"]


def test_a_series_that_shows_no_body_of_the_others_is_a_stranger() -> None:
    assert set(match([row("low", 5, 10), row("high", 0, 4)]).strangers) == {"high"}


def test_a_body_that_one_series_misses_has_a_place_where_another_shows_it() -> None:
    missing = SPINE[2:7].copy()
    missing[2] = np.nan
    column = match([row("all", 0, 10), Row("gap", missing, RIGHT)])
    assert column.places["gap"] == (2, 3, 4, 5, 6)
    assert filled(missing)[2] == pytest.approx((missing[1] + missing[3]) / 2)


def test_a_body_that_only_the_smaller_series_shows_is_put_between_its_neighbours() -> None:
    column = match([Row("skips", np.delete(SPINE, 4, axis=0), RIGHT), row("whole", 2, 7)])
    assert len(column.points_mm) == 10
    assert column.places == {"skips": (0, 1, 2, 3, 5, 6, 7, 8, 9), "whole": (2, 3, 4, 5, 6)}

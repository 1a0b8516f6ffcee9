"""The error of each number, from what was measured again."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from cascade.measure import COLUMNS, SD, Measurement, as_dict, combine_tables, numbers, save_table, table, with_spread
from cascade.measure.calibration import CALIBRATED, CALIBRATION

L4 = Measurement("L4", "body", middle_mm=27.0, anterior_mm=28.0)
FACTOR, FLOOR = CALIBRATION["body"]["middle_mm"]


def views(*middles_mm: float | None) -> list[list[Measurement]]:
    return [[dataclasses.replace(L4, middle_mm=middle_mm)] for middle_mm in middles_mm]


def sd_of(row: Measurement, column: str) -> float | None:
    return (row.sd or {}).get(column)


def test_it_is_the_spread_over_scan_and_views_times_the_factor_and_never_below_the_floor() -> None:
    (row,) = with_spread([L4], views(26.0, 28.0))
    assert sd_of(row, "middle_mm") == pytest.approx(math.hypot(FLOOR, FACTOR * 1.0))
    assert sd_of(row, "anterior_mm") == pytest.approx(CALIBRATION["body"]["anterior_mm"][1])


@pytest.mark.parametrize("seen", [views(26.0), views(26.0, 27.0, None, None, None), [[], [], []], []])
def test_without_enough_views_that_tell_it_there_is_none(seen: list[list[Measurement]]) -> None:
    (row,) = with_spread([L4], seen)
    assert sd_of(row, "middle_mm") is None


def test_another_level_and_what_was_not_calibrated_have_no_part_in_it() -> None:
    other = dataclasses.replace(L4, structure="L3")
    (row,) = with_spread([L4], [[other], [other], [other]])
    assert row.sd == {}
    (sacrum,) = with_spread([Measurement("sacrum", "sacrum", slope_deg=40.0)], [[Measurement("sacrum", "sacrum", slope_deg=41.0)]] * 3)
    assert sacrum.sd == {}


def test_the_table_has_a_column_more_behind_each_that_is_calibrated() -> None:
    heading, line = table(with_spread([L4], views(26.0, 28.0))).splitlines()
    columns = heading.split("\t")
    assert [column for column in columns if not column.endswith(SD)] == list(COLUMNS)
    assert {column.removesuffix(SD) for column in columns if column.endswith(SD)} == CALIBRATED
    assert columns[columns.index("middle_mm") + 1] == "middle_mm_sd"
    told = dict(zip(columns, line.split("\t"), strict=True))
    assert float(told["middle_mm_sd"]) == pytest.approx(math.hypot(FLOOR, FACTOR), abs=0.05)
    assert told["posterior_mm_sd"] == "n/a"


def test_without_views_nothing_is_different() -> None:
    assert table([L4]).splitlines()[0].split("\t") == list(COLUMNS)
    assert list(as_dict(L4)) == list(COLUMNS)


def test_numbers_and_json_tell_it_too() -> None:
    (row,) = with_spread([L4], views(26.0, 28.0))
    assert numbers(row)["middle_mm_sd"] == pytest.approx(math.hypot(FLOOR, FACTOR), abs=0.05)
    assert as_dict(row)["middle_mm_sd"] == sd_of(row, "middle_mm")
    assert "sd" not in as_dict(row)


def test_tables_of_scans_that_were_seen_again_go_together_whatever_they_hold(tmp_path: Path) -> None:
    save_table(with_spread([L4], views(26.0, 28.0)), tmp_path / "a.tsv")
    save_table(with_spread([Measurement("L1-L5", "lordosis", segment_deg=30.0)], []), tmp_path / "b.tsv")
    combine_tables({"a": tmp_path / "a.tsv", "b": tmp_path / "b.tsv"}, tmp_path / "levels.tsv")
    assert len((tmp_path / "levels.tsv").read_text(encoding="utf-8").splitlines()) == 3

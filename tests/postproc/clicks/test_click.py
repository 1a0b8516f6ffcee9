"""Clicks as they are written: ours, and 3D Slicer's point lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade import Click
from cascade.errors import InputError
from cascade.labels import CANAL, CASCADE_EXTENDED
from cascade.postproc.clicks.click import WORDS, clicks_to_json, parse_clicks, read_clicks

LEVELS = tuple(name for name in CASCADE_EXTENDED.ids if name != CANAL)
POINT = st.tuples(*[st.floats(-500, 500)] * 3)
CLICKS = st.lists(st.builds(Click, POINT, st.sampled_from([*LEVELS, *WORDS])), max_size=5)


@given(CLICKS)
def test_clicks_come_back_as_they_were_written(clicks: list[Click]) -> None:
    assert parse_clicks(json.loads(json.dumps(clicks_to_json(clicks)))) == tuple(clicks)


def markup(system: str, *points: tuple[str, list[float]], **fields: Any) -> dict[str, Any]:
    controls = [{"id": str(n), "label": label, "position": list(at), **fields} for n, (label, at) in enumerate(points)]
    return {"type": "Fiducial", "coordinateSystem": system, "controlPoints": controls}


@given(CLICKS, st.sampled_from(["LPS", "RAS", "0", "1"]))
def test_slicers_points_are_turned_to_ras(clicks: list[Click], system: str) -> None:
    signs = (1, 1, 1) if system in ("RAS", "0") else (-1, -1, 1)
    points = [(click.structure, [s * v for s, v in zip(signs, click.position_mm, strict=True)]) for click in clicks]
    assert parse_clicks({"markups": [markup(system, *points)]}) == tuple(clicks)


def test_slicers_axes_are_lps_where_a_file_says_nothing() -> None:
    content = {"markups": [markup("LPS", ("L3", [1, 2, 3]))]}
    del content["markups"][0]["coordinateSystem"]
    assert parse_clicks(content)[0].position_mm == (-1.0, -2.0, 3.0)


def test_points_that_were_not_placed_are_passed_over() -> None:
    assert parse_clicks({"markups": [markup("RAS", ("L3", [1, 2, 3]), positionStatus="undefined")]}) == ()


@pytest.mark.parametrize(
    ("text", "structure"),
    [("l3", "L3"), ("L3/L4", "L3-L4"), ("L4/5", "L4-L5"), ("L5-S1", "L5-S1"), ("S1", "sacrum"), ("Sacrum", "sacrum"), ("DISC", "disc")],
)
def test_structures_are_understood_as_people_write_them(text: str, structure: str) -> None:
    assert Click((0, 0, 0), text).structure == structure


@pytest.mark.parametrize("text", ["", "F-1", "L7", "L3-1", "L4-L3", "vertebra", None])
def test_other_words_are_an_error_that_lists_the_right_ones(text: Any) -> None:
    with pytest.raises(InputError, match="expected a click to name a level such as L3, L3-L4 or sacrum, or background, body"):
        Click((0, 0, 0), text)


@pytest.mark.parametrize("position", [(1, 2), ("a", 0, 0), (float("nan"), 0, 0), None, (1, 2, float("inf"))])
def test_a_position_is_three_numbers(position: Any) -> None:
    with pytest.raises(InputError, match="expected the position of a click as three numbers in mm"):
        Click(position, "L3")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[{", "expected clicks in JSON"),
        ("{}", "found neither"),
        ("[1]", "expected a click as"),
        ('[{"position_mm": [0, 0, 0]}]', "expected a click as"),
        ('[{"position_mm": [0, 0], "structure": "L3"}]', "three numbers"),
        ('{"markups": [{"coordinateSystem": "IJK", "controlPoints": []}]}', "found 'IJK'"),
        ('{"markups": [{"controlPoints": [{"label": "L3"}]}]}', "three numbers"),
    ],
)
def test_a_file_that_holds_no_clicks_is_an_error_of_one_line(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "clicks.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_clicks(path)
    assert str(caught.value).startswith(f"{path}: expected")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: expected a file of clicks"):
        read_clicks(tmp_path / "none.json")

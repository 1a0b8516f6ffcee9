from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from cascade.evaluation import plots
from cascade.evaluation.figures import summarise
from tests.evaluation.results import result, structure

RESULTS = [
    result("a<b", "1", structure("L5", 0.9), structure("L4-L5", 0.8, distance_mm=20.0)),
    result("c", "2", structure("L5", 0.5), structure("L4-L5", 0.0, match="", distance_mm=math.nan)),
]


def circles(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter("circle"))


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.3, 1, [0.4, 0.6, 0.8, 1.0]), (0, 10, [0, 2, 4, 6, 8, 10])]
)
def test_ticks_are_round_values_within_the_axis(low: float, high: float, ticks: list[float]) -> None:
    axis = plots.Axis(low, high, 0.0, 100.0)
    assert set(ticks) <= {round(tick, 9) for tick in axis.ticks}
    assert all(low <= tick <= high + 1e-9 for tick in axis.ticks)


def test_an_axis_keeps_values_beyond_its_ends_inside_the_plot() -> None:
    axis = plots.Axis(0.0, 10.0, 200.0, 0.0)
    assert [axis.at(value) for value in (-1.0, 0.0, 5.0, 10.0, 99.0)] == [200.0, 200.0, 100.0, 0.0, 0.0]


def test_the_forest_shows_one_dot_a_group() -> None:
    groups = summarise(RESULTS)
    titles = [circle.findtext("title") for circle in circles(plots.forest(groups, "dice", "Dice"))]
    assert titles == ["a<b body: 0.900", "a<b disc: 0.800", "c body: 0.500", "c disc: 0.000", "all body: 0.700", "all disc: 0.400"]


def test_the_strip_shows_one_dot_a_defined_value_in_the_colour_of_its_data_set() -> None:
    dice = circles(plots.strip(RESULTS, lambda score: score.dice, "Dice"))
    distance = circles(plots.strip(RESULTS, lambda score: score.distance95_mm, "mm", high=10.0))
    assert (len(dice), len(distance)) == (4, 3)
    colours = plots.colour_by_dataset(RESULTS)
    assert {circle.findtext("title"): circle.get("fill") for circle in distance} == {
        "a<b/1 L5: 2": colours["a<b"],
        "c/2 L5: 2": colours["c"],
        "a<b/1 L4-L5: 40": colours["a<b"],
    }


def test_names_are_escaped_in_the_legend() -> None:
    assert "a&lt;b" in plots.legend(RESULTS)
    assert "a<b" not in plots.legend(RESULTS)

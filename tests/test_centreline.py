"""The spine as a ruler."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.centreline import SpineLine, row_centres
from cascade.volume import Grid


class TestSpineLine:
    def test_positions_grow_towards_the_feet_and_distances_are_from_the_line(self) -> None:
        line = SpineLine(np.array([[0.0, 0, 100], [0, 0, 50], [0, 0, 0]]))
        position, distance = line.locate(np.array([[3.0, 4, 80], [0, 0, 20]]))
        assert distance == pytest.approx([5.0, 0.0], abs=0.6)
        assert position[1] - position[0] == pytest.approx(60, abs=1)

    def test_it_goes_on_straight_beyond_its_ends(self) -> None:
        line = SpineLine(np.array([[0.0, 0, 100], [0, 0, 50], [0, 0, 0]]))
        _, distance = line.locate(np.array([[0.0, 0, 240], [0, 0, -140]]))
        assert distance.max() < 1

    def test_one_point_is_a_line_too(self) -> None:
        position, _ = SpineLine(np.array([[5.0, 5, 5]])).locate(np.array([[5.0, 5, 40], [5, 5, -40]]))
        assert position[1] > position[0]

    def test_the_ends_go_on_as_the_line_runs_next_to_them(self) -> None:
        bent = np.array([[0.0, 0, 100], [0, 0, 50], [0, -50, 0]])
        straight, over_two = SpineLine(bent, reach=1), SpineLine(bent, reach=2)
        beyond_mm = np.array([[0.0, -100, -50]])
        assert straight.locate(beyond_mm)[1] < 1
        assert over_two.locate(beyond_mm)[1] > 5


def test_each_row_has_its_centre_by_weight_from_head_to_foot() -> None:
    weights = np.zeros((5, 3, 4))
    weights[1, 1, 0], weights[3, 1, 0] = 3.0, 1.0
    weights[2, 2, 2] = 0.5
    grid = Grid((5, 3, 4), np.diag([2.0, 1.0, 5.0, 1.0]))
    assert np.allclose(row_centres(weights, grid, 0.01), [[4, 2, 10], [3, 1, 0]])

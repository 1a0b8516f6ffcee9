"""What is measured of a row of bodies, and how likely the model finds it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_t

from cascade.postproc.s1_looks import S1Looks
from cascade.postproc.shape import MEASURED, spine_shape, step_shape
from cascade.postproc.shape_model import FEATURES, LEVELS, NO_LEVEL, S1, ShapeModel

HEIGHT, DEPTH, WIDTH, STEP = 26.0, 34.0, 44.0, 36.0


def block(height: float = HEIGHT, wedge: float = 0.0) -> np.ndarray:
    """Points of a body around the origin; its front is `wedge` mm higher than its back between the outer sixths of its depth."""
    x, y, z = np.meshgrid(
        np.arange(-WIDTH / 2, WIDTH / 2, 2), np.arange(-DEPTH / 2, DEPTH / 2) + 0.5, np.linspace(-0.5, 0.5, 27), indexing="ij"
    )
    heights = height + wedge * y / (DEPTH * 2 / 3)
    return np.stack([x, y, z * heights], axis=-1).reshape(-1, 3)


def row(count: int, turn_deg: float = 0.0, **how: float) -> list[np.ndarray]:
    """Bodies in a straight row from head to foot, turned in the sagittal plane."""
    turn = Rotation.from_euler("x", turn_deg, degrees=True).as_matrix()
    return [(block(**how) - np.array([0, 0, STEP * i])) @ turn.T for i in range(count)]


def model(degrees_of_freedom: float = 20.0, temperature: float = 1.0) -> ShapeModel:
    rng = np.random.default_rng(1)
    size = len(FEATURES) * LEVELS
    mean, deviation, factors = rng.normal(size=size), rng.uniform(1, 3, size), rng.uniform(-0.4, 0.4, (size, 3))
    return ShapeModel.of_arrays(mean, deviation, factors, degrees_of_freedom, temperature)


class TestMeasuring:
    def test_a_step_has_a_tilt_and_a_length(self) -> None:
        assert step_shape(np.array([0.0, 0, 0]), np.array([0.0, 0, -34])) == pytest.approx((0.0, 34.0))
        tilt, length = step_shape(np.array([0.0, 0, 0]), np.array([3.0, -30, -30]))
        assert tilt == pytest.approx(45.0)
        assert length == pytest.approx(np.sqrt(1809))

    @given(st.floats(-40, 40))
    def test_sizes_do_not_depend_on_how_the_spine_is_turned(self, turn_deg: float) -> None:
        shape = spine_shape(row(3, turn_deg))
        np.testing.assert_allclose(shape[1, :2], STEP, atol=1e-6)
        np.testing.assert_allclose(shape[2], HEIGHT, atol=0.8)
        np.testing.assert_allclose(shape[3], DEPTH, atol=0.8)
        np.testing.assert_allclose(shape[4], 0.0, atol=0.5)

    @given(st.floats(-40, 40))
    def test_tilts_follow_the_turn(self, turn_deg: float) -> None:
        straight, turned = spine_shape(row(3)), spine_shape(row(3, turn_deg))
        np.testing.assert_allclose(turned[0, :2] - straight[0, :2], -turn_deg, atol=1e-6)
        np.testing.assert_allclose(turned[5] - straight[5], turn_deg, atol=1e-6)

    @pytest.mark.parametrize("wedge", [-4.0, 0.0, 5.0])
    def test_a_body_that_is_higher_in_front_has_a_positive_wedge(self, wedge: float) -> None:
        np.testing.assert_allclose(spine_shape(row(3, wedge=wedge))[4], wedge, atol=0.8)

    def test_where_a_body_is_missing_nothing_is_measured(self) -> None:
        shape = spine_shape([*row(2), None, *row(1)])
        assert np.isnan(shape[:, 2]).all()
        assert np.isnan(shape[:2, 1]).all()
        assert np.isfinite(shape[: len(FEATURES), 0]).all()

    def test_a_single_body_has_no_shape(self) -> None:
        assert np.isnan(spine_shape(row(1))).all()
        assert spine_shape([]).shape == (len(MEASURED), 0)


def lowest_body(front_deg: float, back_deg: float, turn_deg: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A body whose front and back run forward by these degrees on their way down, and the disc above it, turned together: world mm."""
    y, z = (axis.ravel() for axis in np.meshgrid(np.arange(-60, 60, 0.5), np.arange(-40, 10, 0.5), indexing="ij"))
    front, back = (edge - z * np.tan(np.radians(deg)) for edge, deg in ((DEPTH / 2, front_deg), (-DEPTH / 2, back_deg)))
    body = (z < 0) & (z > -HEIGHT) & (y < front) & (y > back)
    disc = (z >= 0) & (z < 8) & (np.abs(y) < DEPTH / 2)
    turn = Rotation.from_euler("x", turn_deg, degrees=True)
    points = np.stack([np.zeros(len(y)), y, z], axis=1)
    return turn.apply(points[body]), turn.apply(points[disc])


class TestLooks:
    @pytest.mark.parametrize("turn_deg", [-50, -20, 0, 20])
    @pytest.mark.parametrize(("front_deg", "back_deg"), [(0, 0), (-40, -20), (-30, -30), (5, -10)])
    def test_slants_are_measured_from_the_disc_above(self, front_deg: float, back_deg: float, turn_deg: float) -> None:
        body, disc = lowest_body(front_deg, back_deg, turn_deg)
        shape = spine_shape([body], discs_mm=[disc])
        narrowing, front, back = shape[len(FEATURES) :, 0]
        assert front == pytest.approx(front_deg, abs=4)
        assert back == pytest.approx(back_deg, abs=4)
        assert np.sign(round(narrowing, 1)) == np.sign(front_deg - back_deg)

    def test_without_the_disc_above_there_are_no_looks(self) -> None:
        body, _ = lowest_body(-40, -20)
        assert np.isnan(spine_shape([body])[len(FEATURES) :]).all()

    def test_weights_are_one_for_each_look(self) -> None:
        with pytest.raises(ValueError, match="expected 3, of narrowing"):
            S1Looks((1.0, 2.0), 0.0)


class TestModel:
    def test_its_density_is_that_of_a_multivariate_t(self) -> None:
        shape_model, shape = model(), np.random.default_rng(2).normal(0, 2, (len(FEATURES), 3))
        levels = [2, 1, 0]
        index = [f * LEVELS + level - S1 for f in range(len(FEATURES)) for level in levels]
        mean, deviation, factors = (np.array(table)[index] for table in (shape_model.mean, shape_model.deviation, shape_model.factors))
        correlation = factors @ factors.T
        np.fill_diagonal(correlation, 1.0)
        scale = correlation * np.outer(deviation, deviation)
        # the step below the last body leads to no named level
        known = [i for i, _ in enumerate(index) if not (i < 6 and i % 3 == 2)]
        seen = shape.copy()
        seen[:2, 2] = np.nan
        expected = -multivariate_t.logpdf(shape.ravel()[known], mean[known], scale[np.ix_(known, known)], df=shape_model.degrees_of_freedom)
        assert shape_model.cost(seen, levels) == pytest.approx(expected)

    def test_of_what_is_no_level_anything_may_be_expected(self) -> None:
        shape = np.zeros((len(FEATURES), 1))
        assert model().cost(shape, [NO_LEVEL]) == pytest.approx(np.log(360.0 * 100 * 60 * 60 * 40 * 360))
        assert model().cost(np.full((len(FEATURES), 1), np.nan), [0]) == 0.0

    def test_a_step_to_a_body_that_is_none_is_no_step_between_levels(self) -> None:
        shape = np.full((len(FEATURES), 2), np.nan)
        shape[:2, 0] = 3.0, 30.0
        assert model().cost(shape, [0, NO_LEVEL]) == pytest.approx(np.log(360.0 * 100))

    @given(st.floats(0.5, 5.0))
    def test_the_temperature_weakens_the_evidence(self, temperature: float) -> None:
        shape = np.ones((len(FEATURES), 4))
        assert model(temperature=temperature).cost(shape, [3, 2, 1, 0]) * temperature == pytest.approx(model().cost(shape, [3, 2, 1, 0]))

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"mean": (1.0,) * 107}, "mean: expected 108 entries, one of every feature and level; found 107"),
            ({"deviation": (0.0,) * 108}, "deviation: expected more than 0; found 0"),
            ({"factors": ((1.0, 0.1),) * 108}, "factors: expected rows whose squares add up to less than 1"),
            ({"factors": ((0.1,),) * 107 + ((0.1, 0.1),)}, "factors: expected rows of one length"),
            ({"degrees_of_freedom": 0.0}, "degrees_of_freedom: expected more than 0; found 0"),
            ({"temperature": -1.0}, "temperature: expected more than 0; found -1"),
        ],
    )
    def test_what_is_no_distribution_is_refused(self, change: dict[str, Any], said: str) -> None:
        with pytest.raises(ValueError, match=said):
            dataclasses.replace(model(), **change)

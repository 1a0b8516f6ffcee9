"""Augmentation: other contrasts keep to their range, and a reversed one does change the order of tissues."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.training.augmentation import tone_curve


@given(st.integers(0, 10_000))
def test_a_rising_curve_keeps_the_order_from_black_to_white(seed: int) -> None:
    heights = tone_curve(np.random.default_rng(seed), reverse=False)
    assert heights[0] == 0
    assert heights[-1] == 1
    assert (np.diff(heights) > 0).all()


@given(st.integers(0, 10_000))
def test_a_reversed_curve_darkens_the_brightest_and_stays_in_range(seed: int) -> None:
    heights = tone_curve(np.random.default_rng(seed), reverse=True)
    assert heights[-1] < heights[-2]
    assert heights.min() >= 0
    assert heights.max() <= 1


def test_reversed_are_all_of_it_all_but_air_or_the_bright_end() -> None:
    curves = [tone_curve(np.random.default_rng(seed), reverse=True) for seed in range(60)]
    all_of_it = [curve for curve in curves if curve[0] == 1]
    all_but_air = [curve for curve in curves if curve[0] == 0 and (np.diff(curve[1:]) < 0).all()]
    bright_end = [curve for curve in curves if curve[0] == 0 and curve[1] < curve[2]]
    assert min(map(len, (all_of_it, all_but_air, bright_end))) > 5
    assert len(all_of_it) + len(all_but_air) + len(bright_end) == len(curves)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.evaluation.figures import ALL, Figure, bootstrap_mean, summarise, summarise_structures
from tests.evaluation.results import result, structure


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not() -> None:
    values, patients = np.random.default_rng(0).uniform(size=30).tolist(), [str(n) for n in range(30)]
    assert bootstrap_mean(values, patients, seed=4) == bootstrap_mean(values, patients, seed=4)
    assert bootstrap_mean(values, patients, seed=4) != bootstrap_mean(values, patients, seed=5)


@given(seed=st.integers(0, 100))
def test_the_order_of_the_cases_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, patients = rng.uniform(size=12), rng.integers(0, 5, 12).astype(str)
    order = rng.permutation(12)
    one, other = bootstrap_mean(values.tolist(), patients), bootstrap_mean(values[order].tolist(), patients[order])
    assert (other.mean, other.low, other.high) == pytest.approx((one.mean, one.low, one.high))


def test_the_interval_of_independent_values_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(0.9, 0.05, 200)
    figure = bootstrap_mean(values.tolist(), [str(n) for n in range(200)])
    half = 1.96 * values.std() / math.sqrt(200)
    assert figure.mean == pytest.approx(values.mean())
    assert (figure.low, figure.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_scans_of_one_patient_count_as_one_observation() -> None:
    values, patients = [0.7, 0.8, 0.9, 0.95], ["a", "b", "c", "d"]
    once, twice = bootstrap_mean(values, patients), bootstrap_mean(values * 2, patients * 2)
    alone = bootstrap_mean(values * 2, [str(n) for n in range(8)])
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))
    assert alone.high - alone.low < 0.9 * (once.high - once.low)


def test_the_mean_lies_within_its_interval_which_lies_within_the_values() -> None:
    values = [0.2, 0.9, 0.95, 0.97, 0.99]
    figure = bootstrap_mean(values, "abcde")
    assert figure.low is not None
    assert figure.high is not None
    assert figure.mean is not None
    assert min(values) <= figure.low < figure.mean < figure.high <= max(values)


def test_one_patient_has_a_mean_but_no_interval_and_no_value_has_neither() -> None:
    assert bootstrap_mean([0.5, 0.7], ["a", "a"]) == Figure(0.6, None, None)
    assert bootstrap_mean([math.nan], ["a"]) == Figure(None, None, None)
    assert bootstrap_mean([math.nan, 0.5, 0.7], ["b", "a", "a"]) == Figure(0.6, None, None)


def test_figures_are_means_over_structures_and_shares_of_cases() -> None:
    results = [
        result("x", "1", structure("L4", 0.9, found_ml=45.0), structure("L5", 0.8, match="L4", distance_mm=3.0, found_ml=60.0)),
        result("x", "2", structure("L5", 0.4, distance_mm=50.0), extra=("L1", "T12")),
        result("x", "3", structure("L5", 0.0, match="", distance_mm=math.nan)),
    ]
    (group,) = summarise(results)
    found = {name: figure.mean for name, figure in group.figures.items()}
    assert (group.dataset, group.kind, group.cases, group.patients, group.structures) == ("x", "body", 3, 3, 4)
    assert found == pytest.approx(
        {
            "dice": (0.9 + 0.0 + 0.4 + 0.0) / 4,
            "matched_dice": (0.9 + 0.8 + 0.4) / 4,
            "mean_distance_mm": 2.0,
            "distance95_mm": 4.0,
            "volume_error_percent": 15.0,
            "volume_bias_percent": 5.0,
            "detection": 0.5,
            "level_accuracy": 0.5,
            "all_right": 1 / 3,
            "extra": 2 / 3,
        }
    )


def test_a_group_for_every_data_set_and_kind_and_for_all_of_them() -> None:
    results = [
        result("b", "1", structure("L4", 0.9), structure("L4-L5", 0.8)),
        result("a", "1", structure("L4", 0.7)),
    ]
    groups = summarise(results)
    assert [(g.dataset, g.kind) for g in groups] == [("a", "body"), ("b", "body"), ("b", "disc"), (ALL, "body"), (ALL, "disc")]
    assert groups[3].figures["dice"].mean == pytest.approx(0.8)
    assert [g.dataset for g in summarise(results[:1])] == ["b", "b"]


def test_structures_are_summarised_from_head_to_foot_bodies_first() -> None:
    results = [result("a", n, structure("L5", 0.9), structure("T12", 0.5), structure("L4-L5", 0.8)) for n in "12"]
    groups = summarise_structures(results)
    assert [(g.structure, g.cases, g.figures["dice"].mean) for g in groups] == [("T12", 2, 0.5), ("L5", 2, 0.9), ("L4-L5", 2, 0.8)]
    assert "all_right" not in groups[0].figures


def test_where_nothing_is_detected_no_level_is_right_and_no_distance_is_known() -> None:
    (group,) = summarise([result("a", "1", structure("L5", 0.1)), result("a", "2", structure("L5", 0.2))])
    assert group.figures["level_accuracy"].mean == 0.0
    assert group.figures["mean_distance_mm"].mean is None

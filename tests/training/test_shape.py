"""The shape model is fitted to labelled spines, and then tells the levels of others."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.labels import VERSE
from cascade.phantom import PhantomSpec, render
from cascade.postproc.parameters import NamingParameters
from cascade.postproc.s1_looks import LIMIT, LOOKS
from cascade.postproc.shape import MEASURED
from cascade.postproc.shape_model import FEATURES, LEVELS, S1
from cascade.training import shape as fitting
from cascade.training.shape import fit_looks, fit_naming, levels_of
from cascade.volume import LabelMap


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    return render(PhantomSpec(shape=(15, 120, 160), spacing_mm=(4.0, 1.8, 1.8), thoracic=1))[1]


def spines(count: int, seed: int = 0) -> np.ndarray:
    """Measured spines, (count, 6, LEVELS), of seven bodies above the sacrum that change from level to level and differ between subjects."""
    rng = np.random.default_rng(seed)
    level = np.arange(LEVELS)
    typical = np.stack([40 - 9 * level, 36 - level, 27 - 0.7 * level, 35 - 0.8 * level, 3 - 0.6 * level, -30 + 8 * level])
    size = rng.normal(0, 2, (count, 1, 1)) * np.array([0, 1, 1, 1, 0, 0])[:, None]
    data = typical + size + rng.normal(0, 1.0, (count, len(FEATURES), LEVELS))
    data[:, :, 8:] = np.nan
    data[:, :2, 0] = np.nan
    return data


def test_bodies_are_measured_from_the_sacrum_upwards(labels: LabelMap) -> None:
    levels = levels_of(labels)
    assert levels.shape == (len(MEASURED), LEVELS)
    below = labels.grid.to_world(np.argwhere(labels["L5"]).mean(axis=0))
    above = labels.grid.to_world(np.argwhere(labels["L4"]).mean(axis=0))
    assert levels[1, 1 - S1] == pytest.approx(np.linalg.norm(above - below), abs=0.1)
    assert np.isfinite(levels[:, 1:5]).all()
    assert np.isfinite(levels[: len(FEATURES), 5]).all()
    assert np.isnan(levels[:, 9:]).all()


def test_a_scan_whose_labels_end_above_l5_says_nothing(labels: LabelMap) -> None:
    upper = LabelMap(np.where(np.isin(labels.data, [VERSE["L1"], VERSE["L2"]]), labels.data, 0).astype(np.uint8), labels.grid, VERSE)
    assert np.isnan(levels_of(upper)).all()


def test_too_few_subjects_make_no_model(labels: LabelMap) -> None:
    assert fit_naming([levels_of(labels)] * 3) == NamingParameters()


def test_a_fitted_model_tells_the_levels_of_other_spines() -> None:
    unknown_looks = np.full((len(LOOKS), LEVELS), np.nan)
    model = fit_naming(np.concatenate([measured, unknown_looks]) for measured in spines(40)).shape_model
    assert model is not None
    told = []
    for window, place in fitting._windows(spines(10, seed=1)):
        count = window.shape[1]
        costs = [model.cost(window, range(lowest + count - 1, lowest - 1, -1)) for lowest in range(6)]
        told.append(int(np.argmin(costs)) == place)
    assert np.mean(told) > 0.95


def test_evidence_that_is_counted_twice_gets_a_higher_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_FACTORS", 0)
    rng, slope = np.random.default_rng(3), 0.4 * np.arange(LEVELS)
    honest = np.where(np.isnan(spines(60)), np.nan, slope + rng.normal(size=(60, len(FEATURES), LEVELS)))
    repeated = np.where(np.isnan(honest), np.nan, slope + rng.normal(size=(60, 1, LEVELS)))
    assert fitting._best_temperature(repeated) > fitting._best_temperature(honest)


def looks_of(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Looks of S1 and of L5, about as they are."""
    rng = np.random.default_rng(seed)
    return rng.normal((-0.22, -40, -20), (0.1, 8, 10), (count, 3)), rng.normal((-0.02, -6, -4), (0.07, 9, 9), (count, 3))


def test_what_looks_like_s1_is_told_from_what_does_not() -> None:
    looks = fit_looks(*looks_of(100, seed=0))
    assert looks is not None
    s1, l5 = (looks.log_odds(values.T) for values in looks_of(100, seed=1))
    assert (s1 > 0).mean() > 0.95
    assert (l5 < 0).mean() > 0.95
    assert np.abs(np.concatenate([s1, l5])).max() <= LIMIT


def test_looks_that_were_not_measured_count_neither_way() -> None:
    s1, l5 = looks_of(50, seed=0)
    unknown = np.full((30, 3), np.nan)
    assert fit_looks(np.concatenate([s1, unknown]), l5) == fit_looks(s1, l5)
    assert fit_looks(s1[:3], l5) is None

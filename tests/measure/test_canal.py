from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from cascade.labels import CANAL, VERSE
from cascade.measure import Measurement, measure
from cascade.phantom import PhantomSpec
from cascade.volume import LabelMap
from tests.measure.phantoms import by_name, canal_ap_mm, grid_of, with_canal

ONE_MM = grid_of((1.0, 1.0, 1.0))
WIDE = PhantomSpec(thoracic=0)
NARROW = PhantomSpec(thoracic=0, canal_ap_mm=13.0, stenosis=("L3", 7.0), slip=("L4", 5.0))
LEVELS = ("L1", "L2", "L3", "L4", "L5", "L1-L2", "L2-L3", "L3-L4", "L4-L5")


@functools.cache
def measured(spec: PhantomSpec) -> tuple[Measurement, ...]:
    return measure(with_canal(spec, ONE_MM))


@pytest.mark.parametrize("spec", [WIDE, NARROW], ids=["wide", "narrow at L3/L4"])
def test_the_canal_is_told_to_half_a_millimetre_across_its_own_axis(spec: PhantomSpec) -> None:
    rows = by_name(measured(spec))
    for name in LEVELS:
        assert rows[name].canal_ap_mm == pytest.approx(canal_ap_mm(spec, name), abs=0.5)


def test_the_area_is_that_of_the_ellipse() -> None:
    rows = by_name(measured(WIDE))
    for name in ("L2", "L2-L3", "L3"):
        assert rows[name].canal_area_mm2 == pytest.approx(math.pi * canal_ap_mm(WIDE, name) / 2 * 10, rel=0.04)


def test_the_narrowest_place_is_found_with_the_level_beside_it() -> None:
    (row,) = (row for row in measured(NARROW) if row.kind == "canal")
    assert row.structure == CANAL
    assert row.canal_at == "L3-L4"
    assert row.canal_ap_mm == pytest.approx(7.0, abs=1.0)


def test_a_canal_cut_at_the_side_has_a_diameter_but_no_area() -> None:
    labels = with_canal(WIDE, grid_of((1.0, 1.0, 1.0), size_mm=(14, 112, 220)))
    row = by_name(measure(labels))["L2-L3"]
    assert row.canal_ap_mm == pytest.approx(15.0, abs=0.5)
    assert row.canal_area_mm2 is None


def test_a_level_that_the_canal_does_not_reach_is_not_measured() -> None:
    labels = with_canal(WIDE, ONE_MM)
    data = labels.data.copy()
    low = int(ONE_MM.to_voxels([0, 0, 0])[2])
    data[:, :, :low][data[:, :, :low] == VERSE[CANAL]] = 0
    rows = by_name(measure(LabelMap(data, ONE_MM, VERSE)))
    assert rows["L1"].canal_ap_mm is not None
    assert rows["L5"].canal_ap_mm is None


def test_without_a_canal_nothing_is_said_of_it() -> None:
    labels = with_canal(WIDE, grid_of((4.0, 0.9, 0.9)))
    data = np.where(labels.data == VERSE[CANAL], 0, labels.data).astype(np.uint8)
    rows = measure(LabelMap(data, labels.grid, VERSE))
    assert not [row for row in rows if row.kind == "canal" or row.canal_ap_mm is not None]

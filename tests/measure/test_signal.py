from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from cascade.labels import CANAL, SCHEMES, VERSE, is_disc
from cascade.measure import Fitted, Measurement, measure
from cascade.phantom import PhantomSpec, render
from cascade.volume import LabelMap, Volume
from tests.docs.pages import ROOT
from tests.measure.phantoms import by_name, grid_of, with_canal

LABELS = with_canal(PhantomSpec(thoracic=0), grid_of((4.0, 1.2, 1.2)))
NO_CANAL = LabelMap(np.where(LABELS.data == VERSE[CANAL], 0, LABELS.data).astype(np.uint8), LABELS.grid, VERSE)


@cache
def fitted(labels: LabelMap) -> Fitted:
    """The shapes, which have nothing to do with the signal, are fitted once."""
    return Fitted.to(labels)


def measured(labels: LabelMap, scan: Volume | None = None) -> tuple[Measurement, ...]:
    return measure(labels, scan, fitted=fitted(labels))


def coded(disc: float, body: float, csf: float, air: float = 0.0) -> Volume:
    """A scan with one intensity a kind of structure."""
    intensity = np.full(256, air, dtype=np.float32)
    for name in LABELS.structures:
        intensity[VERSE[name]] = csf if name == CANAL else disc if is_disc(name) else body
    return Volume(intensity[LABELS.data], LABELS.grid)


def test_signal_is_relative_to_the_canal_or_else_to_the_bodies() -> None:
    scan = coded(disc=50, body=80, csf=200)
    csf, bodies = by_name(measured(LABELS, scan))["L3-L4"], by_name(measured(NO_CANAL, scan))["L3-L4"]
    assert (csf.signal, csf.signal_reference, csf.csf_signal) == (pytest.approx(0.25), "csf", pytest.approx(1.0))
    assert (bodies.signal, bodies.signal_reference, bodies.csf_signal) == (pytest.approx(0.625), "bodies", None)
    assert by_name(measured(LABELS))["L3-L4"].signal is None


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_schemes_that_hold_the_canal_are_those_that_the_page_promises(scheme: str) -> None:
    page = (ROOT / "docs" / "measurements.md").read_text(encoding="utf-8")
    promised = re.findall(r"`[-_\w]+`", page[page.index("The canal, and with it") :].split(".")[0])
    labels = LABELS.to_scheme(SCHEMES[scheme], lost="drop")
    references = {row.signal_reference for row in measure(labels, coded(disc=50, body=80, csf=200))}
    assert ("csf" in references) == (f"`{scheme.replace('cascade-', '--')}`" in promised)


def test_bone_is_relative_to_the_fluid_at_l3_and_needs_a_canal() -> None:
    scan = coded(disc=50, body=80, csf=200)
    (bone,) = (row for row in measured(LABELS, scan) if row.kind == "bone")
    assert (bone.structure, bone.signal) == ("L1-L4", pytest.approx(0.4))
    assert by_name(measured(LABELS, scan))["L2"].signal == pytest.approx(0.4)
    assert not [row for row in measured(NO_CANAL, scan) if row.kind == "bone"]


@pytest.mark.parametrize(("gain", "shift"), [(3.0, 0.0), (0.01, -1.2), (1.0, -300.0)], ids=["louder", "normalised", "shifted"])
def test_a_scan_that_was_scaled_or_shifted_has_the_same_signal(gain: float, shift: float) -> None:
    scan = coded(disc=50, body=80, csf=200)
    other = Volume((scan.data * gain + shift).astype(np.float32), scan.grid)
    before, after = by_name(measured(LABELS, scan)), by_name(measured(LABELS, other))
    for name in ("L1-L2", "L4-L5", "L3"):
        assert after[name].signal == pytest.approx(before[name].signal, abs=0.01)


def test_without_a_zero_there_is_no_signal() -> None:
    rng = np.random.default_rng(0)
    scan = Volume((rng.normal(0, 1, LABELS.grid.shape)).astype(np.float32), LABELS.grid)
    assert all(row.signal is None for row in measured(LABELS, scan))


def test_a_nucleus_is_brighter_than_its_annulus_on_a_t2_like_scan() -> None:
    image, labels = render(PhantomSpec(shape=(11, 135, 165), spacing_mm=(5.0, 1.8, 1.8), thoracic=0))
    row = by_name(measure(labels, image))["L2-L3"]
    assert row.nucleus_signal is not None
    assert row.annulus_signal is not None
    assert row.signal is not None
    assert row.nucleus_signal > row.signal > row.annulus_signal > 0

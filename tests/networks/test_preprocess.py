"""What a network sees does not depend on how the scan was stored or scaled."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.errors import InputError
from cascade.networks.preprocess import IntensityScale, detailed_input, network_input
from cascade.networks.spec import Normalisation
from cascade.volume import Grid, LabelMap, Volume
from tests.blocks import ORIENTATIONS, oblique_grid
from tests.synthetic import tiny_spec

SPEC = tiny_spec("stage2_levels", ("background", "body"), (2.0, 1.5, 1.5), normalisation=Normalisation())


def scaled(data: np.ndarray, equalisation: float) -> np.ndarray:
    return IntensityScale.of(data, Normalisation(), equalisation).apply(data)


def test_the_working_volume_has_the_specs_orientation_and_spacing(coded: tuple[Volume, LabelMap]) -> None:
    for axcodes in ("RAS", "PSR"):
        working = network_input(coded[0].reoriented(axcodes), SPEC)
        assert working.grid.axcodes == "RAS"
        assert working.grid.spacing_mm == pytest.approx((2.0, 1.5, 1.5))
        assert working.data.dtype == np.float32


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "IPL"])
def test_storage_order_does_not_matter(coded: tuple[Volume, LabelMap], axcodes: str) -> None:
    usual, other = network_input(coded[0], SPEC), network_input(coded[0].reoriented(axcodes), SPEC)
    assert usual.grid.matches(other.grid)
    assert np.allclose(usual.data, other.data, atol=1e-3)


@cache
def large_scan() -> Volume:
    """More than a million voxels, oblique, brighter along each axis, and more so in every second slice and row."""
    shape = (16, 200, 320)
    i, j, k = np.indices(shape, dtype=np.float32)
    speckle = np.random.default_rng(0).gamma(2.0, size=shape).astype(np.float32)
    return Volume(speckle * (i + j / 9 + k) * (1 + i % 2) * (1 + k % 2), Grid(shape, oblique_grid(7.0).vox2world))


@given(st.sampled_from(ORIENTATIONS), st.sampled_from(["RAS", "PSR"]))
@settings(max_examples=6)
def test_storage_order_does_not_matter_above_a_million_voxels(axcodes: str, network: str) -> None:
    coarse = dataclasses.replace(SPEC, spacing_mm=(8.0, 8.0, 8.0), axcodes=network)
    usual, other = network_input(large_scan(), coarse), network_input(large_scan().reoriented(axcodes), coarse)
    assert usual.grid.matches(other.grid, tol_mm=1e-9)
    assert np.allclose(usual.data, other.data, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_no_axis_is_sampled_in_step_with_what_repeats_along_it(axis: int) -> None:
    shape = (20, 400, 250)  # two million voxels
    bright = np.moveaxis(np.broadcast_to(np.arange(shape[axis]) % 4 == 0, (1, 1, shape[axis])), 2, axis)
    data = np.broadcast_to(np.where(bright, 2.0, 1.0), shape).astype(np.float32)
    data[0, 0, 0] = 0.0
    scale = IntensityScale.of(data, Normalisation(0.0, 100.0))
    assert scale.mean == pytest.approx(data[data > 0].mean(dtype=float), rel=1e-3)


@given(st.floats(1e-3, 1e4), st.floats(-1e3, 1e3), st.sampled_from([0.0, 0.5]))
def test_the_scanners_gain_and_offset_do_not_matter(gain: float, offset: float, equalisation: float) -> None:
    data = np.random.default_rng(0).gamma(2.0, size=(9, 10, 11)).astype(np.float32)
    changed = (data.astype(np.float64) * gain + offset).astype(np.float32)
    usual = scaled(data, equalisation)
    assert np.allclose(scaled(changed, equalisation), usual, atol=0.02 + 2e-5 * abs(offset) / gain)


def test_tissue_has_mean_zero_and_deviation_one_whatever_the_share_of_air() -> None:
    rng = np.random.default_rng(0)
    tissue = rng.normal(300, 40, (20, 20, 20)).astype(np.float32)
    padded = np.pad(tissue, 15)
    scaled = IntensityScale.of(padded, Normalisation()).apply(padded)[15:-15, 15:-15, 15:-15]
    assert scaled.mean() == pytest.approx(0, abs=0.01)
    assert scaled.std() == pytest.approx(1, abs=0.01)


def test_single_bright_voxels_do_not_change_the_scale() -> None:
    data = np.random.default_rng(0).normal(300, 40, (30, 30, 30)).astype(np.float32)
    spiked = data.copy()
    spiked[3, 3, 3] = 1e6
    usual, other = (IntensityScale.of(d, Normalisation()) for d in (data, spiked))
    assert other.mean == pytest.approx(usual.mean, rel=1e-3)
    assert spiked[3, 3, 3] > other.high
    assert other.apply(spiked).max() < 5


def test_a_constant_image_is_refused() -> None:
    with pytest.raises(InputError, match="every voxel has the same value"):
        IntensityScale.of(np.full((5, 5, 5), 3.0, np.float32), Normalisation())


@pytest.mark.parametrize("equalisation", [0.0, 0.5])
@pytest.mark.parametrize("values", [(0.0, 1.0), (-1000.0, -999.0), (0.0, 1e-7), (0.0, 3e38)])
def test_two_values_are_enough(values: tuple[float, float], equalisation: float) -> None:
    data = np.full((6, 6, 6), values[0], np.float32)
    data[2:4, 2:4, 2:4] = values[1]
    assert np.isfinite(scaled(data, equalisation)).all()
    data[2, 2, 2] = (values[0] + values[1]) / 2
    assert np.isfinite(scaled(data, equalisation)).all()


@pytest.mark.parametrize("equalisation", [0.0, 0.5])
def test_the_range_may_be_wider_than_float32_holds(equalisation: float) -> None:
    ramp = np.linspace(-1.0, 1.0, 216, dtype=np.float32).reshape(6, 6, 6)
    assert np.allclose(scaled(3e38 * ramp, equalisation), scaled(ramp, equalisation), atol=1e-3)


def test_the_scale_of_the_whole_scan_is_used_for_a_part(coded: tuple[Volume, LabelMap]) -> None:
    scan = coded[0]
    box = (slice(0, 13), slice(20, 90), slice(30, 120))
    part = Volume(scan.data[box], scan.grid.cropped(box))
    scale = IntensityScale.of(scan.data, SPEC.normalisation)
    own, given_scale = network_input(part, SPEC), network_input(part, SPEC, scale)
    assert not np.allclose(own.data, given_scale.data)
    assert given_scale.data.max() <= scale.apply(scan.data).max() + 1e-5


def test_training_interpolates_from_the_voxels_of_the_scan(coded: tuple[Volume, LabelMap]) -> None:
    scan = coded[0].reoriented("RAS")
    detailed, working = detailed_input(scan, SPEC), network_input(scan, SPEC)
    assert detailed.grid.matches(scan.grid)
    difference = np.abs(detailed.resampled(working.grid).data - working.data)
    assert (difference < 0.01).mean() > 0.9  # where intensities are clipped, what is done first makes a difference


def test_of_a_finer_scan_training_keeps_voxels_half_as_large_as_the_networks() -> None:
    data = np.random.default_rng(0).gamma(2.0, size=(20, 30, 40)).astype(np.float32)
    fine = Volume(data, Grid((20, 30, 40), np.diag([3.0, 0.5, 0.75, 1.0])))
    assert detailed_input(fine, SPEC).grid.spacing_mm == pytest.approx((3.0, 0.75, 0.75))


def tissue_and_air() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.pad(rng.gamma(4.0, 60.0, (24, 24, 24)), 8).astype(np.float32)


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_another_contrast_changes_less_where_the_histogram_is_equalised(power: float) -> None:
    usual = tissue_and_air()
    other = (usual / usual.max()) ** power
    linear, equalised = (np.abs(scaled(usual, part) - scaled(other, part))[usual > 0].mean() for part in (0.0, 0.5))
    assert equalised < 0.75 * linear


def test_equalised_tissue_has_mean_zero_and_deviation_one_and_its_order_stays() -> None:
    data = tissue_and_air()
    seen = scaled(data, 0.5)
    assert seen[data > 0].mean() == pytest.approx(0, abs=1e-3)
    assert seen[data > 0].std() == pytest.approx(1, abs=1e-3)
    assert (np.diff(seen.ravel()[np.argsort(data, axis=None)]) >= 0).all()


def test_noise_in_much_air_is_not_spread_over_the_scale() -> None:
    noisy = tissue_and_air()
    noisy[:4] = noisy[-4:] = np.random.default_rng(1).uniform(0, 40, noisy[:4].shape)  # a fifth of all voxels
    linear, equalised = (scaled(noisy, part)[:4].std() for part in (0.0, 0.5))
    assert equalised < 2.0 * linear  # 1.5; without a limit 2.5

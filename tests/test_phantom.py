"""The phantom: known answers that look like a spine."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cascade.errors import InputError
from cascade.io.cases import read_cases
from cascade.labels import rank
from cascade.phantom import PhantomSpec, render, solids
from cascade.volume import LabelMap, Volume

SMALL = {"shape": (11, 101, 151), "spacing_mm": (5.0, 2.0, 2.0)}


@pytest.fixture(scope="module")
def phantom() -> tuple[Volume, LabelMap]:
    return render(PhantomSpec(**SMALL))  # type: ignore[arg-type]


def column(labels: LabelMap) -> list[str]:
    return sorted((name for name in labels.structures if name != "canal"), key=rank)


@pytest.mark.parametrize("lumbar", [4, 5, 6])
def test_it_has_as_many_lumbar_vertebrae_as_asked(lumbar: int) -> None:
    spec = PhantomSpec(**SMALL, lumbar=lumbar, thoracic=1)  # type: ignore[arg-type]
    _, labels = render(spec)
    bodies = [name for name in column(labels) if "-" not in name]
    assert bodies == ["T12", *(f"L{n}" for n in range(1, lumbar + 1)), "sacrum"]
    assert spec.vertebrae == tuple(bodies[:-1])


def test_labels_are_ordered_from_head_to_foot(phantom: tuple[Volume, LabelMap]) -> None:
    labels = phantom[1]
    heights = [ndimage.center_of_mass(labels[name])[2] for name in column(labels)]
    assert all(a > b for a, b in itertools.pairwise(heights))


def test_discs_lie_between_their_vertebrae_and_touch_them(phantom: tuple[Volume, LabelMap]) -> None:
    labels = phantom[1]
    for disc in (name for name in column(labels) if "-" in name):
        near = ndimage.binary_dilation(labels[disc], iterations=2)
        for neighbour in disc.replace("S1", "sacrum").split("-"):
            assert (near & labels[neighbour]).any(), (disc, neighbour)


@pytest.mark.parametrize("thickness_mm", [3.0, 4.0, 4.4])
def test_labels_lie_where_the_solids_are(thickness_mm: float) -> None:
    spec = PhantomSpec(shape=(19, 121, 161), spacing_mm=(thickness_mm, 1.6, 1.6), noise=0.0)
    image, labels = render(spec)
    assert image.grid.spacing_mm == pytest.approx(spec.spacing_mm)
    centres = {solid.name: solid.centre_mm for solid in solids(spec) if solid.name in labels.structures}
    off = np.array([labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0)) - centre for name, centre in centres.items()])
    assert len(off) > 10
    assert np.abs(off[:, 0]).max() < 0.1 * thickness_mm
    assert np.abs(off[:, 0].mean()) < 0.1


def test_volumes_are_those_of_adults(phantom: tuple[Volume, LabelMap]) -> None:
    labels = phantom[1]
    volumes = {name: labels[name].sum() * labels.grid.voxel_mm3 / 1000 for name in column(labels)}
    for name in ("L1", "L2", "L3", "L4", "L5"):
        assert 20 < volumes[name] < 50
    for name in ("L1-L2", "L2-L3", "L3-L4", "L4-L5"):
        assert 6 < volumes[name] < 20
    assert volumes["T12"] < volumes["L4"]


def test_every_structure_is_one_piece(phantom: tuple[Volume, LabelMap]) -> None:
    for name in column(phantom[1]):
        assert ndimage.label(phantom[1][name], np.ones((3, 3, 3)))[1] == 1


def test_the_canal_runs_behind_the_bodies(phantom: tuple[Volume, LabelMap]) -> None:
    labels = phantom[1]
    assert ndimage.center_of_mass(labels["canal"])[1] < ndimage.center_of_mass(labels["L3"])[1] - 5


def test_it_is_t2_like(phantom: tuple[Volume, LabelMap]) -> None:
    image, labels = phantom
    mean = {name: image.data[labels[name]].mean() for name in ("canal", "L3", "L3-L4")}
    assert mean["canal"] > 1.5 * mean["L3"]
    assert image.data.min() >= 0
    assert np.percentile(image.data, 2) < 0.3 * mean["L3"]


def test_the_same_seed_gives_the_same_scan_and_another_seed_another() -> None:
    spec = {"shape": (7, 61, 101), "spacing_mm": (6.0, 3.0, 3.0)}
    first, again, other = (render(PhantomSpec(**spec, seed=seed))[0].data for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_collapsed_disc_is_thin_and_a_fused_one_is_bone() -> None:
    _, usual = render(PhantomSpec(**SMALL))  # type: ignore[arg-type]
    _, collapsed = render(PhantomSpec(**SMALL, collapsed_disc="L4"))  # type: ignore[arg-type]
    _, fused = render(PhantomSpec(**SMALL, fused_disc="L4"))  # type: ignore[arg-type]
    assert collapsed["L4-L5"].sum() < 0.4 * usual["L4-L5"].sum()
    assert "L4-L5" not in fused.structures
    assert fused["L4"].sum() > 1.15 * usual["L4"].sum()


@pytest.mark.parametrize("wrong", [{"lumbar": 3}, {"lumbar": 7}, {"thoracic": -1}, {"thoracic": 5}])
def test_impossible_spines_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="4 to 6 lumbar and 0 to 4 thoracic"):
        PhantomSpec(**wrong)  # type: ignore[arg-type]


def test_a_slip_moves_what_lies_above_it_to_the_front_and_a_bend_tilts_levels_to_both_sides() -> None:
    usual, slipped, bent = (
        {s.name: s for s in solids(PhantomSpec(**change))} for change in ({}, {"slip": ("L4", 6.0)}, {"cobb_deg": 20.0})
    )  # type: ignore[arg-type]
    apart = {kind["L4"].centre_mm[1] - kind["L5"].centre_mm[1] for kind in (usual, slipped)}
    assert max(apart) - min(apart) == pytest.approx(6 * np.cos(np.deg2rad(16.5)), abs=1e-6)
    tilts = [np.degrees(np.arctan2(bent[name].axes[2][0], bent[name].axes[2][2])) for name in ("L1", "L4")]
    assert tilts == pytest.approx([10, -10])


def test_a_sunk_end_plate_and_a_narrow_canal_lie_where_they_were_asked_for() -> None:
    _, usual = render(PhantomSpec(**SMALL))  # type: ignore[arg-type]
    _, sunk = render(PhantomSpec(**SMALL, collapse=("L2", 0.5, 0.1), stenosis=("L3", 5.0)))  # type: ignore[arg-type]
    assert sunk["L2"].sum() == pytest.approx(0.7 * usual["L2"].sum(), rel=0.05)
    assert sunk["L1"].sum() == usual["L1"].sum()
    place = int(ndimage.center_of_mass(usual["L3-L4"])[2])
    assert sunk["canal"][:, :, place].sum() < 0.5 * usual["canal"][:, :, place].sum()


def brightness_of_the_edge(scan: Volume, labels: LabelMap) -> float:
    """Of the outermost voxels of the lumbar bodies in their middle slice, as a share of that of the others."""
    shares = []
    for name in (name for name in labels.structures if name.startswith("L") and "-" not in name):
        middle = round(np.argwhere(labels[name])[:, 0].mean())
        mask, picture = labels[name][middle], scan.data[middle]
        inner = ndimage.binary_erosion(mask)
        shares.append(picture[mask & ~inner].mean() / picture[ndimage.binary_erosion(inner)].mean())
    return float(np.median(shares))


def test_the_dark_rim_lies_within_the_bodies_or_around_them() -> None:
    within, around = (render(PhantomSpec((11, 151, 251), (5.0, 1.2, 1.2), rim=rim)) for rim in ("within", "around"))
    assert np.array_equal(within[1].data, around[1].data)
    assert brightness_of_the_edge(*within) < 0.5
    assert brightness_of_the_edge(*around) > 0.7


@pytest.mark.data
def test_hand_labels_leave_the_dark_rim_out(data_folder: Path) -> None:
    """As far as a phantom goes whose rim lies around the bodies; see benchmarks/study.py for what that means for Dice."""
    cases = [case for case in read_cases(data_folder, "val") if "L3" in case.load_labels().structures]
    assert len(cases) > 5
    real = np.median([brightness_of_the_edge(*(each.reoriented("RAS") for each in case.load())) for case in cases])
    within, around = (brightness_of_the_edge(*render(PhantomSpec(rim=rim))) for rim in ("within", "around"))
    assert abs(real - around) < abs(real - within)

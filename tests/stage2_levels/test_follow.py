"""Where stage 1 leaves vertebrae out, stage 2 goes on along its own; elsewhere nothing more is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade.io.scan import read_scan
from cascade.networks.checkpoint import Checkpoint, load_checkpoint
from cascade.stage1_spine.locate import locate
from cascade.stage2_levels.classify import Tissues, classify
from cascade.stage2_levels.follow import classify_whole
from cascade.volume import LabelMap, Volume, box_between

BODIES = ("L1", "L2", "L3", "L4", "L5")


@pytest.fixture(scope="module")
def network(oracle_weights: Path) -> Checkpoint:
    return load_checkpoint("stage2_levels", oracle_weights)


@pytest.fixture(scope="module")
def places_mm(coded: tuple[Volume, LabelMap]) -> dict[str, np.ndarray]:
    labels = coded[1]
    return {name: labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0)) for name in (*BODIES, "sacrum")}


def _seen(tissues: Tissues, place_mm: np.ndarray) -> str | None:
    """The class at a place; None where it was not looked at."""
    voxel = tissues.grid.voxel_at(place_mm)
    return None if voxel is None else tissues.classes[int(tissues.probabilities[(slice(None), *voxel)].argmax())]


@pytest.mark.parametrize("found", [("L1",), ("L1", "L2"), ("L3",), ("L4", "L5")])
def test_a_line_through_a_part_of_the_spine_is_followed_to_both_ends(
    found: tuple[str, ...], coded: tuple[Volume, LabelMap], network: Checkpoint, places_mm: dict[str, np.ndarray]
) -> None:
    line_mm = np.array([places_mm[name] for name in found])
    tissues, longer = classify_whole(coded[0], line_mm, network)
    assert {name: _seen(tissues, place) for name, place in places_mm.items()} == {**dict.fromkeys(BODIES, "body"), "sacrum": "sacrum"}
    assert (np.diff(tissues.grid.to_voxels(longer)[:, 2]) < 0).all()
    assert longer[0, 2] >= places_mm["L1"][2]
    assert longer[-1, 2] <= places_mm["L5"][2]


def test_a_line_from_end_to_end_is_left_as_it_is(
    coded: tuple[Volume, LabelMap], network: Checkpoint, places_mm: dict[str, np.ndarray]
) -> None:
    grid = coded[0].grid
    ends_mm = [grid.to_world([*grid.to_voxels(places_mm[name])[:2], row]) for name, row in (("L1", grid.shape[2] - 1), ("sacrum", 0))]
    line_mm = np.array([ends_mm[0], *(places_mm[name] for name in BODIES), ends_mm[1]])
    tissues, longer = classify_whole(coded[0], line_mm, network)
    assert np.array_equal(longer, line_mm)
    assert np.array_equal(tissues.probabilities, classify(coded[0], line_mm, network).probabilities)


def test_nothing_is_followed_out_of_the_view(coded: tuple[Volume, LabelMap], network: Checkpoint, places_mm: dict[str, np.ndarray]) -> None:
    scan = coded[0]
    low, high = (int(scan.grid.to_voxels(places_mm[name])[2]) for name in ("L4", "L2"))
    cut = scan.cropped(box_between((0, 0, low), (*scan.grid.shape[:2], high)))
    _, longer = classify_whole(cut, places_mm["L3"][None], network)
    assert len(longer) == 1


def test_where_the_spine_leaves_the_view_sideways_the_line_ends_at_its_side(
    coded: tuple[Volume, LabelMap], network: Checkpoint, places_mm: dict[str, np.ndarray]
) -> None:
    grid, data = coded[0].grid, coded[0].data
    middle = round(grid.to_voxels(places_mm["L3"])[2])
    leaning = np.stack([np.roll(data[:, :, row], middle - row, axis=1) for row in range(grid.shape[2])], axis=2)
    _, longer = classify_whole(Volume(leaning, grid), places_mm["L3"][None], network)
    assert len(longer) > 100
    across = grid.to_voxels(longer)[:, 1]
    assert across.min() >= -0.01
    assert across.max() <= grid.shape[1] - 0.99


def test_the_line_turns_to_the_vertebrae_without_a_step_aside(
    coded: tuple[Volume, LabelMap], network: Checkpoint, places_mm: dict[str, np.ndarray]
) -> None:
    beside_mm = np.stack([places_mm["L2"], places_mm["L3"]]) + np.array([4.0, 8.0, 0.0])
    _, longer = classify_whole(coded[0], beside_mm, network)
    aside_mm, down_mm = np.linalg.norm(np.diff(longer[:, :2], axis=0), axis=1), -np.diff(longer[:, 2])
    assert (aside_mm < down_mm).all()


@pytest.mark.data
def test_levels_that_stage_1_leaves_out_of_a_clinical_scan_are_found(data_folder: Path) -> None:
    scan, _, _ = read_scan(data_folder / "unlabelled" / "fastmonai_t2_sagittal.nii.gz")
    networks = [load_checkpoint(stage) for stage in ("stage1_spine", "stage2_levels")]
    line_mm = locate(scan, networks[0]).centreline_mm
    upper_mm = line_mm[: len(line_mm) // 2]
    tissues, longer = classify_whole(scan, upper_mm, networks[1])
    sacrum = tissues.probabilities[tissues.classes.index("sacrum")] > 0.5
    assert sacrum.sum() * tissues.grid.voxel_mm3 / 1000 > 5
    assert longer[-1, 2] < line_mm[-1, 2] + 40
    assert len(classify_whole(scan, line_mm, networks[1])[1]) == len(line_mm)

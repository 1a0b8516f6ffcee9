from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cascade.errors import InputError
from cascade.io.nifti import read_label_array
from cascade.labels import SACRUM, SPIDER, VERSE, is_disc
from cascade.measure import COLUMNS, Measurement, measure, save_table, table
from cascade.phantom import PhantomSpec, Solid, solids, voxelise
from cascade.volume import Grid, LabelMap, Volume

SPEC = PhantomSpec(thoracic=0)
PARTS = [part for part in solids(SPEC) if part.name in VERSE]
BODIES = [part for part in PARTS if not is_disc(part.name)]
DISCS = [part for part in PARTS if is_disc(part.name)]
LENGTHS = ("volume_ml", "anterior_mm", "middle_mm", "posterior_mm", "depth_mm", "width_mm", "wedge_deg", "segment_deg", "height_index")


def grid_of(spacing_mm: tuple[float, float, float], turn: np.ndarray | None = None, size_mm: tuple[float, ...] = (72, 80, 240)) -> Grid:
    shape = [int(size / step) for size, step in zip(size_mm, spacing_mm, strict=True)]
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turn is None else turn) * spacing_mm
    affine[:3, 3] = np.array([0.3, 3.2, -8.6]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def turned(right_deg: float, front_deg: float, up_deg: float) -> np.ndarray:
    return Rotation.from_euler("xyz", [right_deg, front_deg, up_deg], degrees=True).as_matrix()


def by_name(rows: tuple[Measurement, ...]) -> dict[str, Measurement]:
    return {row.structure: row for row in rows}


CLINICAL = grid_of((4.0, 0.9, 0.9))
BODIES_ONLY = voxelise(BODIES, CLINICAL)
EVERYTHING = voxelise(PARTS, CLINICAL)


@pytest.mark.parametrize(
    ("parts", "turn"), [(BODIES, None), (DISCS, None), (BODIES[1:4], turned(6, 5, 4))], ids=["bodies", "discs", "oblique"]
)
def test_heights_and_depth_agree_with_the_solid_that_was_voxelised(parts: list[Solid], turn: np.ndarray | None) -> None:
    rows = by_name(measure(voxelise(parts, grid_of((4.0, 0.9, 0.9), turn))))
    for part in parts:
        if part.name == SACRUM:
            continue
        row = rows[part.name]
        for height in (row.anterior_mm, row.middle_mm, row.posterior_mm):
            assert height == pytest.approx(2 * part.half_mm[2], abs=0.6)
        assert row.depth_mm == pytest.approx(2 * part.half_mm[1] * 0.926, abs=0.7)
        assert row.wedge_deg == pytest.approx(0, abs=1.5)
        assert (row.x_mm, row.y_mm, row.z_mm) == pytest.approx(tuple(part.centre_mm), abs=0.5)


def test_volume_and_width_agree_with_the_solid() -> None:
    rows = by_name(measure(voxelise(BODIES[2:4], grid_of((1.0, 0.9, 0.9)))))
    for part in BODIES[2:4]:
        right, front, up = part.half_mm
        outline = 4 * right * front * math.gamma(1.4) ** 2 / math.gamma(1.8)
        assert rows[part.name].volume_ml == pytest.approx(outline * 0.89675 * 2 * up / 1000, rel=0.01)
        assert rows[part.name].width_mm == pytest.approx(2 * right * 0.923, abs=0.6)


def test_lordosis_is_the_angle_between_the_solids_and_the_sum_of_the_segments() -> None:
    rows = measure(BODIES_ONLY)
    assert rows[-1].structure == "L1-S1"
    assert rows[-1].segment_deg == pytest.approx(45 - (-8), abs=1.0)
    segments = [row.segment_deg for row in rows if row.kind == "body"]
    assert sum(segment for segment in segments if segment is not None) == pytest.approx(rows[-1].segment_deg)


def test_without_a_sacrum_the_lordosis_ends_at_the_lower_plate_of_l5() -> None:
    lordosis = measure(voxelise([part for part in BODIES if part.name != SACRUM], CLINICAL))[-1]
    assert (lordosis.structure, lordosis.kind) == ("L1-L5", "lordosis")
    assert lordosis.segment_deg == pytest.approx(24 - (-8), abs=1.0)


def test_without_l1_there_is_no_lordosis_and_across_a_missing_body_no_segment() -> None:
    every = measure(voxelise([part for part in BODIES if part.name in ("L2", "L4", "L5")], CLINICAL))
    rows = by_name(tuple(row for row in every if row.kind == "body"))
    assert set(rows) == {"L2", "L4", "L5"}
    assert not [row for row in every if row.kind == "lordosis"]
    assert rows["L2"].segment_deg is None
    assert rows["L4"].segment_deg == pytest.approx(15, abs=1.0)


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "PIR", "ALS"])
def test_the_storage_order_changes_nothing(axcodes: str) -> None:
    before, after = measure(BODIES_ONLY), measure(BODIES_ONLY.reoriented(axcodes))
    for a, b in zip(before, after, strict=True):
        assert dataclasses.astuple(a)[:3] == dataclasses.astuple(b)[:3]
        for name in (*LENGTHS, "x_mm", "y_mm", "z_mm"):
            assert getattr(b, name) == (None if getattr(a, name) is None else pytest.approx(getattr(a, name), abs=0.35))


def test_a_turned_scan_has_the_same_lengths() -> None:
    affine = np.eye(4)
    affine[:3, :3] = turned(12, -8, 10)
    affine[:3, 3] = 50, -20, 7
    oblique = LabelMap(BODIES_ONLY.data, Grid(CLINICAL.shape, affine @ CLINICAL.vox2world), VERSE)
    for a, b in zip(measure(BODIES_ONLY), measure(oblique), strict=True):
        for name in ("volume_ml", "anterior_mm", "middle_mm", "posterior_mm", "depth_mm", "width_mm"):
            assert getattr(b, name) == (None if getattr(a, name) is None else pytest.approx(getattr(a, name), abs=0.2))


def test_the_scheme_does_not_matter() -> None:
    presacral = voxelise([part for part in PARTS if part.name != SACRUM], CLINICAL)
    assert measure(presacral.to_scheme(SPIDER)) == measure(presacral)


def test_a_structure_cut_by_the_upper_border_is_marked_and_not_measured() -> None:
    top = int(CLINICAL.to_voxels(BODIES[0].centre_mm)[2])
    box = (slice(0, CLINICAL.shape[0]), slice(0, CLINICAL.shape[1]), slice(0, top))
    rows = by_name(measure(LabelMap(BODIES_ONLY.data[box], CLINICAL.cropped(box), VERSE)))
    assert rows["L1"] == Measurement("L1", "body", "end")
    assert rows["L2"].cut == "no"
    assert not any(row.kind == "lordosis" for row in rows.values())


def test_names_given_as_cut_are_not_measured() -> None:
    assert by_name(measure(BODIES_ONLY, cut=["L3"]))["L3"] == Measurement("L3", "body", "end")


def test_a_structure_cut_at_the_side_keeps_its_heights_but_has_neither_volume_nor_width() -> None:
    box = (slice(5, 13), slice(0, CLINICAL.shape[1]), slice(0, CLINICAL.shape[2]))
    row = by_name(measure(LabelMap(BODIES_ONLY.data[box], CLINICAL.cropped(box), VERSE)))["L4"]
    assert (row.cut, row.volume_ml, row.width_mm) == ("side", None, None)
    assert row.middle_mm == pytest.approx(27, abs=0.6)


def test_the_height_index_relates_a_disc_to_the_bodies_it_joins() -> None:
    rows = by_name(measure(EVERYTHING))
    heights = [rows["L2-L3"].anterior_mm, rows["L2-L3"].middle_mm, rows["L2-L3"].posterior_mm]
    bodies = [rows["L2"].middle_mm, rows["L3"].middle_mm]
    assert rows["L2-L3"].height_index == pytest.approx(np.mean(heights) / np.mean(bodies))
    assert rows["L2"].height_index is None


def test_a_collapsed_disc_is_lower_than_its_neighbours() -> None:
    parts = [part for part in solids(dataclasses.replace(SPEC, collapsed_disc="L3")) if part.name in VERSE]
    rows = by_name(measure(voxelise(parts, grid_of((4.0, 0.6, 0.6)))))
    assert rows["L3-L4"].middle_mm == pytest.approx(1.0, abs=0.5)
    assert rows["L4-L5"].middle_mm == pytest.approx(10.6, abs=0.6)


def test_a_scan_on_another_grid_is_refused() -> None:
    other = grid_of((4.0, 1.0, 1.0))
    with pytest.raises(InputError, match="same grid"):
        measure(BODIES_ONLY, Volume(np.zeros(other.shape, dtype=np.float32), other))


def test_crumbs_and_nothing_are_no_trouble() -> None:
    labels = np.zeros(CLINICAL.shape, dtype=np.uint8)
    assert measure(LabelMap(labels, CLINICAL, VERSE)) == ()
    labels[5, 40, 100:102] = VERSE["L3"]
    labels[5, 40, 90] = VERSE["L3-L4"]
    labels[5, 40, 80] = VERSE[SACRUM]
    rows = measure(LabelMap(labels, CLINICAL, VERSE))
    assert [row.structure for row in rows] == ["L3", "L3-L4", "sacrum"]
    assert rows[0].volume_ml == pytest.approx(2 * 4 * 0.81 / 1000)
    assert rows[0].middle_mm is None


def test_the_table_has_one_row_a_structure_and_says_na(tmp_path: Path) -> None:
    rows = measure(EVERYTHING)
    save_table(rows, tmp_path / "sub" / "levels.tsv")
    lines = (tmp_path / "sub" / "levels.tsv").read_text(encoding="utf-8").splitlines()
    assert lines == table(rows).splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    cells = [line.split("\t") for line in lines[1:]]
    assert [row[0] for row in cells] == [row.structure for row in rows]
    assert all(len(row) == len(COLUMNS) and "" not in row and "None" not in row for row in cells)
    assert dict(zip(COLUMNS, cells[0], strict=True))["height_index"] == "n/a"


@pytest.mark.data
def test_real_bodies_have_human_sizes(data_folder: Path) -> None:
    numbers, grid = read_label_array(data_folder / "chu" / "07_labels.nii.gz")
    whole = [row for row in measure(LabelMap(numbers, grid, VERSE)) if row.kind == "body" and row.cut == "no"]
    assert len(whole) >= 5
    for row in whole:
        assert row.volume_ml is not None
        assert row.depth_mm is not None
        assert row.middle_mm is not None
        assert 15 < row.volume_ml < 60
        assert 24 < row.depth_mm < 42
        assert 18 < row.middle_mm < 34

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from cascade.datasets.axes import gather, mirrored, restated
from cascade.io.nifti import read_image, read_label_array
from cascade.labels import CANAL, VERSE
from cascade.volume import Grid, LabelMap
from tests.datasets.miniatures import BODIES, phantom


def bodies_only() -> LabelMap:
    labels = phantom()[1]
    kept = np.isin(labels.data, [VERSE[name] for name in ("T11", "T12", *BODIES)])
    return LabelMap(np.where(kept, labels.data, 0).astype(np.uint8), labels.grid, VERSE)


def test_the_signs_agree_with_a_true_header_and_contradict_a_mirrored_one() -> None:
    image, labels = phantom()[0], bodies_only()
    true, false = gather(image, labels), gather(*mirrored(image, labels, axis=1))
    assert true.front_back() == 1
    assert false.front_back() == -1
    assert true.bow_mm == pytest.approx(-false.bow_mm, abs=1e-6)
    assert gather(*mirrored(image, labels, axis=2)).head_foot(named=True) == -1


def test_a_labelled_canal_decides() -> None:
    image, labels = phantom()
    assert CANAL in labels.structures
    assert gather(image, labels).labelled_canal_mm > 10


def test_mirroring_twice_changes_nothing() -> None:
    image, labels = phantom()
    again, twice = mirrored(*mirrored(image, labels, 1), 1)
    np.testing.assert_array_equal(again.data, image.data)
    np.testing.assert_array_equal(twice.data, labels.data)


def test_restated_axes_keep_spacing_and_middle() -> None:
    grid = Grid((7, 11, 13), np.diag([2.0, 3.0, 5.0, 1.0]))
    other = restated(grid, "PIR")
    assert other.axcodes == "PIR"
    assert other.spacing_mm == grid.spacing_mm
    np.testing.assert_allclose(other.to_world([3, 5, 6]), grid.to_world([3, 5, 6]))


@pytest.mark.data
def test_the_signs_are_right_on_every_real_validation_case_and_on_its_mirror(data_folder: Path) -> None:
    with (data_folder / "cases.tsv").open(newline="") as stream:
        cases = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == "val" and row["dataset"] != "spider_fullres"]
    assert cases
    for row in cases:
        stem = data_folder / row["dataset"] / row["case"]
        image, _ = read_image(Path(f"{stem}_image.nii.gz"))
        values, grid = read_label_array(Path(f"{stem}_labels.nii.gz"))
        spine = np.where(np.isin(values, [n for name, n in VERSE.ids.items() if name != CANAL]), values, 0).astype(np.uint8)
        labels = LabelMap(spine, grid, VERSE)
        assert gather(image, labels).front_back() == 1, stem
        assert gather(*mirrored(image, labels, 1)).front_back() == -1, stem

"""Case tables and folders of pairs, and what is said about those that do not fit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cascade.cli.prepare import main
from cascade.errors import InputError, SchemeError
from cascade.io.cases import list_cases, read_cases, read_known_labels, write_case
from cascade.labels import CASCADE, CASCADE_EXTENDED, VERSE
from cascade.phantom import PhantomSpec, render

SHAPE = (5, 7, 11)


def pair(folder: Path, name: str, labels: np.ndarray | None = None, affine: np.ndarray | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), folder / f"{name}_image.nii.gz")
    values = np.full(SHAPE, 20, np.uint8) if labels is None else labels
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), folder / f"{name}_labels.nii.gz")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pair(tmp_path / "one", "a")
    pair(tmp_path / "one", "b")
    pair(tmp_path / "two", "a")
    lines = [
        "dataset\tcase\tpatient\tsplit\tscheme",
        "one\ta\tp1\ttrain\tverse",
        "one\tb\tp2\tval\tcascade",
        "two\ta\t\t\t",
    ]
    (tmp_path / "cases.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "cases.tsv"


def test_a_table_is_read_from_its_file_or_its_folder(table: Path) -> None:
    cases = read_cases(table)
    assert cases == read_cases(table.parent)
    assert [(c.dataset, c.name, c.patient, c.split, c.scheme.name) for c in cases] == [
        ("one", "a", "p1", "train", "verse"),
        ("one", "b", "p2", "val", "cascade"),
        ("two", "a", "two-a", "", "verse"),
    ]


def test_a_split_keeps_its_cases_and_those_without_one(table: Path) -> None:
    assert [(c.dataset, c.name) for c in read_cases(table, "train")] == [("one", "a"), ("two", "a")]
    assert [(c.dataset, c.name) for c in read_cases(table, "val")] == [("one", "b"), ("two", "a")]


def test_a_folder_without_a_table_is_searched_for_pairs(tmp_path: Path) -> None:
    pair(tmp_path / "x" / "y", "a")
    pair(tmp_path / "x", "b")
    cases = read_cases(tmp_path, "train", scheme="cascade")
    assert {case.name for case in cases} == {"a", "b"}
    assert {case.scheme.name for case in cases} == {"cascade"}


def test_files_may_lie_beside_the_table(tmp_path: Path) -> None:
    pair(tmp_path, "a")
    (tmp_path / "cases.tsv").write_text("dataset\tcase\nmine\ta\n")
    assert read_cases(tmp_path)[0].image == tmp_path / "a_image.nii.gz"


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_nothing_to_train_on_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=rf"{name}: expected cases.tsv or pairs .*; found none"):
        read_cases(tmp_path / name)


def test_a_split_that_nothing_belongs_to_is_refused(table: Path) -> None:
    table.write_text("dataset\tcase\tsplit\none\ta\ttrain\n", encoding="utf-8")
    with pytest.raises(InputError, match="of split 'test'; found none"):
        read_cases(table, "test")


def test_a_table_without_the_columns_is_refused(table: Path) -> None:
    table.write_text("name,case\none,a\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"cases.tsv: expected tab-separated columns 'case' and perhaps 'dataset'; found name,case"):
        read_cases(table)


def test_a_table_of_one_data_set_need_not_name_it(tmp_path: Path) -> None:
    pair(tmp_path / "mine", "a")
    (tmp_path / "mine" / "cases.tsv").write_text("case\tpatient\na\tp1\n", encoding="utf-8")
    (case,) = read_cases(tmp_path / "mine")
    assert (case.dataset, case.name, case.patient) == ("mine", "a", "p1")


class TestPoints:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A labelled case, one of which only points are known, and one of which nothing is."""
        pair(tmp_path, "labelled")
        for name in ("pointed", "nothing"):
            pair(tmp_path, name)
            (tmp_path / f"{name}_labels.nii.gz").unlink()
        (tmp_path / "pointed_points.tsv").write_text("name\tx_mm\ty_mm\tz_mm\nL4\t1\t2\t3\nL5\t1\t2\t0\n", encoding="utf-8")
        (tmp_path / "cases.tsv").write_text("case\nlabelled\npointed\nnothing\n", encoding="utf-8")
        return tmp_path

    def test_points_may_stand_for_labels(self, folder: Path) -> None:
        labelled, pointed = read_cases(folder)
        assert (labelled.has_labels, labelled.points) == (True, None)
        assert (pointed.has_labels, pointed.points) == (False, folder / "pointed_points.tsv")

    def test_a_case_of_points_has_no_labelled_voxel(self, folder: Path) -> None:
        volume, labels = read_cases(folder)[1].load()
        assert labels.grid.matches(volume.grid)
        assert labels.structures == ()

    def test_where_nothing_is_known_of_any_case_the_labels_are_missing(self, folder: Path) -> None:
        (folder / "pointed_points.tsv").unlink()
        with pytest.raises(InputError, match=r"_labels.nii.gz: expected this file"):
            read_cases(folder)


@pytest.mark.parametrize("part", ["image", "labels"])
def test_a_missing_file_is_named(table: Path, part: str) -> None:
    (table.parent / "one" / f"b_{part}.nii.gz").unlink()
    with pytest.raises(InputError, match=rf"b_{part}.nii.gz: expected this file for case 'b'"):
        read_cases(table)


def test_an_image_without_labels_is_named(tmp_path: Path) -> None:
    pair(tmp_path, "a")
    (tmp_path / "a_labels.nii.gz").unlink()
    with pytest.raises(InputError, match=r"a_labels.nii.gz: expected this file"):
        read_cases(tmp_path)


def test_an_unknown_scheme_is_refused(table: Path) -> None:
    table.write_text("dataset\tcase\tscheme\none\ta\tverso\n", encoding="utf-8")
    with pytest.raises(SchemeError, match="no label scheme 'verso'"):
        read_cases(table)


def test_a_listing_asks_for_no_files(table: Path) -> None:
    for path in (table.parent / "one").iterdir():
        path.unlink()
    assert [(case.dataset, case.name) for case in list_cases(table, "val")] == [("one", "b"), ("two", "a")]


def test_values_that_were_left_out_are_told(tmp_path: Path) -> None:
    pair(tmp_path, "a", np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE) % 12)
    labels, unknown = read_known_labels(tmp_path / "a_labels.nii.gz", CASCADE)
    assert labels.values == tuple(range(1, 10))
    assert unknown == (10, 11)


class TestLoading:
    def test_image_and_labels_come_on_one_grid(self, table: Path) -> None:
        volume, labels = read_cases(table)[0].load()
        assert labels.grid.matches(volume.grid)
        assert labels.scheme is VERSE
        assert labels.structures == ("L1",)

    def test_values_that_the_scheme_does_not_know_are_unlabelled(self, tmp_path: Path) -> None:
        values = np.full(SHAPE, 3, np.uint16)
        values[0] = 999
        pair(tmp_path, "a", values)
        _, labels = read_cases(tmp_path, scheme="cascade")[0].load()
        assert labels.values == (3,)
        assert labels.scheme is CASCADE

    def test_labels_on_another_grid_are_refused(self, tmp_path: Path) -> None:
        pair(tmp_path, "a", affine=np.diag([1, 1, 2.0, 1]))
        with pytest.raises(InputError, match=r"a_labels.nii.gz: expected the grid of a_image.nii.gz"):
            read_cases(tmp_path)[0].load()

    def test_labels_that_are_an_image_are_refused(self, tmp_path: Path) -> None:
        pair(tmp_path, "a", np.full(SHAPE, 0.5, np.float32))
        with pytest.raises(InputError, match="expected whole label numbers"):
            read_cases(tmp_path)[0].load()


@pytest.mark.data
def test_the_real_table_is_read_and_a_real_case_loads(data_folder: Path) -> None:
    cases = read_cases(data_folder, "val")
    assert {case.split for case in cases} == {"val"}
    volume, labels = cases[0].load()
    assert labels.grid.matches(volume.grid, 0.01)
    assert labels.structures


def test_a_corrected_scan_is_kept_as_a_case_that_training_and_preparing_take(tmp_path: Path) -> None:
    scan, labels = render(PhantomSpec(shape=(9, 61, 83), spacing_mm=(5.0, 3.9, 3.7)))
    write_case(scan, labels, tmp_path / "mine", "p01")
    (case,) = read_cases(tmp_path / "mine", "train", "cascade-extended")
    image, again = case.load()
    assert np.array_equal(image.data, scan.data)
    for name in set(labels.structures) & set(CASCADE_EXTENDED.ids):
        assert np.array_equal(again[name], labels[name]), name
    assert main(["folder", str(tmp_path / "mine"), "-o", str(tmp_path / "cases"), "--val-share", "0"]) == 0
    (prepared,) = read_cases(tmp_path / "cases", "train")
    assert set(prepared.load_labels().structures) == set(again.structures)


def test_labels_of_another_scan_are_not_kept(tmp_path: Path) -> None:
    scan, labels = render(PhantomSpec(shape=(9, 61, 83), spacing_mm=(5.0, 3.9, 3.7)))
    with pytest.raises(InputError, match="expected labels on the grid of their scan"):
        write_case(scan, labels.reoriented("PIR"), tmp_path, "p01")

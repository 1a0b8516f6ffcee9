from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.datasets import DATASETS, Options, prepare
from cascade.datasets.names import StructureMap
from cascade.datasets.problems import CODES, Problem
from cascade.errors import InputError, OutputError
from cascade.evaluation.metrics import dice
from cascade.io.nifti import read_image, read_label_array
from cascade.labels import CASCADE_EXTENDED, get_scheme
from cascade.volume import Grid, LabelMap
from tests.datasets.miniatures import (
    BODIES,
    NINE,
    alkhalil,
    chu,
    mrspineseg,
    myosegmentum,
    pair,
    phantom,
    spider,
    volumes_ml,
    write,
    write_dicom,
)


def run(dataset: str, source: Path, out: Path, *, overwrite: bool = False, **options: object) -> dict[str, list[Problem]]:
    found: dict[str, list[Problem]] = {}
    for problem in prepare(DATASETS[dataset], source, out, options=Options(**options), overwrite=overwrite):  # type: ignore[arg-type]
        found.setdefault(problem.case, []).append(problem)
    return found


def codes(problems: dict[str, list[Problem]], case: str) -> set[str]:
    return {problem.code for problem in problems.get(case, [])}


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "cases.tsv").open(newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream, delimiter="\t")}


def labels_of(out: Path, case: str, scheme: str = "cascade-extended") -> LabelMap:
    values, grid = read_label_array(out / f"{case}_labels.nii.gz")
    return LabelMap(values, grid, get_scheme(scheme))


def assert_like_phantom(out: Path, case: str, names: tuple[str, ...], seed: int = 0, least: float = 1.0) -> None:
    image, truth = phantom(seed)
    labels = labels_of(out, case)
    assert sorted(labels.structures) == sorted(names)
    assert labels.grid.axcodes == "RAS"
    for name in names:
        assert dice(labels[name], truth[name]) >= least, name
    written, _ = read_image(out / f"{case}_image.nii.gz")
    np.testing.assert_allclose(written.data, image.data, atol=1e-3)


SEVEN = ("T11", "T12", *BODIES)


# chu


def test_chu_with_a_lying_axis_becomes_the_true_spine_and_says_so(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0, "05": 1})
    problems = run("chu", tmp_path / "raw", tmp_path / "out")
    for case, seed in (("02", 0), ("05", 1)):
        assert {"axis-repaired", "position-unknown"} <= codes(problems, case)
        assert_like_phantom(tmp_path / "out", case, SEVEN, seed)
    assert rows(tmp_path / "out")["02"]["label_ids"] == "1 2 3 4 5 12 13"
    assert "discs, sacrum, canal, above T11" in rows(tmp_path / "out")["02"]["unlabelled"]
    assert "axis-repaired" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_chu_with_a_true_header_is_left_as_it_is(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0}, lying=False)
    assert "axis-repaired" not in codes(run("chu", tmp_path / "raw", tmp_path / "out"), "02")
    assert_like_phantom(tmp_path / "out", "02", SEVEN)


def test_axes_given_by_the_user_replace_the_header(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0})
    assert "axis-repaired" not in codes(run("chu", tmp_path / "raw", tmp_path / "out", axes="RPS"), "02")
    assert_like_phantom(tmp_path / "out", "02", SEVEN)


def test_bodies_that_touch_are_cut_apart(tmp_path: Path) -> None:
    labels = phantom()[1]
    voxels = np.argwhere(labels["L2-L3"])
    x, y, _ = np.median(voxels, axis=0).astype(int)

    def bridge(mask: np.ndarray) -> np.ndarray:
        mask = mask.copy()
        mask[x, y - 1 : y + 2, voxels[:, 2].min() - 1 : voxels[:, 2].max() + 2] = 1
        return mask

    chu(tmp_path / "raw", {"02": 0}, edit=bridge)
    run("chu", tmp_path / "raw", tmp_path / "out")
    assert_like_phantom(tmp_path / "out", "02", SEVEN, least=0.95)


def test_a_missing_label_file_does_not_stop_the_others(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0, "05": 1})
    (tmp_path / "raw" / "Img_05_Labels.nii").unlink()
    problems = run("chu", tmp_path / "raw", tmp_path / "out")
    assert codes(problems, "05") == {"no-labels"}
    assert set(rows(tmp_path / "out")) == {"02"}


def test_a_truncated_image_does_not_stop_the_others(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0, "05": 1})
    file = tmp_path / "raw" / "Img_02.nii"
    file.write_bytes(file.read_bytes()[:5000])
    assert codes(run("chu", tmp_path / "raw", tmp_path / "out"), "02") == {"unreadable"}
    assert set(rows(tmp_path / "out")) == {"05"}


# alkhalil


def test_nine_masks_become_one_map_on_the_t2_volume(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01")
    problems = run("alkhalil", tmp_path / "raw", tmp_path / "out")
    assert codes(problems, "P01") == set()
    assert_like_phantom(tmp_path / "out", "P01", NINE)
    assert rows(tmp_path / "out")["P01"]["sequence"] == "t2"


def test_mask_names_are_understood_in_many_ways(tmp_path: Path) -> None:
    names = {"L1": "mask_L1", "L2": "l2", "L3": "Vertebra-L3", "L1-L2": "D1", "L2-L3": "disc L2-L3", "L3-L4": "IVD_L3L4", "L4-L5": "L4-5"}
    alkhalil(tmp_path / "raw", "P01", names=names)
    run("alkhalil", tmp_path / "raw", tmp_path / "out")
    assert_like_phantom(tmp_path / "out", "P01", NINE)


def test_a_mapping_file_overrides_names(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01", names={"L3": "thing"})
    mapping = StructureMap(files=(("thing*", "L3"), ("L5.*", "ignore")))
    problems = run("alkhalil", tmp_path / "raw", tmp_path / "out", mapping=mapping)
    assert codes(problems, "P01") == {"mask-missing"}
    assert_like_phantom(tmp_path / "out", "P01", tuple(n for n in NINE if n != "L5"))


def test_faults_of_single_masks_get_their_codes(tmp_path: Path) -> None:
    image, labels = phantom()
    for patient in ("gone", "empty", "shifted", "grey", "blurred", "elsewhere", "over"):
        alkhalil(tmp_path / "raw", patient)

    def rewrite(patient: str, data: np.ndarray, grid: Grid = image.grid) -> None:
        write(data, grid, tmp_path / "raw" / patient / "L3.nii.gz")

    mask = labels["L3"].astype(np.float32)
    (tmp_path / "raw" / "gone" / "L3.nii.gz").unlink()
    rewrite("empty", mask * 0)
    rewrite("shifted", mask[1:, 2:, 3:], image.grid.cropped((slice(1, 11), slice(2, 60), slice(3, 94))))
    soft = mask.copy()
    soft[np.roll(mask, 1, axis=2) > mask] = 0.3
    rewrite("grey", soft * 255)
    rewrite("blurred", image.data)
    away = image.grid.vox2world.copy()
    away[:3, 3] += 500
    rewrite("elsewhere", mask, Grid(image.grid.shape, away))
    rewrite("over", np.maximum(mask, labels["L3-L4"]))
    problems = run("alkhalil", tmp_path / "raw", tmp_path / "out")
    wanted = {
        "gone": "mask-missing",
        "empty": "mask-empty",
        "shifted": "mask-resampled",
        "grey": "mask-grey",
        "blurred": "mask-refused",
        "elsewhere": "mask-header",
        "over": "masks-overlap",
    }
    for patient, code in wanted.items():
        assert codes(problems, patient) >= {code}, patient
        gone = patient in ("gone", "empty", "blurred")
        assert_like_phantom(tmp_path / "out", patient, tuple(n for n in NINE if n != "L3") if gone else NINE)
        assert ("L3," in rows(tmp_path / "out")[patient]["unlabelled"]) == gone


def test_the_same_image_under_two_names_is_one_patient(tmp_path: Path) -> None:
    for patient in ("P01", "P01copy", "P02"):
        alkhalil(tmp_path / "raw", patient, seed=int(patient == "P02"))
    problems = run("alkhalil", tmp_path / "raw", tmp_path / "out", val_share=0.5)
    assert codes(problems, "P01copy") == {"duplicate-patient"}
    table = rows(tmp_path / "out")
    assert table["P01"]["patient"] == table["P01copy"]["patient"] != table["P02"]["patient"]
    assert table["P01"]["split"] == table["P01copy"]["split"] != table["P02"]["split"]


def test_a_dicom_series_is_read_as_the_image(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01")
    (tmp_path / "raw" / "P01" / "T2.nii.gz").unlink()
    write_dicom(phantom()[0], tmp_path / "raw" / "P01" / "T2")
    run("alkhalil", tmp_path / "raw", tmp_path / "out")
    labels, truth = labels_of(tmp_path / "out", "P01"), phantom()[1]
    assert labels.grid.matches(truth.grid, tol_mm=0.01)
    assert min(dice(labels[name], truth[name]) for name in NINE) == 1.0


def test_a_patient_without_the_sequence_is_named(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01")
    alkhalil(tmp_path / "raw", "P02", seed=1)
    (tmp_path / "raw" / "P02" / "T2.nii.gz").unlink()
    assert codes(run("alkhalil", tmp_path / "raw", tmp_path / "out"), "P02") == {"no-image"}


# spider


def test_spider_tags_get_names_and_sequences_share_the_patient(tmp_path: Path) -> None:
    for name in ("1_t1", "1_t2", "1_t2_SPACE"):
        spider(tmp_path / "raw", name, partly=name == "1_t2")
    spider(tmp_path / "raw", "2_t2", seed=1)
    (tmp_path / "raw" / "overview.csv").write_text("new_file_name,num_vertebrae\n1_t2,7\n2_t2,6\n")
    problems = run("spider", tmp_path / "raw", tmp_path / "out")
    table = rows(tmp_path / "out")
    assert set(table) == {"1_t2", "1_t2_SPACE", "2_t2"}
    assert table["1_t2"]["patient"] == table["1_t2_SPACE"]["patient"] == "spider-1"
    assert {"partly-visible", "whole-vertebrae"} <= codes(problems, "1_t2")
    assert "body-count" in codes(problems, "2_t2")
    assert "body-count" not in codes(problems, "1_t2")
    assert {"T11", "T12", *NINE, "L5-S1"} <= set(labels_of(tmp_path / "out", "1_t2").structures)


def test_spider_is_found_where_unpacking_put_a_folder_into_a_folder_and_a_spreadsheet_rewrote_the_table(tmp_path: Path) -> None:
    spider(tmp_path / "once", "1_t2")
    for kind in ("images", "masks"):
        (tmp_path / "raw" / kind).mkdir(parents=True)
        (tmp_path / "once" / kind).rename(tmp_path / "raw" / kind / kind)
    (tmp_path / "raw" / "overview.csv").write_text("New_File_Name;num_vertebrae;num_discs\n1_t2;6.0;6\n3_t2;;\n")
    assert "body-count" in codes(run("spider", tmp_path / "raw", tmp_path / "out"), "1_t2")
    assert set(rows(tmp_path / "out")) == {"1_t2"}


def test_spider_vertebrae_are_cut_to_bodies_along_the_canal(tmp_path: Path) -> None:
    spider(tmp_path / "raw", "1_t2")
    problems = run("spider", tmp_path / "raw", tmp_path / "out", bodies=True, scheme="verse")
    assert "bodies-cut" in codes(problems, "1_t2")
    labels, truth = labels_of(tmp_path / "out", "1_t2", "verse"), phantom()[1]
    for name in BODIES:
        assert dice(labels[name], truth[name]) > 0.93, name


def test_interpolated_tags_are_refused(tmp_path: Path) -> None:
    from scipy import ndimage

    spider(tmp_path / "raw", "1_t2")
    spider(tmp_path / "raw", "2_t2", seed=1)
    labels, grid = phantom()[1], phantom()[1].grid
    tags = np.where(labels.data == 61, 0, labels.data % 20).astype(float)
    blended = np.rint(ndimage.zoom(ndimage.zoom(tags, 0.5, order=1), np.array(tags.shape) / np.ceil(np.array(tags.shape) / 2), order=1))
    write(blended[: grid.shape[0], : grid.shape[1], : grid.shape[2]].astype(np.uint8), grid, tmp_path / "raw" / "masks" / "1_t2.mha")
    assert "grey-labels" in codes(run("spider", tmp_path / "raw", tmp_path / "out"), "1_t2")
    assert set(rows(tmp_path / "out")) == {"2_t2"}


# mrspineseg, myosegmentum


def test_mrspineseg_is_mapped(tmp_path: Path) -> None:
    mrspineseg(tmp_path / "raw", 7)
    problems = run("mrspineseg", tmp_path / "raw", tmp_path / "out")
    assert codes(problems, "Case7") == set()
    names = (*SEVEN, *(n for n in NINE if "-" in n), "T11-T12", "T12-L1", "L5-S1", "sacrum")
    assert_like_phantom(tmp_path / "out", "Case7", names)


def test_myosegmentum_takes_the_water_volume_and_leaves_muscles_aside(tmp_path: Path) -> None:
    myosegmentum(tmp_path / "raw", "03")
    problems = run("myosegmentum", tmp_path / "raw", tmp_path / "out")
    assert codes(problems, "03") == set()
    assert_like_phantom(tmp_path / "out", "03", BODIES)
    assert codes(problems, "psoas_left_03.mha") == {"unused-file"}


# folder


def test_tags_may_start_anywhere(tmp_path: Path) -> None:
    discs = tuple(n for n in NINE if "-" in n)
    pair(tmp_path / "raw", "a", discs)
    run("folder", tmp_path / "raw", tmp_path / "out")
    assert rows(tmp_path / "out")["a"]["label_ids"] == "6 7 8 9"
    assert_like_phantom(tmp_path / "out", "a", discs)


def test_a_tag_mapping_gives_names_and_unknown_tags_are_told(tmp_path: Path) -> None:
    pair(tmp_path / "raw", "a")
    mapping = StructureMap(tags={6: "L1", 7: "L2", 8: "L3", 9: "ignore"})
    problems = run("folder", tmp_path / "raw", tmp_path / "out", mapping=mapping)
    assert codes(problems, "a") >= {"unknown-tags"}
    assert set(labels_of(tmp_path / "out", "a").structures) == {"L1", "L2", "L3"}


def test_a_folder_a_case_with_one_mask_a_structure(tmp_path: Path) -> None:
    image, labels = phantom()
    write(image.data, image.grid, tmp_path / "raw" / "ann" / "scan.nrrd")
    for name in ("L3", "L4"):
        write(labels[name].astype(np.uint8), image.grid, tmp_path / "raw" / "ann" / f"{name}.nrrd")
    run("folder", tmp_path / "raw", tmp_path / "out")
    assert_like_phantom(tmp_path / "out", "ann", ("L3", "L4"))


@pytest.mark.parametrize(("axis", "words"), [(1, "front-back"), (2, "head-foot")])
def test_a_flipped_header_is_found_and_repaired(tmp_path: Path, axis: int, words: str) -> None:
    image, labels = phantom()
    grid = image.grid
    flip = (slice(None),) * axis + (slice(None, None, -1),)
    data = np.zeros(grid.shape, dtype=np.uint8)
    for name in NINE:
        data[labels[name]] = CASCADE_EXTENDED[name]
    write(image.data[flip], grid, tmp_path / "raw" / "a_image.nii.gz")
    write(data[flip], grid, tmp_path / "raw" / "a_labels.nii.gz")
    problems = run("folder", tmp_path / "raw", tmp_path / "out")
    repairs = [p.text for p in problems["a"] if p.code == "axis-repaired"]
    assert len(repairs) == 1
    assert words in repairs[0]
    assert_like_phantom(tmp_path / "out", "a", NINE)


def test_permuted_axes_are_refused(tmp_path: Path) -> None:
    image, labels = phantom()
    data = np.where(np.isin(labels.data, [labels.scheme[n] for n in BODIES]), labels.data - 19, 0)
    grid = Grid((11, 94, 60), image.grid.vox2world)
    write(image.data.swapaxes(1, 2), grid, tmp_path / "raw" / "a_image.nii.gz")
    write(data.swapaxes(1, 2), grid, tmp_path / "raw" / "a_labels.nii.gz")
    assert codes(run("folder", tmp_path / "raw", tmp_path / "out"), "a") == {"axes-implausible"}


# the driver


def test_preparing_twice_changes_no_byte_and_no_file_time(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0})
    run("chu", tmp_path / "raw", tmp_path / "out")
    files = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    run("chu", tmp_path / "raw", tmp_path / "out")
    assert {path: path.read_bytes() for path in files} == {path: content for path, (content, _) in files.items()}
    heavy = {path: time for path, (_, time) in files.items() if path.name.endswith((".nii.gz", ".png"))}
    assert len(heavy) >= 3
    assert {path: path.stat().st_mtime_ns for path in heavy} == heavy


def test_an_interrupted_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chu(tmp_path / "raw", {"02": 0, "05": 1})
    real = DATASETS["chu"].draft

    def interrupted(raw, *rest):  # type: ignore[no-untyped-def]
        if raw.name == "05":
            (tmp_path / "out" / "05_image.nii.gz").write_bytes(b"half")
            raise KeyboardInterrupt
        return real(raw, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(type(DATASETS["chu"]), "draft", lambda self, raw, *rest: interrupted(raw, *rest))
        with pytest.raises(KeyboardInterrupt):
            run("chu", tmp_path / "raw", tmp_path / "out")
    before = (tmp_path / "out" / "02_labels.nii.gz").stat().st_mtime_ns
    problems = run("chu", tmp_path / "raw", tmp_path / "out")
    assert "output-exists" not in codes(problems, "05")
    assert set(rows(tmp_path / "out")) == {"02", "05"}
    assert (tmp_path / "out" / "02_labels.nii.gz").stat().st_mtime_ns == before


def test_nothing_is_overwritten_without_being_asked(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0})
    out = tmp_path / "out"
    out.mkdir()
    (out / "02_image.nii.gz").write_bytes(b"mine")
    assert "output-exists" in codes(run("chu", tmp_path / "raw", out), "02")
    assert (out / "02_image.nii.gz").read_bytes() == b"mine"
    assert "output-exists" not in codes(run("chu", tmp_path / "raw", out, overwrite=True), "02")
    assert "output-exists" in codes(run("chu", tmp_path / "raw", out, scheme="verse"), "02")
    assert rows(out)["02"]["scheme"] == "cascade-extended"


def test_a_foreign_table_is_not_replaced(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cases.tsv").write_text("mine")
    with pytest.raises(OutputError, match="expected a folder of cascade-prepare"):
        run("chu", tmp_path / "raw", tmp_path / "out")


def test_another_data_set_is_recognised_as_such(tmp_path: Path) -> None:
    mrspineseg(tmp_path / "raw", 1)
    with pytest.raises(InputError, match="expected Img_NN"):
        run("chu", tmp_path / "raw", tmp_path / "out")


def test_problems_are_machine_readable_and_their_codes_known(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01")
    (tmp_path / "raw" / "P01" / "L3.nii.gz").unlink()
    run("alkhalil", tmp_path / "raw", tmp_path / "out")
    listed = json.loads((tmp_path / "out" / "problems.json").read_text(encoding="utf-8"))
    assert listed == [{"case": "P01", "code": "mask-missing", "severity": "warning", "text": "no mask of L3"}]
    assert all(entry["code"] in CODES for entry in listed)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.sets(st.sampled_from(NINE), min_size=2),
    axcodes=st.sampled_from(["RAS", "LPS", "PIR", "SAL", "ASR"]),
    scheme=st.sampled_from(["cascade", "cascade-extended", "verse", "totalspineseg", "mrspineseg"]),
)
def test_volumes_survive_and_no_id_is_outside_the_scheme(
    tmp_path_factory: pytest.TempPathFactory, kept: set[str], axcodes: str, scheme: str
) -> None:
    folder = tmp_path_factory.mktemp("case")
    image, labels = phantom()
    image = image.reoriented(axcodes)
    for name in kept:
        write(labels.reoriented(axcodes)[name].astype(np.uint8), image.grid, folder / "raw" / "p" / f"{name.replace('-', '_')}.nii")
    write(image.data, image.grid, folder / "raw" / "p" / "T2.nii")
    run("folder", folder / "raw", folder / "out", scheme=scheme)
    result = labels_of(folder / "out", "p", scheme)  # raises where an id is outside the scheme
    truth = volumes_ml(labels)
    assert volumes_ml(result) == pytest.approx({name: truth[name] for name in kept}, rel=1e-6)


@settings(max_examples=5, deadline=None)
@given(factor=st.floats(0.6, 1.3), shift=st.floats(-2.0, 2.0))
def test_volumes_survive_another_grid_of_the_masks(tmp_path_factory: pytest.TempPathFactory, factor: float, shift: float) -> None:
    folder = tmp_path_factory.mktemp("grid")
    image, labels = phantom()
    affine = image.grid.with_spacing([s * f for s, f in zip(image.grid.spacing_mm, (1, factor, factor), strict=True)])
    moved = affine.vox2world.copy()
    moved[1:3, 3] += shift
    grid = Grid(affine.shape, moved)
    write(image.data, image.grid, folder / "raw" / "p" / "T2.nii")
    masks = labels.resampled(grid)
    for name in BODIES:
        write(masks[name].astype(np.uint8), grid, folder / "raw" / "p" / f"{name}.nii")
    run("folder", folder / "raw", folder / "out")
    before, after = volumes_ml(masks), volumes_ml(labels_of(folder / "out", "p"))
    for name in BODIES:
        assert after[name] == pytest.approx(before[name], rel=0.15)


@pytest.mark.data
def test_six_real_chu_cases_equal_their_checked_twins(tmp_path: Path, data_folder: Path) -> None:
    problems = run("chu", data_folder / "raw_chu", tmp_path / "out")
    verse = get_scheme("verse")
    for case in ("02", "05", "06", "07", "08", "10"):
        assert "axis-repaired" in codes(problems, case)
        labels = labels_of(tmp_path / "out", case)
        values, grid = read_label_array(data_folder / "chu" / f"{case}_labels.nii.gz")
        twin = LabelMap(values, grid, verse)
        assert sorted(labels.structures) == sorted(twin.structures) == sorted(SEVEN)
        assert labels.grid.matches(twin.grid)
        assert min(dice(labels[name], twin[name]) for name in SEVEN) >= 0.99

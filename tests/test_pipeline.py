"""The whole cascade, with networks that read coded scans: what must hold whatever the weights."""

from __future__ import annotations

import dataclasses
import json
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

import cascade
from cascade.errors import CascadeError, InputError, NoSpineError, NumberingError, SchemeError
from cascade.evaluation.metrics import dice
from cascade.io.nifti import write_volume
from cascade.io.scan import read_scan
from cascade.labels import CASCADE, CASCADE_EXTENDED, SCHEMES, LabelScheme, rank
from cascade.pipeline import Segmenter
from cascade.postproc.clicks.click import Click
from cascade.postproc.naming import Numbering
from cascade.segmentation import Perception, Segmentation
from cascade.stage2_levels.target import CLASSES
from cascade.volume import Grid, LabelMap, Volume, resample_array
from tests.io.test_memory import KINDS
from tests.synthetic import coded_scan, save_oracles

Coded = tuple[Volume, LabelMap]
ORIENTATIONS = ["".join(code) for axes in permutations(("RL", "AP", "SI")) for code in product(*axes)]
#: Every permutation of the axes and every flip occurs; the other orientations run in the full suite.
FEW = ["LPS", "ASR", "IPL", "SLA", "RIP", "PRI"]


@pytest.fixture(scope="module")
def segmenter(oracle_weights: Path) -> Segmenter:
    return Segmenter.from_pretrained("cpu", oracle_weights)


@pytest.fixture(scope="module")
def result(segmenter: Segmenter, coded: Coded) -> Segmentation:
    return segmenter.segment(coded[0], scheme="verse")


@pytest.fixture(scope="module")
def seen(segmenter: Segmenter, coded: Coded) -> Perception:
    """What networks see that know the canal, too."""
    seen = segmenter.perceive(coded[0])
    evidence = seen.evidence
    canal = resample_array(coded[1]["canal"].astype(np.float32), coded[1].grid, evidence.grid, order=1) * evidence.probabilities[0]
    others = evidence.probabilities.copy()
    others[0] -= canal
    return dataclasses.replace(
        seen, evidence=dataclasses.replace(evidence, probabilities=np.concatenate([others, canal[None]]), classes=CLASSES)
    )


class TestResult:
    def test_every_structure_is_found_where_it_is_and_named(self, result: Segmentation, coded: Coded) -> None:
        reference = coded[1]
        found = [level.name for level in result.levels]
        expected = sorted((n for n in reference.structures if n != "canal"), key=rank)
        assert found == expected
        for name in expected[1:]:
            assert dice(result.labels[name], reference[name]) > 0.6, name

    def test_labels_are_on_exactly_the_inputs_grid(self, result: Segmentation, coded: Coded) -> None:
        assert result.labels.grid is coded[0].grid
        assert result.labels.data.shape == coded[0].grid.shape

    def test_levels_are_measured_on_the_labels(self, result: Segmentation) -> None:
        labels = result.labels
        for level in result.levels:
            voxels = np.argwhere(labels[level.name])
            assert level.centroid_mm == pytest.approx(labels.grid.to_world(voxels.mean(axis=0)))
            assert level.volume_ml == pytest.approx(len(voxels) * labels.grid.voxel_mm3 / 1000)
            assert 0 < level.confidence <= 1

    def test_a_level_at_the_border_says_so(self, result: Segmentation) -> None:
        assert [level.name for level in result.levels if level.touches_border] == ["T11"]
        assert ("cut-by-border", "T11") in {(notice.code, notice.level) for notice in result.warnings}

    def test_a_cut_through_what_is_not_in_the_output_is_nothing(self, segmenter: Segmenter, coded: Coded) -> None:
        nine = segmenter.segment(coded[0])
        assert "T11" in nine.also_found
        assert "cut-by-border" not in {notice.code for notice in nine.warnings}

    def test_spider_gives_a_vertebra_that_is_cut_its_own_number(self, segmenter: Segmenter, coded: Coded) -> None:
        labels = segmenter.segment(coded[0], scheme="spider").labels
        assert (labels.scheme["T11"], labels.scheme["T12"]) == (107, 6)
        assert labels["T11"].any()

    def test_provenance_names_version_weights_grid_and_times(self, result: Segmentation, segmenter: Segmenter) -> None:
        provenance = result.provenance
        assert provenance["version"] == cascade.__version__
        assert provenance["checkpoint_sha256"]["stage1_spine"] == segmenter.stage1.spec.checkpoint_sha256
        assert provenance["checkpoint_sha256"]["stage2_levels"] == segmenter.stage2.spec.checkpoint_sha256
        assert tuple(provenance["grid"]["shape"]) == result.scan.grid.shape
        assert set(provenance["seconds"]) == {"read", "stage1_spine", "stage2_levels", "postproc"}

    def test_the_json_holds_what_is_documented(self, result: Segmentation, tmp_path: Path) -> None:
        result.save_json(tmp_path / "run.json", input="a.nii", output="b.nii")
        content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        assert list(content) == ["input", "output", "levels", "also_found", "measurements", "numbering", "warnings", "provenance"]
        assert set(content["levels"][0]) == {"name", "centroid_mm", "volume_ml", "touches_border", "confidence"}
        assert set(content["numbering"]) == {"confidence", "second_best", "margin"}
        assert set(content["warnings"][0]) == {"code", "level", "text", "rank"}

    def test_the_result_of_the_same_scan_is_the_same(self, segmenter: Segmenter, coded: Coded, tmp_path: Path) -> None:
        for name in ("a", "b"):
            segmenter.segment(coded[0]).save(tmp_path / f"{name}.nii.gz")
        assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.fixture(scope="module")
def again(segmenter: Segmenter, coded: Coded) -> Segmentation:
    """The same scan, seen three times more; views in which these networks do not find the same names are left out."""
    return segmenter.segment(coded[0], scheme="verse", repeat=3)


class TestSeenAgain:
    def test_it_is_the_same_result_and_its_numbers_have_errors(self, result: Segmentation, again: Segmentation) -> None:
        assert np.array_equal(again.labels.data, result.labels.data)
        assert [dataclasses.replace(row, sd=None) for row in again.measurements] == list(result.measurements)
        told = {row.structure: row.sd for row in again.measurements if row.kind == "body" and row.cut != "end"}
        assert len(told) >= 4
        assert all(sd is not None and 0 < sd["middle_mm"] < 10 for sd in told.values())

    def test_every_view_is_measured_under_the_names_of_the_scan(self, again: Segmentation) -> None:
        assert again.again is not None
        assert len(again.again) == again.provenance["repeats"] >= 2
        places = {row.structure: np.array([row.x_mm, row.y_mm, row.z_mm], dtype=float) for row in again.measurements if row.kind == "body"}
        for view in again.again:
            for row in (row for row in view if row.kind == "body"):
                assert not np.linalg.norm(places[row.structure] - np.array([row.x_mm, row.y_mm, row.z_mm], dtype=float)) > 5, row.structure

    def test_seen_again_once_more_it_has_the_same_errors(self, segmenter: Segmenter, coded: Coded, again: Segmentation) -> None:
        assert segmenter.segment(coded[0], scheme="verse", repeat=3).measurements == again.measurements


class TestSchemes:
    def test_the_default_holds_the_nine_only_and_is_silent_about_the_rest(self, segmenter: Segmenter, coded: Coded) -> None:
        result = segmenter.segment(coded[0])
        assert set(result.labels.structures) == set(CASCADE.ids)
        assert {level.name for level in result.levels} == set(CASCADE.ids)
        assert "structures-not-in-scheme" not in {notice.code for notice in result.warnings}

    def test_the_extended_scheme_holds_everything(self, segmenter: Segmenter, coded: Coded) -> None:
        result = segmenter.segment(coded[0], scheme=CASCADE_EXTENDED)
        assert {"T11", "T12", "sacrum", "L5-S1"} <= set(result.labels.structures)

    def test_every_scheme_labels_the_same_voxels(self, segmenter: Segmenter, coded: Coded, result: Segmentation) -> None:
        for name in ("spider", "totalsegmentator_mr"):
            other = segmenter.segment(coded[0], scheme=name)
            assert all(np.array_equal(other.labels[s], result.labels[s]) for s in other.labels.structures)
            lost = {level.name for level in result.levels if level.name not in SCHEMES[name]}
            texts = [notice.text for notice in other.warnings if notice.code == "structures-not-in-scheme"]
            assert len(texts) == bool(lost)
            assert all(structure in text for structure in lost for text in texts)

    def test_an_unknown_scheme_is_refused(self, segmenter: Segmenter, coded: Coded) -> None:
        with pytest.raises(SchemeError, match="no label scheme 'verso'"):
            segmenter.segment(coded[0], scheme="verso")


class TestCanal:
    @pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
    def test_it_is_in_the_labels_of_every_scheme_that_has_a_number_for_it(
        self, segmenter: Segmenter, seen: Perception, scheme: LabelScheme
    ) -> None:
        result = segmenter.name(seen, scheme=scheme)
        assert ("canal" in result.labels.structures) == ("canal" in scheme)
        assert all("canal" not in notice.text for notice in result.warnings)

    def test_it_is_where_it_is(self, segmenter: Segmenter, coded: Coded, seen: Perception) -> None:
        assert dice(segmenter.name(seen, scheme="verse").labels["canal"], coded[1]["canal"]) > 0.8

    def test_it_is_no_level_and_changes_no_other(self, segmenter: Segmenter, seen: Perception, result: Segmentation) -> None:
        with_canal = segmenter.name(seen, scheme="verse")
        assert with_canal.levels == result.levels
        for name in result.labels.structures:
            assert np.array_equal(with_canal.labels[name], result.labels[name])

    def test_it_has_a_row_in_the_table(self, segmenter: Segmenter, seen: Perception) -> None:
        result = segmenter.name(seen, scheme="verse")
        assert [row.structure for row in result.measurements if row.kind == "canal"] == ["canal"]

    def test_networks_that_do_not_know_it_find_none(self, result: Segmentation) -> None:
        assert "canal" not in result.labels.structures
        assert all(row.kind != "canal" for row in result.measurements)


class TestOrientation:
    def same(self, segmenter: Segmenter, coded: Coded, result: Segmentation, axcodes: str) -> None:
        other = segmenter.segment(coded[0].reoriented(axcodes), scheme="verse")
        assert other.labels.grid.axcodes == axcodes
        assert np.array_equal(other.labels.reoriented("RAS").data, result.labels.data)
        assert [level.name for level in other.levels] == [level.name for level in result.levels]

    @pytest.mark.parametrize("axcodes", FEW)
    def test_flips_and_permutations_change_nothing_but_the_storage_order(
        self, segmenter: Segmenter, coded: Coded, result: Segmentation, axcodes: str
    ) -> None:
        self.same(segmenter, coded, result, axcodes)

    @pytest.mark.full
    @pytest.mark.parametrize("axcodes", ORIENTATIONS)
    def test_all_48_orientations_give_the_same_labels(self, segmenter: Segmenter, coded: Coded, result: Segmentation, axcodes: str) -> None:
        self.same(segmenter, coded, result, axcodes)

    def test_gain_and_offset_of_the_scanner_change_nothing(self, segmenter: Segmenter, coded: Coded, result: Segmentation) -> None:
        scan = Volume((coded[0].data * 3.5 + 100).astype(np.float32), coded[0].grid)
        assert dice(segmenter.segment(scan, scheme="verse").labels.data > 0, result.labels.data > 0) > 0.99


def segmenter_for(scan: Volume, folder: Path) -> Segmenter:
    """Networks that read the codes of this scan."""
    save_oracles(folder, scan)
    return Segmenter.from_pretrained("cpu", folder)


class TestOddSpines:
    @pytest.mark.parametrize("lumbar", [4, 6])
    def test_another_count_is_never_renumbered_in_silence(self, tmp_path: Path, lumbar: int) -> None:
        scan, _ = coded_scan(lumbar=lumbar, thoracic=1)
        known = segmenter_for(scan, tmp_path).segment(scan, scheme="verse", numbering=Numbering(count=lumbar))
        assert {notice.code: notice.rank for notice in known.warnings}[f"lumbar-count-{lumbar}"] == "note", "it was told"
        bodies = [level.name for level in known.levels if level.name[0] == "L" and "-" not in level.name]
        assert bodies == [f"L{n}" for n in range(1, lumbar + 1)]

    def test_a_fused_pair_is_reported(self, tmp_path: Path) -> None:
        scan, _ = coded_scan(fused_disc="L2")
        result = segmenter_for(scan, tmp_path).segment(scan, scheme="verse")
        codes = {notice.code for notice in result.warnings}
        assert {"body-split"} & codes
        assert {"L2", "L3"} <= {level.name for level in result.levels}

    def test_without_the_sacrum_in_view_the_result_says_so(self, coded: Coded, tmp_path: Path) -> None:
        scan, labels = coded
        lowest = int(np.argwhere(labels["L3"])[:, 2].min()) - 3
        box = (slice(0, 13), slice(0, 113), slice(lowest, 163))
        cut = Volume(scan.data[box].copy(), scan.grid.cropped(box))
        cut.data[0, 0, 0] = 0.0
        segmenter = segmenter_for(cut, tmp_path)
        result = segmenter.segment(cut, scheme="verse")
        assert "no-sacrum-in-view" in {notice.code for notice in result.warnings}
        known = segmenter.segment(cut, scheme="verse", numbering=Numbering(lowest="L3"))
        assert [level.name for level in known.levels if "-" not in level.name][-1] == "L3"
        assert {notice.code: notice.rank for notice in known.warnings}["no-sacrum-in-view"] == "note"
        assert dice(known.labels["L2"], labels.data[box] == 21) > 0.6

    def test_what_the_user_knows_wins_or_is_contradicted(self, segmenter: Segmenter, coded: Coded) -> None:
        centre = coded[1].grid.to_world(np.argwhere(coded[1]["L4"]).mean(axis=0))
        point = (float(centre[0]), float(centre[1]), float(centre[2]))
        anchored = segmenter.segment(coded[0], scheme="verse", numbering=Numbering({"L3": point}))
        level = next(level for level in anchored.levels if level.name == "L3")
        assert np.linalg.norm(np.subtract(level.centroid_mm, point)) < 5
        with pytest.raises(NumberingError, match="image: expected a body at the anchor L3"):
            segmenter.segment(coded[0], numbering=Numbering({"L3": (900.0, 0.0, 0.0)}))
        with pytest.raises(NumberingError, match="lowest L5; highest L5"):
            segmenter.segment(coded[0], numbering=Numbering(lowest="L5", highest="L5"))
        with pytest.raises(NumberingError, match=r"expected a Numbering, such as .*lowest='L4'.*, got 'L4'"):
            segmenter.segment(coded[0], numbering="L4")

    def test_a_scan_without_a_spine_is_a_clear_error(self, blind_weights: Path, coded: Coded) -> None:
        with pytest.raises(NoSpineError, match="image: no spine found"):
            Segmenter.from_pretrained("cpu", blind_weights).segment(coded[0])


class TestClicks:
    def test_no_click_is_the_automatic_result_and_the_networks_run_once(
        self, segmenter: Segmenter, coded: Coded, result: Segmentation
    ) -> None:
        seen = segmenter.perceive(coded[0])
        assert np.array_equal(segmenter.name(seen, scheme="verse", clicks=[]).labels.data, result.labels.data)
        body = next(level for level in result.levels if level.name == "L4")
        renamed = segmenter.name(seen, scheme="verse", clicks=[cascade.Click(body.centroid_mm, "L3")])
        assert np.array_equal(renamed.labels["L3"], result.labels["L4"])
        assert renamed.provenance["clicks"] == [{"position_mm": list(body.centroid_mm), "structure": "L3"}]
        assert np.array_equal(segmenter.name(seen, scheme="verse").labels.data, result.labels.data)

    @pytest.mark.parametrize("axcodes", FEW[:2])
    def test_clicks_do_not_depend_on_how_the_scan_is_stored(
        self, segmenter: Segmenter, coded: Coded, result: Segmentation, axcodes: str
    ) -> None:
        disc = next(level for level in result.levels if level.name == "L3-L4")
        x, y, z = disc.centroid_mm
        clicks = [cascade.Click((x, y + 14.0, z), "background"), cascade.Click(disc.centroid_mm, "L3-L4")]
        one = segmenter.segment(coded[0], scheme="verse", clicks=clicks)
        other = segmenter.segment(coded[0].reoriented(axcodes), scheme="verse", clicks=clicks)
        assert np.array_equal(other.labels.reoriented("RAS").data, one.labels.reoriented("RAS").data)

    def test_the_numbering_and_a_click_that_contradict_each_other_are_an_error(
        self, segmenter: Segmenter, coded: Coded, result: Segmentation
    ) -> None:
        body = next(level for level in result.levels if level.name == "L4")
        with pytest.raises(NumberingError, match="image: expected levels that agree with lowest L5"):
            segmenter.segment(coded[0], numbering=Numbering(lowest="L5"), clicks=[cascade.Click(body.centroid_mm, "L2")])


class TestReadScan:
    def volume(self, data: np.ndarray) -> Volume:
        return Volume(data.astype(np.float32), Grid(data.shape, np.diag([4.0, 2.0, 2.0, 1.0])))

    @pytest.fixture
    def data(self) -> np.ndarray:
        return np.random.default_rng(0).normal(300, 50, (11, 13, 17))

    def test_a_sound_scan_passes_unchanged(self, data: np.ndarray) -> None:
        scan, header, notices = read_scan(self.volume(data))
        assert np.array_equal(scan.data, data.astype(np.float32))
        assert header is None
        assert notices == ()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_becomes_background_with_a_warning(self, data: np.ndarray, bad: float) -> None:
        data[2, 3, :5] = bad
        scan, _, notices = read_scan(self.volume(data))
        assert (scan.data[2, 3, :5] == scan.data.min()).all()
        assert np.isfinite(scan.data).all()
        assert [notice.code for notice in notices] == ["not-finite"]

    @pytest.mark.parametrize(("slices", "codes"), [(5, ["few-slices"]), (8, ["few-slices"]), (9, [])])
    def test_few_slices_are_a_warning(self, data: np.ndarray, slices: int, codes: list[str]) -> None:
        assert [notice.code for notice in read_scan(self.volume(data[:slices]))[2]] == codes

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_fewer_than_five_voxels_are_refused(self, data: np.ndarray, axis: int) -> None:
        with pytest.raises(InputError, match="at least 5 voxels along each axis"):
            read_scan(self.volume(np.take(data, range(4), axis=axis)))

    @pytest.mark.parametrize(
        ("value", "said"), [(7.0, "every voxel has the value 7"), (np.nan, "no voxel holds a finite"), (np.inf, "no voxel holds a finite")]
    )
    def test_an_image_without_content_is_refused(self, data: np.ndarray, value: float, said: str) -> None:
        with pytest.raises(InputError, match=said):
            read_scan(self.volume(np.full_like(data, value)))

    def test_a_scan_that_is_constant_but_for_nan_is_refused(self, data: np.ndarray) -> None:
        constant = np.full_like(data, 3.0)
        constant[0] = np.nan
        with pytest.raises(InputError, match="every voxel has the value 3"):
            read_scan(self.volume(constant))

    def test_the_scan_in_the_callers_hands_is_not_changed(self, data: np.ndarray) -> None:
        data[0, 0, 0] = np.nan
        volume = self.volume(data)
        read_scan(volume)
        assert np.isnan(volume.data[0, 0, 0])


def test_a_file_and_the_same_image_in_memory_give_the_same_labels(
    segmenter: Segmenter, coded: Coded, result: Segmentation, tmp_path: Path
) -> None:
    write_volume(coded[0], tmp_path / "scan.nii.gz")
    from_file = segmenter.segment(str(tmp_path / "scan.nii.gz"), scheme="verse")
    from_file.save(tmp_path / "labels.nii.gz")
    saved = nib.load(tmp_path / "labels.nii.gz")
    assert np.array_equal(saved.affine, nib.load(tmp_path / "scan.nii.gz").affine)
    assert dice(np.asarray(saved.dataobj) > 0, result.labels.data > 0) > 0.999


def test_an_error_names_the_file_once(segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "none.nii.gz"
    with pytest.raises(InputError) as caught:
        segmenter.segment(path)
    assert str(caught.value).count(str(path)) == 1


def test_the_public_names_are_there() -> None:
    for name in cascade.__all__:
        assert getattr(cascade, name).__name__ if name[0].isupper() and not name.isupper() else getattr(cascade, name)
    assert set(cascade.__all__) <= set(dir(cascade))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cascade.nonsense  # type: ignore[attr-defined]


class TestInMemory:
    """What people hold in Python, taken as the file would be."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_each_kind_of_image_gets_the_labels_of_the_file(
        self, kind: str, segmenter: Segmenter, coded: Coded, result: Segmentation
    ) -> None:
        taken = segmenter.segment(KINDS[kind](coded[0]), scheme="verse")
        assert np.array_equal(taken.labels.data, result.labels.data)
        assert taken.labels.grid.matches(coded[0].grid)

    def test_an_array_with_its_affine_gets_the_same_labels(self, segmenter: Segmenter, coded: Coded, result: Segmentation) -> None:
        taken = segmenter.segment(coded[0].data, affine=coded[0].grid.vox2world, scheme="verse")
        assert np.array_equal(taken.labels.data, result.labels.data)


class TestNotebooks:
    """What a result says of itself."""

    def test_it_prints_in_two_lines(self, result: Segmentation) -> None:
        first, second = repr(result).splitlines()
        assert first.startswith("Segmentation of 13 x 113 x 163 voxels, scheme verse: T")
        assert second.startswith("warnings: ")
        assert len(repr(result)) < 400

    def test_a_notebook_shows_picture_and_levels(self, result: Segmentation) -> None:
        shown = result._repr_html_()
        assert 'src="data:image/png;base64,' in shown
        assert all(f"<td>{level.name}</td>" in shown for level in result.levels)

    def test_the_plot_is_the_saved_picture(self, result: Segmentation, tmp_path: Path) -> None:
        result.save_picture(tmp_path / "qc.png")
        with Image.open(tmp_path / "qc.png") as saved:
            assert np.array_equal(np.asarray(saved), np.asarray(result.plot()))

    def test_a_table_of_pandas_holds_the_measurements(self, result: Segmentation) -> None:
        table = result.to_dataframe()
        assert list(table["structure"]) == [row.structure for row in result.measurements]
        expected = [np.nan if row.volume_ml is None else row.volume_ml for row in result.measurements]
        assert table["volume_ml"].tolist() == pytest.approx(expected, nan_ok=True)

    def test_a_report_is_written(self, result: Segmentation, tmp_path: Path) -> None:
        result.save_report(tmp_path / "qc.html", "my scan")
        assert "my scan" in (tmp_path / "qc.html").read_text(encoding="utf-8")

    def test_labels_are_asked_for_by_name_or_number(self, result: Segmentation) -> None:
        assert np.array_equal(result.labels[22], result.labels["L3"])
        with pytest.raises(SchemeError, match="no structure with id 3"):
            result.labels[3]

    def test_the_package_lists_its_public_names_only(self) -> None:
        assert dir(cascade) == sorted(cascade.__all__)


class TestWhatPeoplePassFromPython:
    """One line each, instead of a traceback from a library below."""

    GRID = Grid((5, 6, 7), np.diag([4.0, 1.0, 1.0, 1.0]))

    @pytest.mark.parametrize("dtype", [bool, complex, object, "U1", "M8[s]"])
    def test_data_that_are_no_real_numbers_are_refused(self, dtype: Any) -> None:
        with pytest.raises(InputError, match="expected data of real numbers, not of the type"):
            Volume(np.zeros(self.GRID.shape, dtype=dtype), self.GRID)

    @pytest.mark.parametrize("data", [[[[1.0]]], None, "scan", torch.zeros(5, 6, 7)], ids=["list", "none", "text", "tensor"])
    def test_data_that_are_no_array_are_refused(self, data: Any) -> None:
        with pytest.raises(InputError, match="expected an array of numpy as data"):
            Volume(data, self.GRID)

    def test_an_affine_in_place_of_a_grid_is_refused(self) -> None:
        with pytest.raises(InputError, match="expected a Grid"):
            Volume(np.zeros((5, 6, 7), np.float32), np.eye(4))  # type: ignore[arg-type]

    @pytest.mark.parametrize("affine", [None, "RAS", np.eye(3), np.full((4, 4), "x")], ids=["none", "text", "3x3", "letters"])
    def test_a_grid_of_something_else_is_refused(self, affine: Any) -> None:
        with pytest.raises(InputError, match="affine"):
            Grid((5, 6, 7), affine)

    @pytest.mark.parametrize("image", ["", b"", None, 7, np.zeros((5, 6, 7)), torch.zeros(5, 6, 7)], ids=lambda image: type(image).__name__)
    def test_an_image_that_is_neither_path_nor_volume_is_refused(self, image: Any, oracle_weights: Path) -> None:
        with pytest.raises(InputError, match="expected a path"):
            Segmenter.from_pretrained("cpu", oracle_weights).segment(image)

    def test_a_device_of_torch_is_as_good_as_its_name(self, oracle_weights: Path) -> None:
        assert Segmenter.from_pretrained(torch.device("cpu"), oracle_weights).device == "cpu"  # type: ignore[arg-type]

    @pytest.mark.parametrize("device", ["", "gpu", "cpu:x", "meta", None, 3, "cuda:99"])
    def test_a_device_that_is_none_is_refused(self, device: Any, oracle_weights: Path) -> None:
        with pytest.raises(CascadeError, match=r"device .*: expected one that"):
            Segmenter.from_pretrained(device, oracle_weights)


def test_other_names_for_the_same_structures_are_not_drawn_again_and_nobody_can_tell(
    segmenter: Segmenter, seen: Perception, result: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    l3 = next(level.centroid_mm for level in result.levels if level.name == "L3")
    alone = segmenter.name(dataclasses.replace(seen), scheme="verse", clicks=(Click(l3, "L4"),))
    fresh = dataclasses.replace(seen)
    segmenter.name(fresh, scheme="verse")
    segmenter.name(fresh)
    monkeypatch.setattr("cascade.segmentation.draw_parts", None)
    after = segmenter.name(fresh, scheme="verse", clicks=(Click(l3, "L4"),))
    assert "canal" in after.labels.structures
    np.testing.assert_array_equal(after.labels.data, alone.labels.data)

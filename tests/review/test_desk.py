"""Looking, correcting, accepting: what the desk does is what the API does, and what is kept on disk."""

from __future__ import annotations

import json
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cascade
from cascade.cohorts.answers import Answer, answer_path
from cascade.cohorts.find import Request, find_jobs
from cascade.cohorts.job import MANIFEST
from cascade.cohorts.keep import Keep
from cascade.cohorts.run import Task, run_cohort
from cascade.errors import InputError, NotAtHandError, NumberingError, ReviewConflictError
from cascade.io.cases import read_cases
from cascade.io.formats import read_labels_file
from cascade.io.nifti import read_label_array, write_volume
from cascade.networks.progress import told
from cascade.notices import Notice
from cascade.pipeline import Segmenter
from cascade.review.desk import Desk
from cascade.review.items import items_of_run
from cascade.review.wire import overview
from cascade.review.words import Word
from cascade.review.worker import Worker
from cascade.segmentation import Perception
from cascade.volume import LabelMap, Volume
from tests.dicom_files import slices, write_series
from tests.review_work import NAMES, desk_of, write_scans


@pytest.fixture(scope="module")
def segmented(coded: tuple[Volume, LabelMap], oracle_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk at which the first scan is segmented; nobody corrects it."""
    folder = tmp_path_factory.mktemp("segmented")
    desk = desk_of(write_scans(coded[0], folder / "scans"), folder / "out", oracle_weights)
    desk.segment("s1")
    return desk


@pytest.fixture
def desk(segmented: Desk, oracle_weights: Path, tmp_path: Path) -> Desk:
    shutil.copytree(segmented.folder, tmp_path / "out")
    desk = desk_of(list(segmented.items.values()), tmp_path / "out", oracle_weights)
    desk.shelf.get("s1").seen = segmented.shelf.get("s1").seen
    return desk


def where(desk: Desk, name: str) -> tuple[float, float, float]:
    return next(level.centroid_mm for level in desk.shown("s1").levels if level.name == name)


def names(desk: Desk, key: str = "s1") -> list[str]:
    return [level.name for level in desk.shown(key).levels]


def saved(desk: Desk, suffix: str = ".nii.gz") -> Path:
    return desk.folder / "labels" / f"one{suffix}"


def test_this_is_l4_moves_every_name_and_undo_moves_them_back(desk: Desk) -> None:
    before = names(desk)
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    after = names(desk)
    assert after != before
    assert after[before.index("L3")] == "L4"
    assert after[before.index("L2-L3")] == "L3-L4"
    desk.move("s1", -1, 1)
    assert names(desk) == before
    desk.move("s1", 1, 2)
    assert names(desk) == after


def test_what_is_kept_is_what_cascade_segment_gives_with_the_same_clicks(desk: Desk, oracle_weights: Path) -> None:
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    disc = where(desk, "L2-L3")
    desk.say("s1", Word("take", ((disc[0], disc[1] + 12.0, disc[2]),)), 1)
    desk.keep("s1")
    again = Segmenter.from_pretrained("cpu", oracle_weights).segment(desk.item("s1").image, clicks=saved(desk, ".clicks.json"))
    np.testing.assert_array_equal(read_label_array(saved(desk))[0], again.labels.data)


def test_the_automatic_result_stays_and_the_corrected_one_says_what_it_came_from(desk: Desk) -> None:
    automatic = (desk.folder / "automatic" / "one.nii.gz").read_bytes()
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    desk.decide("s1", "accepted", "one too high", 1)
    desk.keep("s1")
    assert (desk.folder / "automatic" / "one.nii.gz").read_bytes() == automatic
    facts = json.loads(saved(desk, ".json").read_text(encoding="utf-8"))
    assert facts["review"]["state"] == "corrected"
    assert facts["review"]["note"] == "one too high"
    assert facts["review"]["corrected"]["from"] == "one.nii.gz"
    assert facts["review"]["corrected"]["clicks"][0]["structure"] == "L4"
    assert saved(desk, ".tsv").is_file()
    assert saved(desk, ".html").is_file()


def test_corrected_scans_are_cases_to_train_on_until_they_are_taken_back(desk: Desk) -> None:
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    desk.decide("s1", "accepted", "", 1)
    desk.keep("s1")
    (case,) = read_cases(desk.folder / "corrected", scheme="cascade-extended")
    scan, labels = case.load()
    assert scan.grid.matches(desk.shown("s1").scan.grid)
    assert "L4" in labels.structures
    desk.decide("s1", "new", "", 2)
    desk.keep("s1")
    assert not list((desk.folder / "corrected").glob("*.nii.gz"))


def test_undoing_everything_leaves_nothing_kept(desk: Desk) -> None:
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    desk.keep("s1")
    assert saved(desk).is_file()
    desk.move("s1", -1, 1)
    desk.keep("s1")
    assert not list((desk.folder / "labels").iterdir())


def test_a_second_thought_about_a_name_takes_the_place_of_the_first(desk: Desk) -> None:
    place = where(desk, "L3")
    desk.say("s1", Word("name", (place,), "L4"), 0)
    desk.say("s1", Word("name", (place,), "L2"), 1)
    assert [click.structure for click in desk.record("s1").history.now.clicks] == ["L2"]


def test_the_lowest_level_and_the_count_are_numberings(desk: Desk) -> None:
    desk.say("s1", Word("number", lowest="L4"), 0)
    assert desk.record("s1").history.now.numbering == cascade.Numbering(lowest="L4")
    assert "L5" not in names(desk)
    desk.say("s1", Word("number"), 1)
    assert "L5" in names(desk)


def test_a_structure_is_deleted_with_one_click_anywhere_in_it(desk: Desk) -> None:
    x, y, z = where(desk, "L2-L3")
    desk.say("s1", Word("delete", ((x, y + 8.0, z),)), 0)
    assert "L2-L3" not in names(desk)
    (click,) = desk.record("s1").history.now.clicks
    assert click.structure == "background"


def test_what_cannot_be_changes_nothing(desk: Desk) -> None:
    with pytest.raises(NumberingError, match="found another body between them"):
        desk.say("s1", Word("join", (where(desk, "L2"), where(desk, "L4"))), 0)
    with pytest.raises(InputError, match="there is none here"):
        desk.say("s1", Word("delete", ((500.0, 0.0, 0.0),)), 0)
    assert desk.record("s1").revision == 0


def test_nobody_corrects_what_he_has_not_seen(desk: Desk) -> None:
    desk.decide("s1", "rejected", "", 0)
    with pytest.raises(ReviewConflictError):
        desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    with pytest.raises(ReviewConflictError):
        desk.decide("s1", "accepted", "", 0)


def test_a_kill_between_saying_and_writing_loses_nothing(desk: Desk, oracle_weights: Path) -> None:
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    after = names(desk)
    again = desk_of(list(desk.items.values()), desk.folder, oracle_weights)
    assert again.unkept() == ["s1"]
    again.answer("s1")
    assert names(again) == after
    again.keep("s1")
    assert saved(again).is_file()
    assert again.unkept() == []


@pytest.fixture
def run(coded: tuple[Volume, LabelMap], oracle_weights: Path, tmp_path: Path) -> Path:
    """The OUT of an earlier run."""
    items = write_scans(coded[0], tmp_path / "scans")
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    images = [item.image for item in items]
    assert all(o.state == "done" for _, o in segmenter.map(images, tmp_path / "run", root=tmp_path / "scans", scheme="verse"))
    return tmp_path / "run"


def test_an_earlier_run_is_looked_at_and_accepted_without_networks(run: Path) -> None:
    def no_networks() -> Segmenter:
        raise AssertionError("the networks were loaded")

    desk = Desk(items_of_run(run), run / "review", no_networks, who="tester")
    assert [item.title for item in desk.items.values()] == list(NAMES)
    assert names(desk)[0].startswith("T")
    desk.draw("s1")
    desk.decide("s1", "accepted", "", 0)
    desk.keep("s1")
    kept, _ = read_label_array(desk.folder / "labels" / "one.nii.gz")
    np.testing.assert_array_equal(kept, read_label_array(run / "one.nii.gz")[0])
    with pytest.raises(NotAtHandError):
        desk.say("s1", Word("number", lowest="L4"), 1)


def test_a_scan_that_changed_or_is_gone_since_the_run_is_said(run: Path, coded: tuple[Volume, LabelMap]) -> None:
    items = items_of_run(run)
    desk = Desk(items, run / "review", lambda: Segmenter.from_pretrained("cpu"), who="tester")
    write_volume(replace(coded[0], data=coded[0].data + 1), items[0].image)
    items[1].image.unlink()
    with pytest.raises(InputError, match="has changed since"):
        desk.shown("s1")
    with pytest.raises(InputError, match="is not where it was"):
        desk.shown("s2")


def test_memory_is_bounded_however_many_scans_are_corrected(coded: tuple[Volume, LabelMap], oracle_weights: Path, tmp_path: Path) -> None:
    items = write_scans(coded[0], tmp_path / "scans", [f"scan{n}" for n in range(4)])
    desk = desk_of(items, tmp_path / "out", oracle_weights)
    desk.segment("s1")
    desk.shelf.max_bytes = int(2.5 * desk.shelf.nbytes)
    sizes = []
    for item in items:
        desk.segment(item.id)
        desk.say(item.id, Word("number", lowest="L5"), 0)
        sizes.append(len(desk.shelf))
        assert desk.shelf.nbytes <= desk.shelf.max_bytes
    assert max(sizes) <= 2
    assert desk.record("s1").history.now


def test_what_a_run_has_kept_is_corrected_without_the_networks(
    run: Path, coded: tuple[Volume, LabelMap], oracle_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    items = items_of_run(run)
    for item in items[:2]:
        seen = segmenter.perceive(item.image)
        Answer(seen, item.input_sha256, segmenter.checkpoint_sha256).save(answer_path(run / f"{item.name}.nii.gz"))
    answer_path(run / f"{items[1].name}.nii.gz").write_bytes(b"damaged")
    read: list[Path] = []
    monkeypatch.setattr(Segmenter, "perceive", lambda self, image, series: read.append(image) or seen)
    desk = desk_of(items, run / "review", oracle_weights)
    desk.answer("s1")
    assert read == []
    desk.say("s1", Word("name", (where(desk, "L3"),), "L4"), 0)
    desk.keep("s1")
    again = segmenter.name(seen, scheme="verse", clicks=desk.record("s1").history.now.clicks)
    np.testing.assert_array_equal(read_label_array(desk.folder / "labels" / "one.nii.gz")[0], again.labels.data)
    desk.answer("s2")
    assert read == [items[1].image]


@pytest.mark.full
def test_of_a_cohort_of_200_no_more_is_held_than_the_bound_says(
    segmented: Desk, oracle_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, one = segmented.shelf.get("s1").seen, segmented.item("s1")
    assert first is not None
    alive: weakref.WeakSet[Perception] = weakref.WeakSet()

    def perceive(segmenter: Segmenter, image: Path, series: str | None = None) -> Perception:
        del segmenter, image, series
        scan = replace(first.scan, data=first.scan.data.copy())
        seen = replace(first, scan=scan, evidence=replace(first.evidence, probabilities=first.evidence.probabilities.copy()))
        alive.add(seen)
        return seen

    monkeypatch.setattr(Segmenter, "perceive", perceive)
    items = [replace(one, id=f"s{number}", name=f"scan{number}") for number in range(1, 201)]
    desk = desk_of(items, tmp_path / "out", oracle_weights)
    desk.answer("s1")
    desk.shelf.max_bytes = 4 * desk.shelf.nbytes
    for item in items:
        desk.answer(item.id)
        desk.decide(item.id, "accepted", "", 0)
        assert desk.shelf.nbytes <= desk.shelf.max_bytes
        assert len(alive) <= len(desk.shelf) <= 4
    assert len((tmp_path / "out" / "review.tsv").read_text(encoding="utf-8").splitlines()) == 201


@pytest.mark.parametrize("suffix", [".dcm", ".seg.nrrd"])
def test_labels_are_kept_in_the_format_of_the_run(
    suffix: str, coded: tuple[Volume, LabelMap], oracle_weights: Path, tmp_path: Path
) -> None:
    write_series(slices(coded[0]), tmp_path / "in" / "study")
    jobs, _ = find_jobs(Request((tmp_path / "in",), tmp_path / "run", suffix, None))
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    ((_, outcome),) = run_cohort(jobs, Task(segmenter, Keep()), manifest=tmp_path / "run" / MANIFEST)
    assert outcome.state == "done"
    desk = desk_of(items_of_run(tmp_path / "run"), tmp_path / "run" / "review", oracle_weights)
    assert names(desk) == list(outcome.levels)
    reference = segmenter.segment(tmp_path / "in" / "study", scheme="verse").labels
    np.testing.assert_array_equal(desk.shown("s1").labels["L4"], reference["L4"])
    desk.decide("s1", "accepted", "", 0)
    desk.keep("s1")
    kept, of_the_run = desk.files("s1").labels, jobs[0].output
    assert kept.name == of_the_run.name
    np.testing.assert_array_equal(read_labels_file(kept)[0], read_labels_file(of_the_run)[0])


def test_the_list_tells_alarms_first_then_warnings_and_no_notes(run: Path) -> None:
    said = (Notice("few-slices", None, "7"), Notice("body-split", "L2", "cut apart"), Notice("missing-body", "L3", "missing"))
    desk = Desk([replace(items_of_run(run)[0], warnings=said)], run / "review", Segmenter.from_pretrained, who="tester")
    (row,) = overview(desk, Worker(desk))["scans"]
    assert (row["warnings"], row["alarms"]) == (["missing-body", "body-split"], 1)


def test_how_far_the_networks_are_never_goes_back_where_stage_2_looks_again(
    segmented: Desk, oracle_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, shares = desk_of(list(segmented.items.values()), tmp_path / "out", oracle_weights), []

    def perceive(*_: object) -> Perception | None:
        for _ in range(2):
            shares.extend(desk.progress["s1"].share for _ in told("abc", "stage2_levels"))
        return segmented.shelf.get("s1").seen

    monkeypatch.setattr(Segmenter, "perceive", perceive)
    desk.answer("s1")
    assert shares == sorted(shares)
    assert len(set(shares)) > 1

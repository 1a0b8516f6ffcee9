"""Cases of one slice: trained on, and answered by a teacher, as if they went on unchanged."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade.io.cases import read_cases
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import VERSE
from cascade.networks.checkpoint import Checkpoint, build_network, load_checkpoint
from cascade.phantom import PhantomSpec, render
from cascade.stage2_levels.target import CLASSES, target
from cascade.training import selftraining
from cascade.training.augmentation import Augmentation
from cascade.training.examples import Example, draw_batch, prepare_examples, with_junctions
from cascade.training.loop import train
from cascade.training.recipe import PatchChoice, Recipe
from cascade.training.selftraining import answer_open_questions
from cascade.volume import LabelMap, Volume
from tests.synthetic import tiny_spec

SPEC = tiny_spec("stage2_levels", CLASSES, (6.0, 3.0, 3.0))
STILL = Augmentation(0, 0, 1.0, 0, *[0.0] * 10, noise=0, ghost_probability=0, void_probability=0)
RECIPE = Recipe(SPEC, steps=2, patches=(PatchChoice((8, 16, 24), 2),), learning_rate=0.01)
DISCS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")


@pytest.fixture(scope="module")
def truth() -> tuple[Volume, LabelMap]:
    """The middle slice of a phantom."""
    image, labels = render(PhantomSpec(shape=(9, 91, 141), spacing_mm=(6.0, 2.2, 2.2)))
    box = (slice(4, 5), slice(0, 91), slice(0, 141))
    return image.cropped(box), labels.cropped(box)


@pytest.fixture(scope="module")
def folder(truth: tuple[Volume, LabelMap], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T1 and T2 of a patient, of which only points are known, and a labelled slice of another."""
    path = tmp_path_factory.mktemp("slices")
    image, labels = truth
    points = [f"{name}\t" + "\t".join(f"{x:.2f}" for x in labels.grid.to_world(np.argwhere(labels[name])).mean(axis=0)) for name in DISCS]
    for name in ("a_t1", "a_t2"):
        write_volume(image, path / f"{name}_image.nii.gz")
        (path / f"{name}_points.tsv").write_text("name\tx_mm\ty_mm\tz_mm\n" + "\n".join(points) + "\n", encoding="utf-8")
    write_volume(image, path / "b_image.nii.gz")
    write_labels(labels, path / "b_labels.nii.gz")
    (path / "cases.tsv").write_text("case\tpatient\na_t1\ta\na_t2\ta\nb\tb\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def examples(folder: Path) -> list[Example]:
    prepared, problems = prepare_examples(read_cases(folder), SPEC, target)
    assert not problems
    return prepared


def test_a_slice_goes_on_as_far_as_a_patch_reaches(examples: list[Example]) -> None:
    recipe = dataclasses.replace(RECIPE, augmentation=STILL)
    images, allowed = draw_batch(examples, recipe, 0)
    assert all(example.is_slice for example in examples)
    assert (images == images[:, :, :1]).all()
    assert (allowed == allowed[:, :1]).all()
    assert (allowed > 0).float().mean() > 0.9


def test_a_labelled_slice_gets_remnants_below_s1_and_one_of_points_does_not(examples: list[Example]) -> None:
    recipe = dataclasses.replace(RECIPE, augmentation=dataclasses.replace(STILL, remnant_probability=1.0))
    measured = with_junctions(examples, recipe)
    assert [example.junction is not None for example in measured] == [example.case.has_labels for example in examples]
    labelled = [example for example in measured if example.junction]
    pair = [draw_batch(labelled, r, 0)[0] for r in (recipe, dataclasses.replace(RECIPE, augmentation=STILL))]
    assert not torch.equal(*pair)
    assert all(example.junction is None for example in with_junctions(examples, RECIPE))


def test_slices_are_trained_on(examples: list[Example], tmp_path: Path) -> None:
    spec = train(examples, RECIPE, tmp_path)
    assert spec.training["steps_done"] == 2


def answers(probabilities: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the teacher say this of each case."""
    monkeypatch.setattr(selftraining, "teacher_says", lambda example, _: probabilities[example.case.name])


def told(labels: LabelMap, **other: str) -> np.ndarray:
    """What a sure teacher says who knows all; of `other` structures what it takes them for."""
    classes = np.zeros(labels.grid.shape, dtype=int)
    for name in labels.structures:
        kind = "canal" if name == "canal" else "sacrum" if name == "sacrum" else "disc" if "-" in name else "body"
        classes[labels[name]] = CLASSES.index(other.get(name, kind))
    return np.stack([np.where(classes == c, 0.98, 0.005) for c in range(len(CLASSES))]).astype(np.float32)


@pytest.fixture
def teacher() -> Checkpoint:
    return Checkpoint(SPEC, build_network(SPEC).eval())


def on_grid(labels: LabelMap, example: Example) -> LabelMap:
    return labels.resampled(example.grid)


class TestTeacher:
    def test_answers_that_agree_with_the_points_are_taken_over(
        self, examples: list[Example], truth: tuple[Volume, LabelMap], teacher: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = on_grid(truth[1], examples[0])
        answers({example.case.name: told(labels) for example in examples}, monkeypatch)
        filled = answer_open_questions(examples, teacher)[0].allowed.numpy()
        for name, bit in (("L3", 2), ("L3-L4", 4), ("sacrum", 8), ("canal", 16)):
            assert (filled[labels[name]] == bit).mean() > 0.9, name

    def test_a_first_sacral_vertebra_that_looks_like_a_body_is_sacrum(
        self, examples: list[Example], truth: tuple[Volume, LabelMap], teacher: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = on_grid(truth[1], examples[0])
        answers({example.case.name: told(labels, sacrum="body") for example in examples}, monkeypatch)
        filled = answer_open_questions(examples, teacher)[0].allowed.numpy()
        assert (filled[labels["sacrum"]] == 8).mean() > 0.5
        assert not (filled[labels["sacrum"]] == 2).any()

    def test_answers_that_contradict_the_points_count_nothing(
        self, examples: list[Example], truth: tuple[Volume, LabelMap], teacher: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = on_grid(truth[1], examples[0])
        answers({example.case.name: told(labels, **{"L3-L4": "body"}) for example in examples}, monkeypatch)
        answered = answer_open_questions(examples, teacher)
        assert all(torch.equal(answered[i].allowed, examples[i].allowed) for i in (0, 1))

    def test_two_scans_of_a_patient_on_one_grid_are_answered_together(
        self, examples: list[Example], truth: tuple[Volume, LabelMap], teacher: Checkpoint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        labels = on_grid(truth[1], examples[0])
        sure = told(labels)
        unsure = np.where(sure > 0.5, 0.8, 0.05).astype(np.float32)
        answers({"a_t1": unsure, "a_t2": sure, "b": sure}, monkeypatch)
        first, second, _ = answer_open_questions(examples, teacher)
        assert torch.equal(first.allowed, second.allowed)
        assert (first.allowed.numpy()[labels["L3"]] == 2).mean() > 0.9
        answers({"a_t1": unsure, "a_t2": unsure, "b": sure}, monkeypatch)
        assert not (answer_open_questions(examples, teacher)[0].allowed.numpy()[labels["L3"]] == 2).any()

    def test_a_network_is_shown_a_slice_as_a_slab(self, examples: list[Example], teacher: Checkpoint) -> None:
        answered = answer_open_questions(examples, teacher)
        for before, after in zip(examples, answered, strict=True):
            assert after.allowed.shape == before.allowed.shape
            assert ((after.allowed & ~before.allowed) == 0).all()


def test_a_slice_of_the_scheme_verse_is_what_its_labels_say(examples: list[Example], truth: tuple[Volume, LabelMap]) -> None:
    labelled = examples[2]
    labels = on_grid(truth[1], labelled)
    assert labels.scheme == VERSE
    assert (labelled.allowed.numpy()[labels["L3"]] == 2).mean() > 0.9


def test_weights_of_a_slice_leg_are_those_of_any(tmp_path: Path, examples: list[Example]) -> None:
    train(examples, RECIPE, tmp_path)
    assert load_checkpoint("stage2_levels", tmp_path).spec.classes == CLASSES

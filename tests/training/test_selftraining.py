"""A teacher answers only what the labels leave open, and only where it is sure and its answer makes sense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cascade.io.cases import Case
from cascade.labels import VERSE
from cascade.networks.checkpoint import Checkpoint, build_network
from cascade.stage2_levels.target import CLASSES
from cascade.training import selftraining
from cascade.training.examples import Example
from cascade.training.selftraining import answer_open_questions, fill_in
from cascade.volume import Grid
from tests.synthetic import tiny_spec

BACKGROUND, BODY, DISC, SACRUM, CANAL = (1 << i for i in range(5))
SHAPE = (8, 24, 60)


@pytest.fixture(scope="module")
def teacher() -> Checkpoint:
    spec = tiny_spec("stage2_levels", CLASSES, (2.0, 2.0, 2.0))
    return Checkpoint(spec, build_network(spec).eval())


def answer(**where: tuple[slice, float]) -> np.ndarray:
    """Probabilities that are background but for rows of the named classes."""
    probabilities = np.zeros((len(CLASSES), *SHAPE), dtype=np.float32)
    probabilities[0] = 1.0
    for name, (rows, p) in where.items():
        probabilities[:, 2:6, 6:18, rows] = ((1 - p) / (len(CLASSES) - 1),)
        probabilities[CLASSES.index(name), 2:6, 6:18, rows] = p
    return probabilities


def filled_in(allowed: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return fill_in(allowed, probabilities, CLASSES, Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0])))


def everything_open() -> np.ndarray:
    return np.full(SHAPE, BACKGROUND | BODY | DISC | SACRUM, dtype=np.uint8)


def test_a_sure_and_plausible_answer_is_taken_over() -> None:
    filled = filled_in(everything_open(), answer(body=(slice(30, 50), 0.95)))
    assert (filled[2:6, 6:18, 30:50] == BODY).all()
    assert (filled[0] == BACKGROUND).all()


@pytest.mark.parametrize(("rows", "p"), [(slice(30, 50), 0.6), (slice(30, 31), 0.95)])
def test_doubt_and_crumbs_stay_open(rows: slice, p: float) -> None:
    filled = filled_in(everything_open(), answer(body=(rows, p)))
    assert (filled[2:6, 6:18, rows] == everything_open()[2:6, 6:18, rows]).all()


def test_what_the_labels_say_is_never_changed() -> None:
    allowed = everything_open()
    allowed[:, :, 35:40] = DISC
    filled = filled_in(allowed, answer(body=(slice(30, 50), 0.95)))
    assert (filled[:, :, 35:40] == DISC).all()
    assert ((filled & ~allowed) == 0).all()


def test_where_no_body_can_be_it_is_the_sacrum() -> None:
    allowed = np.full(SHAPE, BACKGROUND | SACRUM, dtype=np.uint8)
    filled = filled_in(allowed, answer(body=(slice(10, 28), 0.95)))
    assert (filled[2:6, 6:18, 10:28] == SACRUM).all()


def test_what_looks_like_a_disc_below_the_first_sacral_vertebra_stays_open() -> None:
    probabilities = answer(sacrum=(slice(20, 40), 0.95), disc=(slice(8, 14), 0.95))
    filled = filled_in(everything_open(), probabilities)
    assert (filled[2:6, 6:18, 20:40] == SACRUM).all()
    assert not (filled == DISC).any()
    above = filled_in(everything_open(), answer(sacrum=(slice(8, 28), 0.95), disc=(slice(40, 46), 0.95)))
    assert (above[2:6, 6:18, 40:46] == DISC).all()


def test_of_two_sacra_only_the_upper_one_counts() -> None:
    probabilities = answer(sacrum=(slice(4, 16), 0.95))
    probabilities[:, :, :, 30:42] = probabilities[:, :, :, 4:16]
    filled = filled_in(everything_open(), probabilities)
    assert (filled[2:6, 6:18, 30:42] == SACRUM).all()
    assert not (filled[:, :, 4:16] == SACRUM).any()


def test_the_network_answers_for_whole_examples(teacher: Checkpoint, example: Example) -> None:
    (answered,) = answer_open_questions([example], teacher)
    assert answered.case is example.case
    assert answered.allowed.shape == answered.image.shape == example.grid.shape
    assert ((answered.allowed & ~example.allowed) == 0).all()


@pytest.fixture
def example(tmp_path: Path) -> Example:
    case = Case("own", "1", "1", "train", tmp_path / "1_image.nii.gz", tmp_path / "1_labels.nii.gz", VERSE)
    grid = Grid((16, 32, 64), np.diag([1.0, 2.0, 1.5, 1.0]))
    return Example(case, torch.randn(grid.shape).half(), torch.full(grid.shape, 15, dtype=torch.uint8), grid, np.zeros((1, 3), np.int16))


def test_what_the_teacher_takes_for_background_may_be_a_class_that_it_does_not_know() -> None:
    allowed = np.full(SHAPE, BACKGROUND | DISC | CANAL, dtype=np.uint8)
    probabilities = answer(disc=(slice(30, 40), 0.95))[: len(CLASSES) - 1]
    filled = fill_in(allowed, probabilities, CLASSES[:-1], Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0])))
    assert (filled[2:6, 6:18, 30:40] == DISC).all()
    assert (filled[0] == BACKGROUND | CANAL).all()


def test_beside_its_canal_the_teachers_background_may_be_canal() -> None:
    allowed = everything_open() | np.uint8(CANAL)
    filled = filled_in(allowed, answer(canal=(slice(0, 50), 0.95)))
    assert (filled[2:6, 6:18, 0:50] == CANAL).all()
    beside, far = filled[4, 18, 20], filled[4, 21, 20]
    assert (beside, far) == (BACKGROUND | CANAL, BACKGROUND)
    above, top = filled[4, 10, 53], filled[4, 10, 54]
    assert (above, top) == (BACKGROUND | CANAL, BACKGROUND)


def test_behind_the_sacrum_the_teachers_background_may_be_canal_further_from_it() -> None:
    said = answer(canal=(slice(20, 50), 0.95))
    said[:, :, 10:] = answer(sacrum=(slice(8, 20), 0.95))[:, :, 10:]
    filled = filled_in(everything_open() | np.uint8(CANAL), said)
    assert (filled[2:6, 10:18, 8:20] == SACRUM).all()
    behind, in_front = filled[4, 4, 15], filled[4, 20, 15]
    assert (behind, in_front) == (BACKGROUND | CANAL, BACKGROUND)


def test_where_the_canal_is_labelled_its_border_is_the_labels() -> None:
    allowed = everything_open() | np.uint8(CANAL)
    allowed[:, :, 30:40] &= ~np.uint8(CANAL)
    filled = filled_in(allowed, answer(canal=(slice(0, 30), 0.95)))
    assert (filled[4, 6:18, 31] == BACKGROUND).all()


def test_a_patch_of_a_teacher_lies_at_every_labelled_height() -> None:
    centres = np.stack([np.full(200, 3.0), np.linspace(10, 14, 200), np.linspace(5, 195, 200)], axis=1)
    starts = selftraining._along_spine(centres, (8, 30, 200), (16, 32, 64))
    covered = np.zeros(200, dtype=bool)
    for _, _, z in starts:
        covered[max(0, z) : z + 64] = True
    assert covered.all()
    assert len({start[2] for start in starts}) == len(starts)

"""Dice of classes where labels leave some open."""

from __future__ import annotations

import numpy as np

from cascade.evaluation.classes import dice_where_known

CLASSES = ("background", "body", "disc")


def test_open_voxels_do_not_count() -> None:
    prediction = np.array([0, 1, 1, 2, 2, 1])
    allowed = np.array([1, 2, 2, 4, 1 | 4, 1 | 2], dtype=np.uint8)
    assert dice_where_known(prediction, allowed, CLASSES) == {"body": 1.0, "disc": 1.0}


def test_known_background_that_is_taken_for_a_class_counts() -> None:
    assert dice_where_known(np.array([1, 1]), np.array([1, 2], dtype=np.uint8), CLASSES) == {"body": 2 / 3}


def test_a_class_that_is_known_nowhere_has_no_score_and_one_that_is_missed_has_zero() -> None:
    assert dice_where_known(np.array([0, 0]), np.array([2, 1 | 4], dtype=np.uint8), CLASSES) == {"body": 0.0}

"""Painting works near the named instances only, and nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.labels import VERSE
from cascade.postproc.instances import Instance, InstanceMap
from cascade.postproc.paint import paint
from cascade.volume import Grid

CLASSES = ("background", "body", "disc")
SHAPE = (11, 23, 29)


def instance(value: int, kind: str) -> Instance:
    return Instance(kind, value, (0.0, 0.0, 0.0), 0.0, 0.0, 1.0, 0.0, 1.0, 1.0)


def padded(array: np.ndarray, room: tuple[int, int, int], fill: float = 0.0) -> np.ndarray:
    return np.pad(array, [(n, n) for n in room], constant_values=fill)


def painted(room: tuple[int, int, int], low: int, names: dict[int, str]) -> np.ndarray:
    """Two instances, the lower at row `low`, on a grid that has `room` of background around it."""
    values = np.zeros(SHAPE, dtype=np.int32)
    values[3:8, 8:15, low : low + 7] = 1
    values[3:8, 8:15, low + 7 : low + 10] = 2
    noise = np.random.default_rng(0).uniform(0.3, 0.7, SHAPE).astype(np.float32)
    body, disc = np.where(values == 1, noise + 0.25, noise / 4), np.where(values == 2, noise + 0.25, noise / 4)
    classes = [1 - np.maximum(body, disc), body, disc]
    probabilities = np.stack([padded(p, room, fill) for p, fill in zip(classes, (1.0, 0.0, 0.0), strict=True)]).astype(np.float32)
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = -np.array(room) * (2.0, 1.0, 1.0)
    grid = Grid((SHAPE[0] + 2 * room[0], SHAPE[1] + 2 * room[1], SHAPE[2] + 2 * room[2]), affine)
    target = Grid((17, 41, 53), np.array([[1.4, 0, 0, -0.3], [0, 0.7, 0, -2.1], [0, 0, 0.6, -0.8], [0, 0, 0, 1]]))
    found = InstanceMap(padded(values, room).astype(np.int32), (instance(1, "body"), instance(2, "disc")))
    return paint(probabilities, CLASSES, grid, found, names, target=target, scheme=VERSE).data


@pytest.mark.parametrize("low", [5, 10])
def test_more_background_around_it_changes_nothing(low: int) -> None:
    names = {1: "L4", 2: "L3-L4"}
    labels = painted((0, 0, 0), low, names)
    assert set(np.unique(labels)) == {0, VERSE["L4"], VERSE["L3-L4"]}
    assert np.array_equal(labels, painted((4, 9, 13), low, names))


def test_without_names_nothing_is_painted() -> None:
    assert not painted((0, 0, 0), 5, {}).any()

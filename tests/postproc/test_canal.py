"""The canal is one tube, painted where nothing else is, and no name depends on it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from cascade.labels import CANAL, CASCADE, CASCADE_EXTENDED, VERSE
from cascade.postproc.canal import canal_tube
from cascade.postproc.instances import Instance, InstanceMap
from cascade.postproc.paint import paint
from cascade.volume import Grid

CLASSES = ("background", "body", "disc", "sacrum", "canal")
SHAPE = (13, 29, 83)
GRID = Grid(SHAPE, np.diag([2.0, 1.0, 1.0, 1.0]))


def probabilities(narrow: slice = slice(0, 0), narrow_p: float = 0.3, stray: bool = False) -> np.ndarray:
    """A canal from end to end behind a body; less probable in the rows of a stenosis, with something like it elsewhere."""
    canal = np.zeros(SHAPE, dtype=np.float32)
    canal[4:9, 4:11, :] = 0.9
    canal[:, :, narrow] *= narrow_p / 0.9
    if stray:
        canal[4:9, 20:26, 40:50] = 0.9
    body = np.zeros(SHAPE, dtype=np.float32)
    body[3:10, 12:19, 30:50] = 0.9
    return np.stack([1 - canal - body, body, 0 * body, 0 * body, canal])


def tube(p: np.ndarray) -> np.ndarray:
    return canal_tube(p[4], p.argmax(axis=0).astype(np.uint8), 4, GRID)


def test_the_tube_goes_from_end_to_end_of_the_view() -> None:
    found = tube(probabilities())
    assert found.any(axis=(0, 1)).all()
    assert np.array_equal(found, probabilities()[4] > 0.5)


def test_a_stenosis_does_not_end_it() -> None:
    found = tube(probabilities(narrow=slice(38, 46)))
    assert found.any(axis=(0, 1)).all()
    assert ndimage.label(found)[1] == 1


def test_where_no_canal_is_possible_the_longer_part_stays() -> None:
    found = tube(probabilities(narrow=slice(20, 28), narrow_p=0.0))
    assert not found[:, :, :28].any()
    assert found[:, :, 28:].any(axis=(0, 1)).all()


def test_what_looks_like_it_elsewhere_is_left_out() -> None:
    assert np.array_equal(tube(probabilities(stray=True)), tube(probabilities()))


def test_crumbs_are_no_canal() -> None:
    p = probabilities()
    p[4, :, :, 5:] = 0
    assert not tube(p).any()


def painted(p: np.ndarray, target: Grid = GRID, scheme=VERSE, classes=CLASSES) -> np.ndarray:  # type: ignore[no-untyped-def]
    values = (p[1] > 0.5).astype(np.int32)
    found = InstanceMap(values, (Instance("body", 1, (0.0, 0.0, 0.0), 0.0, 0.0, 1.0, 0.0, 1.0, 1.0),))
    return paint(p[: len(classes)], classes, GRID, found, {1: "L4"}, target=target, scheme=scheme).data


@pytest.mark.parametrize("scheme", [VERSE, CASCADE_EXTENDED], ids=lambda s: s.name)
def test_it_is_painted_on_the_scans_grid_in_one_piece(scheme) -> None:  # type: ignore[no-untyped-def]
    target = Grid((17, 41, 101), np.array([[1.4, 0, 0, 0.3], [0, 0.7, 0, 0.2], [0, 0, 0.8, 0.4], [0, 0, 0, 1]]))
    labels = painted(probabilities(narrow=slice(38, 41), stray=True), target, scheme)
    canal = labels == scheme[CANAL]
    assert canal.any(axis=(0, 1)).all()
    assert ndimage.label(canal, structure=np.ones((3, 3, 3)))[1] == 1
    assert (labels == scheme["L4"]).any()


def test_it_takes_nothing_from_bodies() -> None:
    p = probabilities()
    assert np.array_equal(painted(p) == VERSE["L4"], painted(p[:4], classes=CLASSES[:4]) == VERSE["L4"])


def test_a_scheme_without_a_number_for_it_leaves_it_out() -> None:
    assert set(np.unique(painted(probabilities(), scheme=CASCADE))) == {0, CASCADE["L4"]}

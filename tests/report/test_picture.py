"""The picture: the right size, levels in colour, names written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cascade.errors import OutputError
from cascade.labels import VERSE, disc_below, is_disc
from cascade.report.picture import curved_sagittal, draw, save_picture
from cascade.terminology import colour_of
from cascade.volume import LabelMap, Volume

Coded = tuple[Volume, LabelMap]


@pytest.fixture(scope="module")
def line_mm(coded: Coded) -> np.ndarray:
    labels = coded[1]
    bodies = ("T12", "L1", "L2", "L3", "L4", "L5", "sacrum")
    return np.array([labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0)) for name in bodies])


def test_the_picture_is_a_png_of_two_cuts_side_by_side(coded: Coded, line_mm: np.ndarray, tmp_path: Path) -> None:
    save_picture(*coded, line_mm, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == "PNG"
        width, height = picture.size
    assert width == pytest.approx(2 * 112 * 1.9 / 0.6, abs=4)
    assert height == pytest.approx(162 * 1.9 / 0.6, abs=3)


def test_left_is_grey_and_right_shows_every_level_in_its_colour(coded: Coded, line_mm: np.ndarray) -> None:
    pixels = np.asarray(draw(*coded, line_mm))
    left, right = np.split(pixels, 2, axis=1)
    assert np.array_equal(left[..., 0], left[..., 1])
    assert np.array_equal(left[..., 1], left[..., 2])
    for name in ("L1", "L2", "L3", "L4", "L1-L2"):
        assert (right == colour_of(name)).all(axis=-1).sum() > 20, name


def test_another_segmentation_is_drawn_beside_the_first_as_it_would_be_alone(coded: Coded, line_mm: np.ndarray) -> None:
    scan, labels = coded
    other = LabelMap(np.where(labels["L3"], 0, labels.data), labels.grid, labels.scheme)
    plain, first, second = np.split(np.asarray(draw(scan, labels, line_mm, other)), 3, axis=1)
    assert np.array_equal(np.hstack([plain, first]), np.asarray(draw(scan, labels, line_mm)))
    assert np.array_equal(np.hstack([plain, second]), np.asarray(draw(scan, other, line_mm)))


def test_names_are_written(coded: Coded, line_mm: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    named = np.asarray(draw(*coded, line_mm)).astype(int)
    texts: list[str] = []
    monkeypatch.setattr("PIL.ImageDraw.ImageDraw.text", lambda _, __, text, **___: texts.append(text))
    written = (named != np.asarray(draw(*coded, line_mm))).any(axis=-1)
    assert {"L1", "L5", "L4/L5", "S1"} <= set(texts)
    assert written.sum() > 500
    assert not written[:, : written.shape[1] // 2].any()


def test_the_cut_follows_the_column_sideways(coded: Coded, line_mm: np.ndarray) -> None:
    image, numbers = curved_sagittal(*coded, line_mm)
    assert image.shape == numbers.shape
    assert {VERSE[name] for name in ("L1", "L3", "L5", "L4-L5")} <= set(np.unique(numbers))
    rows = {name: np.argwhere(numbers == VERSE[name])[:, 0].mean() for name in ("L1", "L3", "L5")}
    assert rows["L1"] < rows["L3"] < rows["L5"]
    canal, body = (np.argwhere(numbers == VERSE[name])[:, 1].mean() for name in ("canal", "L3"))
    assert body < canal


def test_storage_order_does_not_change_the_picture(coded: Coded, line_mm: np.ndarray) -> None:
    scan, labels = coded
    other = draw(scan.reoriented("PIR"), labels.reoriented("PIR"), line_mm)
    assert np.array_equal(np.asarray(other), np.asarray(draw(scan, labels, line_mm)))


def test_neighbours_have_different_colours() -> None:
    bodies = [f"L{n}" for n in range(1, 6)]
    assert all(colour_of(a) != colour_of(b) for a, b in zip(bodies, bodies[1:], strict=False))  # noqa: RUF007
    assert all(colour_of(body) != colour_of(disc_below(body)) for body in bodies)
    assert is_disc(disc_below("L1"))


def test_a_picture_that_cannot_be_written_leaves_nothing(coded: Coded, line_mm: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write here"):
        save_picture(*coded, line_mm, tmp_path / "file" / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

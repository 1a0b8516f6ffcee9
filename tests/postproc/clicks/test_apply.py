"""Clicks: what each kind does, and that no click breaks what holds for every result."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import CascadeError, NoSpineError, NumberingError
from cascade.labels import VERSE, is_disc
from cascade.postproc.clicks.apply import identify_with_clicks
from cascade.postproc.clicks.click import WORDS, Click
from cascade.postproc.identify import Identified
from cascade.postproc.naming import Numbering
from cascade.postproc.paint import paint
from cascade.stage2_levels.target import CLASSES
from cascade.volume import LabelMap, Volume, box_between
from tests.postproc.test_guarantees import (
    columns,
    every_disc_lies_between_its_vertebrae,
    names_are_strictly_ordered,
    one_component_per_name,
    painted_labels_are_ordered,
)
from tests.synthetic import BACKGROUND, BODY, SACRAL, Blob, Column, as_probabilities, evidence_of, identified

Point = tuple[float, float, float]


def corrected(column: Column, *clicks: Click, **options: Any) -> tuple[Identified, LabelMap]:
    """Name a column with clicks, and paint it."""
    evidence = evidence_of(column, options.pop("probabilities", None))
    scan = Volume((100.0 * column.classes()).astype(np.float32), column.grid)  # every tissue has a grey of its own
    found, evidence = identify_with_clicks(evidence, scan, clicks, **options)
    names = {value: name for value, name in found.names.items() if name in VERSE}
    return found, paint(evidence.probabilities, CLASSES, column.grid, found.instances, names, target=column.grid, scheme=VERSE)


def centre(found: Identified, name: str) -> Point:
    return found.structures[name].centroid_mm


def at_height(column: Column, z: float, aside: Point = (0.0, 0.0, 0.0)) -> Point:
    """A point in the middle of the column at a height."""
    x, y = column.path(np.array(z))
    return float(x) + aside[0], float(y) + aside[1], z + aside[2]


def bodies(found: Identified) -> list[str]:
    return [name for name in found.structures if not is_disc(name)]


# ---------------------------------------------------------------------------------------------- guarantees

POSITIONS = st.tuples(st.floats(-25, 25), st.floats(-30, 30), st.floats(-130, 130))
STRUCTURES = st.sampled_from(["L1", "L3", "L5", "L2-L3", "L4-L5", "sacrum", *WORDS])
CLICKS = st.lists(st.builds(Click, POSITIONS, STRUCTURES), min_size=1, max_size=3)


@given(columns(fewest=3), CLICKS)
def test_whatever_is_clicked_the_guarantees_hold_or_there_is_a_clear_error(column: Column, clicks: list[Click]) -> None:
    try:
        found, labels = corrected(column, *clicks)
    except (NumberingError, NoSpineError):
        return
    names_are_strictly_ordered(found)
    every_disc_lies_between_its_vertebrae(found)
    one_component_per_name(labels, found)
    painted_labels_are_ordered(labels)
    names = [(click, found.names.get(int(found.instances.values[voxel(column, click)]))) for click in clicks]
    assert [(click, name) for click, name in names if click.structure == "background" and name] == []
    levels = [(click.structure.split("-")[0], str(name).split("-")[0]) for click, name in names if click.is_level]
    assert [(asked, given) for asked, given in levels if asked != given] == []


def voxel(column: Column, click: Click) -> tuple[int, ...]:
    """The voxel of a column's grid that was clicked."""
    return tuple(np.rint(column.grid.to_voxels(click.position_mm)).astype(int).tolist())


@given(columns(faults=False, fewest=3), st.data())
def test_a_click_that_says_what_was_found_changes_nothing(column: Column, data: st.DataObject) -> None:
    found = identified(column)
    name = data.draw(st.sampled_from(sorted(found.structures)))
    again, labels = corrected(column, Click(centre(found, name), name))
    plain = paint(column.probabilities(), CLASSES, column.grid, found.instances, found.names, target=column.grid, scheme=VERSE)
    assert list(again.structures) == list(found.structures)
    assert np.array_equal(labels.data, plain.data)


@given(columns(faults=False, fewest=3), st.lists(st.builds(Click, POSITIONS, STRUCTURES), min_size=2, max_size=3))
def test_the_order_of_clicks_does_not_matter_but_for_pairs(column: Column, clicks: list[Click]) -> None:
    clicks = [click for click in clicks if click.structure != "join"]
    outcomes = []
    for order in (clicks, clicks[::-1]):
        try:
            outcomes.append(corrected(column, *order)[1].data.tobytes())
        except CascadeError:
            outcomes.append(b"error")
    assert outcomes[0] == outcomes[1]


# ---------------------------------------------------------------------------------------------- names


def test_a_name_inside_a_body_renames_all_of_them() -> None:
    column = Column(sacrum=False)
    before = identified(column)
    found, _ = corrected(column, Click(centre(before, "L4"), "L3"))
    assert bodies(before) == ["T12", "L1", "L2", "L3", "L4", "L5"]
    assert bodies(found) == ["T11", "T12", "L1", "L2", "L3", "L4"]


def test_the_name_of_a_disc_renames_as_well_also_of_one_above_the_first_body() -> None:
    column = Column(sacrum=False, missing_bodies=frozenset({0}))
    before = identified(column)
    assert next(iter(before.structures)) == "T12-L1"
    for name in ("T12-L1", "L2-L3"):
        wanted = {"T12-L1": "T11-T12", "L2-L3": "L1-L2"}[name]
        found, _ = corrected(column, Click(centre(before, name), wanted))
        assert bodies(found) == ["T12", "L1", "L2", "L3", "L4"]


def test_names_that_contradict_each_other_are_an_error_that_says_what_was_found() -> None:
    column = Column()
    before = identified(column)
    with pytest.raises(NumberingError, match=r"expected levels that agree with .* is L1; .* is L5"):
        corrected(column, Click(centre(before, "L2"), "L5"), Click(centre(before, "L4"), "L1"))
    with pytest.raises(NumberingError, match=r"one name for body 5 .* found L2 and L4|found L4 and L2"):
        corrected(column, Click(centre(before, "L4"), "L2"), Click(centre(before, "L4-L5"), "L4-L5"))
    with pytest.raises(NumberingError, match=r"found the clicks L4 at .* and disc at .* in one voxel"):
        corrected(column, Click(centre(before, "L4"), "L4"), Click(centre(before, "L4"), "disc"))
    with pytest.raises(NumberingError, match="lowest T12"):
        corrected(column, Click(centre(before, "L3"), "L3"), numbering=Numbering(lowest="T12"))


def test_a_click_outside_is_an_error_that_says_what_is_inside() -> None:
    with pytest.raises(NumberingError, match=r"the click L3 at \(900.0, 0.0, 0.0\) mm in the part of the scan .* it lies outside"):
        corrected(Column(), Click((900.0, 0.0, 0.0), "L3"))


# ---------------------------------------------------------------------------------------------- pieces


def test_a_split_cuts_where_it_is_clicked() -> None:
    column = Column(heights_mm=(26.0,) * 4, gaps_mm=(8.0,) * 4, fused_gaps=frozenset({1}))
    middle = column.top_mm - (26 + 8 + 26 + 4)
    found, _ = corrected(column, Click(at_height(column, middle), "split"))
    assert bodies(found) == ["L2", "L3", "L4", "L5", "sacrum"]
    ends = found.structures["L3"].end_mm, found.structures["L4"].start_mm
    where = found.structures["L2"].start_mm + 26 + 8 + 26 + 4
    assert abs(np.mean(ends) - where) < 6.0


def test_two_names_in_one_body_are_two_bodies() -> None:
    column = Column(heights_mm=(20.0, 20.0, 33.0, 33.0), gaps_mm=(6.0,) * 4, fused_gaps=frozenset({0}))
    top = column.top_mm
    clicks = Click(at_height(column, top - 10), "L2"), Click(at_height(column, top - 36), "L3")
    found, _ = corrected(column, *clicks)
    assert bodies(found) == ["L2", "L3", "L4", "L5", "sacrum"]


@pytest.mark.parametrize("apart_mm", [3.0, 6.0, 9.0, 12.0])
def test_two_names_close_together_in_one_body_are_two_bodies(apart_mm: float) -> None:
    column = Column(heights_mm=(21.0, 21.0, 33.0, 33.0), gaps_mm=(6.0,) * 4, fused_gaps=frozenset({0}), sway_mm=(0.0, 0.0))
    between = column.top_mm - 25.5
    clicks = [Click(at_height(column, between + side * apart_mm / 2), name) for side, name in ((1, "L2"), (-1, "L3"))]
    found, _ = corrected(column, *clicks)
    assert bodies(found) == ["L2", "L3", "L4", "L5", "sacrum"]


def test_a_split_needs_a_body_and_leaves_two() -> None:
    column = Column()
    with pytest.raises(NumberingError, match=r"expected a vertebral body to split at the click split at .*; found disc there"):
        corrected(column, Click(centre(identified(column), "L3-L4"), "split"))
    with pytest.raises(NumberingError, match="expected a vertebral body to split"):
        corrected(column, Click((40.0, 40.0, 0.0), "split"))


@pytest.mark.parametrize("words", [("join", "join"), ("L4", "L4")])
def test_two_pieces_are_joined_by_clicks(words: tuple[str, str]) -> None:
    column = Column(heights_mm=(26.0,) * 6, gaps_mm=(8.0,) * 6)
    classes = column.classes()
    middle = column.top_mm - 4 * 34 - 13
    rows = np.rint(column.grid.to_voxels([(0, 0, middle + 4), (0, 0, middle - 4)]))[:, 2].astype(int)
    inside = classes[:, :, rows[1] : rows[0]] == BODY
    classes[:, :, rows[1] : rows[0]][inside] = BACKGROUND
    halved = as_probabilities(classes)
    assert len(bodies(corrected(column, Click(at_height(column, middle + 9), "body"), probabilities=halved)[0])) == 8
    clicks = [Click(at_height(column, middle + up), word) for up, word in zip((9, -9), words, strict=True)]
    found, labels = corrected(column, *clicks, probabilities=halved)
    assert bodies(found) == ["T12", "L1", "L2", "L3", "L4", "L5", "sacrum"]
    whole = corrected(column, Click(centre(identified(column), "L3"), "L3"))[1]
    assert labels["L4"].sum() > 0.95 * whole["L4"].sum()


def test_two_pieces_are_joined_in_a_single_slice() -> None:
    column = Column(heights_mm=(26.0,) * 6, gaps_mm=(8.0,) * 6, sway_mm=(0.0, 0.0))
    classes, middle = column.classes(), column.top_mm - 4 * 34 - 13
    row = round(column.grid.to_voxels((0, 0, middle))[2])
    classes[:, :, row - 1 : row + 2] = BACKGROUND
    one = box_between((9, 0, 0), (10, *classes.shape[1:]))
    evidence = dataclasses.replace(evidence_of(column), probabilities=as_probabilities(classes[one]), grid=column.grid.cropped(one))
    pieces = [Click(at_height(column, middle + up), "join") for up in (9, -9)]
    found, _ = identify_with_clicks(evidence, Volume(100.0 * classes[one].astype(np.float32), evidence.grid), pieces)
    assert bodies(found) == ["T12", "L1", "L2", "L3", "L4", "L5", "sacrum"]


def test_what_is_not_a_pair_of_neighbours_is_not_joined() -> None:
    column = Column()
    found = identified(column)
    with pytest.raises(NumberingError, match=r"in pairs; found join at .* without another"):
        corrected(column, Click(centre(found, "L3"), "join"))
    with pytest.raises(NumberingError, match=r"expected neighbours at the clicks .*; found another body between them"):
        corrected(column, Click(centre(found, "L2"), "L3"), Click(centre(found, "L4"), "L3"))
    with pytest.raises(NumberingError, match="found body and disc"):
        corrected(column, Click(centre(found, "L2"), "join"), Click(centre(found, "L2-L3"), "join"))
    with pytest.raises(NumberingError, match="found none there"):
        corrected(column, Click(centre(found, "L2"), "join"), Click((40.0, 40.0, 0.0), "join"))


def test_clicks_that_hit_nothing_are_told_and_change_nothing() -> None:
    column = Column()
    before = identified(column)
    x, y, z = centre(before, "L3")
    for clicks, text in (
        ([Click((40.0, 40.0, 0.0), "background")], "removes nothing: no structure was found there"),
        ([Click((x, y, z), "join"), Click((x, y, z + 4), "join")], "join nothing: both lie in one piece"),
    ):
        found, _ = corrected(column, *clicks)
        assert list(found.structures) == list(before.structures)
        (told,) = [notice for notice in found.notices if notice.code == "click-without-effect"]
        assert text in told.text


@pytest.mark.parametrize("words", [("background",), ("L3",), ("body",)])
def test_clicks_that_hit_something_are_not_told(words: tuple[str, ...]) -> None:
    column = Column()
    found, _ = corrected(column, *(Click(centre(identified(column), "L3-L4" if word == "background" else "L3"), word) for word in words))
    assert "click-without-effect" not in {notice.code for notice in found.notices}


# ---------------------------------------------------------------------------------------------- components and voxels


def test_background_well_inside_a_component_removes_it() -> None:
    column = Column(sacrum=False, missing_discs=frozenset({5}))
    before = identified(column)
    found, labels = corrected(column, Click(centre(before, "L5"), "background"), Click(centre(before, "L4"), "L5"))
    assert bodies(found) == ["L1", "L2", "L3", "L4", "L5"]
    x, y, z = np.rint(column.grid.to_voxels(centre(before, "L5"))).astype(int)
    assert labels.data[x, y, z] == 0


def test_background_near_the_edge_takes_only_what_is_near() -> None:
    ledge = Blob(BODY, (24.0, 0.0, 0.0), 9.0)
    column = Column(sway_mm=(0.0, 0.0), blobs=(ledge,))
    clean = Column(sway_mm=(0.0, 0.0))
    before = identified(column)
    name = min(bodies(before), key=lambda n: abs(centre(before, n)[2]))
    found, labels = corrected(column, Click((27.0, 0.0, 0.0), "background"))
    assert list(found.structures) == list(before.structures)
    plain = corrected(column, Click(centre(before, name), name))[1]
    reference = corrected(clean, Click(centre(identified(clean), name), name))[1][name]
    assert (labels[name] ^ reference).sum() < (plain[name] ^ reference).sum()


def test_background_beside_the_middle_of_a_thin_disc_does_not_remove_it() -> None:
    column = Column(sway_mm=(0.0, 0.0))
    before = identified(column)
    x, y, z = centre(before, "L3-L4")
    found, _ = corrected(column, Click((x, y + 8.0, z), "background"))
    assert list(found.structures) == list(before.structures)
    found, _ = corrected(column, Click((x, y, z), "background"))
    assert "L3-L4" not in found.structures


def test_the_sacrum_taken_for_a_body_is_put_right_and_the_names_follow() -> None:
    column = Column()
    classes = column.classes()
    classes[classes == SACRAL] = BODY
    wrong = as_probabilities(classes)
    before, _ = corrected(column, Click(at_height(column, column.top_mm - 10), "body"), probabilities=wrong)
    last = list(before.structures.values())[-1]
    found, _ = corrected(column, Click(last.centroid_mm, "sacrum"), probabilities=wrong)
    assert bodies(found) == ["T12", "L1", "L2", "L3", "L4", "L5", "sacrum"]


@pytest.mark.parametrize("kind", ["body", "disc"])
def test_a_missed_structure_grows_from_what_the_network_saw(kind: str) -> None:
    column = Column(heights_mm=(26.0,) * 6, gaps_mm=(8.0,) * 6, sway_mm=(0.0, 0.0))
    channel = CLASSES.index(kind)
    whole, probabilities = identified(column), column.probabilities()
    name = "L3" if kind == "body" else "L3-L4"
    mask = whole.instances.values == whole.structures[name].value
    probabilities[:, mask] = 0.02
    probabilities[channel, mask], probabilities[0, mask] = 0.2, 0.76
    found, labels = corrected(column, Click(centre(whole, name), name), probabilities=probabilities)
    assert list(found.structures) == list(whole.structures)
    overlap = (labels[name] & mask).sum()
    assert 2 * overlap / (labels[name].sum() + mask.sum()) > 0.9


def test_a_missed_structure_that_the_network_did_not_see_at_all_is_at_least_where_it_was_clicked() -> None:
    column = Column(sway_mm=(0.0, 0.0), missing_discs=frozenset({3}))
    gap = column.top_mm - sum(column.heights_mm[:4]) - sum(column.gaps_mm[:3]) - 4.0
    found, labels = corrected(column, Click((0.0, 0.0, gap), "disc"))
    x, y, z = np.rint(column.grid.to_voxels((0.0, 0.0, gap))).astype(int)
    name = found.names[int(found.instances.values[x, y, z])]
    assert is_disc(name)
    assert labels[name][x, y, z]


def test_a_click_beside_a_structure_of_its_name_extends_that_structure() -> None:
    column = Column(heights_mm=(26.0,) * 6, gaps_mm=(12.0,) * 6, sway_mm=(0.0, 0.0))
    whole, probabilities = identified(column), column.probabilities()
    mask = whole.instances.values == whole.structures["L3-L4"].value
    behind = np.argwhere(mask)[column.grid.to_world(np.argwhere(mask))[:, 1] < 1.0]
    lost = tuple(behind.T)
    probabilities[:, lost[0], lost[1], lost[2]] = np.array([0.997, 0.001, 0.001, 0.001, 0.0])[:, None]
    x, y, z = centre(whole, "L3-L4")
    found, labels = corrected(column, Click((x, y - 12.0, z), "L3-L4"), probabilities=probabilities)
    before = corrected(column, Click(centre(whole, "L3"), "L3"), probabilities=probabilities)[1]
    assert list(found.structures) == list(whole.structures)
    assert (before["L3-L4"] & ~labels["L3-L4"]).sum() == 0
    assert labels["L3-L4"].sum() > before["L3-L4"].sum()
    assert labels["L3-L4"][tuple(np.rint(column.grid.to_voxels((x, y - 12.0, z))).astype(int))]


def test_far_from_the_clicks_no_voxel_changes() -> None:
    column = Column(blobs=(Blob(BODY, (24.0, 0.0, 0.0), 9.0),), sway_mm=(0.0, 0.0))
    before = identified(column)
    plain = corrected(column, Click(centre(before, "L3"), "L3"))[1]
    labels = corrected(column, Click((27.0, 0.0, 0.0), "background"))[1]
    rows = np.abs(column.grid.to_world(np.argwhere(labels.data != plain.data)) - (27.0, 0.0, 0.0))
    assert len(rows)
    assert np.linalg.norm(rows, axis=1).max() < 20.0

"""What holds for every spine, however it bends and whatever the networks got wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage

from cascade.errors import NoSpineError
from cascade.labels import BODIES, SACRUM, VERSE, in_order, is_disc, rank
from cascade.postproc.identify import Identified, identify
from cascade.postproc.paint import paint
from cascade.stage2_levels.target import CLASSES
from cascade.volume import LabelMap
from tests.synthetic import BODY, DISC, SACRAL, WAVE_MM, Blob, Column, as_probabilities, evidence_of, identified, painted, turned


@st.composite
def columns(draw: st.DrawFn, faults: bool = True, fewest: int = 1) -> Column:
    count = draw(st.integers(fewest, 9))
    indices = st.frozensets(st.integers(0, count - 1), max_size=2) if faults else st.just(frozenset())
    blob = st.builds(
        Blob,
        st.sampled_from([BODY, DISC, SACRAL]),
        st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(-150, 150)),
        st.floats(4.0, 16.0),
    )
    return Column(
        heights_mm=tuple(draw(st.lists(st.floats(20.0, 32.0), min_size=count, max_size=count))),
        gaps_mm=tuple(draw(st.lists(st.floats(5.0, 13.0), min_size=count, max_size=count))),
        sway_mm=draw(st.tuples(st.floats(-16, 16), st.floats(-22, 22))),
        sacrum=draw(st.booleans()),
        missing_discs=draw(indices),
        missing_bodies=draw(indices),
        fused_gaps=draw(indices),
        halved_bodies=draw(indices),
        blobs=tuple(draw(st.lists(blob, max_size=3))) if faults else (),
        room_below_mm=draw(st.sampled_from([30.0, 60.0, 100.0])),
        radius_mm=draw(st.floats(13.0, 19.0)),
    )


def named(column: Column) -> Identified:
    """Name a column; skip the example where no body is left."""
    try:
        return identified(column)
    except NoSpineError:
        assume(False)
        raise


@given(columns())
def test_the_names_of_every_spine_keep_the_guarantees(column: Column) -> None:
    found = named(column)
    labels = painted(column, found)
    names_are_strictly_ordered(found)
    every_disc_lies_between_its_vertebrae(found)
    one_component_per_name(labels, found)
    painted_labels_are_ordered(labels)


def names_are_strictly_ordered(found: Identified) -> None:
    assert found.structures
    assert all(rank(a) < rank(b) for a, b in itertools.pairwise(found.structures))
    assert all(a.position_mm < b.position_mm for a, b in itertools.pairwise(found.structures.values()))


def every_disc_lies_between_its_vertebrae(found: Identified) -> None:
    for name in filter(is_disc, found.structures):
        disc = found.structures[name]
        above, below = name.replace("S1", SACRUM).split("-")
        if above in found.structures:
            assert found.structures[above].position_mm < disc.position_mm
        if below in found.structures:
            assert disc.position_mm < found.structures[below].position_mm


def one_component_per_name(labels: LabelMap, found: Identified) -> None:
    assert len({instance.value for instance in found.structures.values()}) == len(found.structures)
    for name in labels.structures:
        assert ndimage.label(labels[name], structure=np.ones((3, 3, 3)))[1] == 1, name
    assert set(in_order(labels.structures)) <= {VERSE.structure(VERSE[name]) for name in found.structures}


def painted_labels_are_ordered(labels: LabelMap) -> None:
    height = {name: ndimage.center_of_mass(labels[name])[2] for name in in_order(labels.structures)}
    assert all(height[a] > height[b] for a, b in itertools.pairwise(sorted(height, key=rank)))


@given(columns(), st.tuples(st.floats(1.5, 5.0), st.floats(1.5, 4.0), st.floats(1.5, 4.0)), st.tuples(*[st.floats(-8, 8)] * 3))
def test_the_output_grid_is_the_target_grid(
    column: Column, spacing: tuple[float, float, float], degrees: tuple[float, float, float]
) -> None:
    target = turned(column.grid.with_spacing(spacing), degrees)
    labels = painted(column, named(column), target)
    assert labels.grid is target
    assert labels.data.shape == target.shape
    assert labels.data.dtype == np.uint8


@given(columns(faults=False, fewest=3))
def test_naming_the_result_again_changes_nothing(column: Column) -> None:
    found = named(column)
    labels = painted(column, found)
    again, repeated = _from_labels(column, labels)
    assert list(again.structures) == list(found.structures)
    assert np.array_equal(repeated.data, labels.data)


@given(columns(fewest=3))
def test_cleaning_up_twice_is_cleaning_up_once(column: Column) -> None:
    try:
        _, once = _from_labels(column, painted(column, named(column)))
        _, twice = _from_labels(column, once)
    except NoSpineError:
        assume(False)
    assert np.array_equal(np.unique(once.data), np.unique(twice.data))
    assert np.array_equal(once.data, twice.data)


@given(columns(faults=False, fewest=2))
def test_a_whole_spine_above_a_sacrum_is_named_from_l5_up(column: Column) -> None:
    assume(column.sacrum)
    found = named(column)
    bodies = [name for name in found.structures if name in BODIES]
    usual = [b for b in BODIES if b not in ("T13", "L6")]
    assert bodies == usual[-len(column.heights_mm) :]
    assert [n for n in found.structures if is_disc(n)] == [f"{a}-{b}" for a, b in itertools.pairwise([*bodies, "S1"])]
    assert found.naming.variant == "usual"
    assert found.naming.confidence > 0.9


@given(columns(faults=False, fewest=4), st.data())
def test_a_missing_disc_moves_no_name(column: Column, data: st.DataObject) -> None:
    gap = data.draw(st.integers(0, len(column.heights_mm) - 2))
    faulty = Column(**{**vars(column), "missing_discs": frozenset({gap})})
    assert {name: _place(i) for name, i in named(faulty).structures.items() if not is_disc(name)} == {
        name: _place(i) for name, i in named(column).structures.items() if not is_disc(name)
    }
    assert "missing-disc" in {notice.code for notice in named(faulty).notices}


@given(columns(faults=False, fewest=5), st.data())
def test_a_missing_body_moves_no_other_name(column: Column, data: st.DataObject) -> None:
    lost = data.draw(st.integers(1, len(column.heights_mm) - 2))
    whole, faulty = named(column), named(Column(**{**vars(column), "missing_bodies": frozenset({lost})}))
    gone = [name for name in whole.structures if not is_disc(name)][lost]
    expected = {name: _place(i) for name, i in whole.structures.items() if not is_disc(name) and name != gone}
    assert {name: _place(i) for name, i in faulty.structures.items() if not is_disc(name)} == expected
    assert "missing-body" in {notice.code for notice in faulty.notices}


@given(columns(faults=False, fewest=5), st.data())
def test_a_missing_body_moves_no_disc(column: Column, data: st.DataObject) -> None:
    lost = data.draw(st.integers(1, len(column.heights_mm) - 2))
    whole, faulty = named(column), named(Column(**{**vars(column), "missing_bodies": frozenset({lost})}))
    discs = {name: _place(i) for name, i in whole.structures.items() if is_disc(name)}
    assert {name: _place(i) for name, i in faulty.structures.items() if is_disc(name)} == discs


@given(columns(faults=False, fewest=4), st.data())
def test_two_fused_bodies_are_cut_apart(column: Column, data: st.DataObject) -> None:
    assume(max(column.heights_mm) < 1.25 * min(column.heights_mm))
    gap = data.draw(st.integers(0, len(column.heights_mm) - 2))
    assume(column.gaps_mm[gap] <= 10.0)  # two tall bodies and a taller disc are as long as three low bodies
    fused_bodies_are_cut_apart(column, gap)


@pytest.mark.parametrize("radius_mm", [14.0, 19.0])
def test_two_fused_bodies_that_are_cut_off_the_middle_leave_no_room_for_a_third(radius_mm: float) -> None:
    column = Column((20.0,) * 5, (5.0, 8.0, 5.0, 5.0, 7.0), (11.0, 2.0), sacrum=False, radius_mm=radius_mm)
    fused_bodies_are_cut_apart(column, 2)


def fused_bodies_are_cut_apart(column: Column, gap: int) -> None:
    whole, faulty = named(column), named(Column(**{**vars(column), "fused_gaps": frozenset({gap})}))
    bodies = [name for name in whole.structures if not is_disc(name)]
    assert [name for name in faulty.structures if not is_disc(name)] == bodies
    for name in bodies:
        assert np.linalg.norm(np.subtract(faulty.structures[name].centroid_mm, whole.structures[name].centroid_mm)) < 10.0
    cut = {notice.level for notice in faulty.notices if notice.code == "body-split"}
    assert cut == {bodies[gap], bodies[gap + 1]}


@given(columns(faults=False, fewest=3), st.data())
def test_two_halves_of_one_body_are_one_level(column: Column, data: st.DataObject) -> None:
    half = data.draw(st.integers(0, len(column.heights_mm) - 1))
    whole, faulty = named(column), named(Column(**{**vars(column), "halved_bodies": frozenset({half})}))
    assert list(faulty.structures) == list(whole.structures)


@given(columns(faults=False, fewest=4), st.floats(0.0, 60.0), st.booleans())
def test_scoliosis_of_up_to_60_degrees_cobb_moves_no_name(column: Column, cobb_deg: float, left: bool) -> None:
    steepest = np.tan(np.radians(cobb_deg / 2)) * WAVE_MM * (-1 if left else 1)
    straight, bent = (Column(**{**vars(column), "sway_mm": (sway, 0.0)}) for sway in (0.0, float(steepest)))
    assert list(named(bent).structures) == list(named(straight).structures)


@given(columns(faults=False, fewest=3), st.sampled_from([BODY, DISC, SACRAL]), st.booleans())
def test_ghosts_away_from_the_spine_are_left_out(column: Column, kind: int, left: bool) -> None:
    straight = Column(**{**vars(column), "sway_mm": (0.0, 0.0)})
    ghost = Blob(kind, (-43.0 if left else 43.0, 43.0, 0.0), 12.0)
    whole, haunted = named(straight), named(Column(**{**vars(straight), "blobs": (ghost,)}))
    assert {n: i.centroid_mm for n, i in haunted.structures.items()} == {n: i.centroid_mm for n, i in whole.structures.items()}
    assert ("stray-component-removed", "note") in {(notice.code, notice.rank) for notice in haunted.notices}


@pytest.mark.parametrize("below_mm", [14.0, 16.0, 18.0])
def test_a_part_of_s1_that_was_taken_for_a_body_is_painted_as_sacrum(below_mm: float) -> None:
    spine = Column(sway_mm=(0.0, 0.0))
    part = Blob(BODY, (0.0, 0.0, spine.top_mm - spine.length_mm - below_mm), 11.0)
    mixed = Column(sway_mm=(0.0, 0.0), blobs=(part,))
    found = identified(mixed)
    assert list(found.structures) == list(identified(spine).structures)
    assert not found.notices
    np.testing.assert_array_equal(painted(mixed, found)["sacrum"], painted(spine, identified(spine))["sacrum"])


def test_nothing_at_all_is_a_clear_error() -> None:
    column = Column()
    empty = evidence_of(column, as_probabilities(np.zeros(column.grid.shape, np.uint8)))
    with pytest.raises(NoSpineError, match="no spine found: a column was located but no vertebral body in it"):
        identify(empty)


def test_discs_alone_are_a_clear_error() -> None:
    with pytest.raises(NoSpineError, match="no vertebral body"):
        identified(Column(missing_bodies=frozenset(range(6))))


def _place(instance: object) -> tuple[float, ...]:
    return tuple(np.round(instance.centroid_mm, 3))  # type: ignore[attr-defined]


def _from_labels(column: Column, labels: LabelMap) -> tuple[Identified, LabelMap]:
    """Take a result for what the networks said, and name it again."""
    classes = np.zeros(labels.grid.shape, np.uint8)
    for name in labels.structures:
        classes[labels[name]] = SACRAL if name == SACRUM else DISC if is_disc(name) else BODY
    evidence = evidence_of(column, as_probabilities(classes))
    found = identify(evidence)
    return found, paint(evidence.probabilities, CLASSES, evidence.grid, found.instances, found.names, target=evidence.grid, scheme=VERSE)

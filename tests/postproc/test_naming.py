"""Which sequence of names is chosen, how sure it is, and what the user's word does."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import NumberingError
from cascade.labels import BODIES, SACRUM, rank
from cascade.postproc.chain import Chain, Link, build_chain
from cascade.postproc.costs import end_cost, sacral_cost
from cascade.postproc.identify import identify
from cascade.postproc.instances import Instance
from cascade.postproc.naming import Naming, Numbering, anchored_links, name_chain
from cascade.postproc.parameters import CostParameters, NamingParameters
from cascade.postproc.s1_looks import S1Looks
from cascade.postproc.shape import MEASURED
from cascade.postproc.shape_model import FEATURES, LEVELS, S1, ShapeModel
from cascade.postproc.told import numbering_notices
from tests.synthetic import Column, evidence_of, identified

STEP = 34.0
NO_ROOM, ROOM = 5.0, 100.0


def instance(kind: str, value: int, position: float, length: float = 26.0, volume: float = 25_000.0, offset: float = 2.0) -> Instance:
    return Instance(kind, value, (0.0, 0.0, -position), position, position - length / 2, position + length / 2, offset, volume, 0.9)


def bodies(count: int, missing: tuple[int, ...] = ()) -> list[Instance]:
    return [instance("body", i + 1, i * STEP) for i in range(count) if i not in missing]


def discs(count: int) -> list[Instance]:
    return [instance("disc", 100 + i, (i + 0.5) * STEP, 8.0, 8000.0) for i in range(count)]


def sacrum_below(count: int) -> Instance:
    return instance("sacrum", 99, count * STEP, 26.0)


def chain_of(count: int, sacrum: bool = True) -> Chain:
    return build_chain([*bodies(count), *discs(count), *([sacrum_below(count)] if sacrum else [])])


def with_sacral_end(share: float, sacrum: bool = True, **cut: Any) -> Chain:
    """Six bodies (above a sacrum), in the lowest of which the network sees some of the sacrum."""
    chain = chain_of(6, sacrum)
    *others, last = chain.links
    end = Link(last.body and dataclasses.replace(last.body, sacral=share, **cut), last.disc)
    return dataclasses.replace(chain, links=(*others, end))


def named(chain: Chain, room_below_mm: float, **known: Any) -> Naming:
    """Name a chain with the same room below each of its links."""
    return name_chain(chain, [room_below_mm] * len(chain.links), **known)


def lowest(naming: Naming) -> str | None:
    return naming.names[-1]


class TestChoice:
    @pytest.mark.parametrize("count", range(1, 13))
    def test_above_a_sacrum_the_last_body_is_l5(self, count: int) -> None:
        naming = named(chain_of(count), ROOM)
        usual = [b for b in BODIES if b not in ("T13", "L6")]
        assert list(naming.names) == usual[-count:]
        assert naming.variant == "usual"

    def test_at_the_end_of_the_field_of_view_l5_is_likely_but_not_sure(self) -> None:
        naming = named(chain_of(5, sacrum=False), NO_ROOM)
        assert lowest(naming) == "L5"
        assert naming.confidence < 0.9
        assert naming.margin < 1.0

    def test_a_sacrum_makes_it_sure(self) -> None:
        assert named(chain_of(7), ROOM).confidence > 0.95

    def test_the_last_body_is_s1_if_the_network_half_thought_so(self) -> None:
        naming = named(with_sacral_end(0.08), ROOM)
        assert [name for name in naming.names if name and name != "sacrum"][-1] == "L5"
        assert naming.names[-1] in (None, "sacrum")

    def test_without_a_trace_of_the_sacrum_the_last_body_is_more_surely_l5(self) -> None:
        sure, less_sure = (named(with_sacral_end(share), ROOM) for share in (0.0, 0.024))
        assert sure.names == less_sure.names == ("T12", "L1", "L2", "L3", "L4", "L5")
        assert less_sure.second_best[-1] == "sacrum"
        assert sure.second_best[-1] == "L5"
        assert sure.margin > less_sure.margin

    def test_a_trace_more_of_the_sacrum_never_turns_the_names_at_once(self) -> None:
        names = ("T12", "L1", "L2", "L3", "L4", "sacrum")
        costs = [
            sacral_cost(with_sacral_end(1e-4 * step), names, len(names) - 1, CostParameters(), np.full(len(names), np.nan))
            for step in range(1001)
        ]
        assert costs[0] > costs[-1] == 0
        assert all(abs(more - less) < 0.2 for less, more in itertools.pairwise(costs))

    @given(st.floats(-8, 8), st.floats(-8, 8))
    def test_the_more_the_last_body_looks_like_s1_the_cheaper_it_is_to_call_it_so(self, one: float, other: float) -> None:
        chain, less, more = with_sacral_end(0.0), *sorted((one, other))
        gain = {}
        for odds in (less, more):
            looks = np.array([*[-5.0] * (len(chain.links) - 1), odds])
            l5, s1 = (
                sacral_cost(chain, names, len(names), CostParameters(), looks)
                for names in (("T12", "L1", "L2", "L3", "L4", "L5"), ("T12", "L1", "L2", "L3", "L4", "sacrum"))
            )
            gain[odds] = l5 - s1
        assert gain[more] >= gain[less]

    def test_names_of_a_sure_network_are_less_sure_where_the_last_body_looks_like_s1(self) -> None:
        parameters = NamingParameters(s1_looks=S1Looks((0.0, -1.0, 0.0), 0.0))
        margins = []
        for front_deg in (5.0, -5.0):
            shape = np.full((len(MEASURED), 6), np.nan)
            shape[len(FEATURES) :] = 0.0
            shape[len(FEATURES) + 1, -1] = front_deg
            naming = named(with_sacral_end(0.0), ROOM, shape=shape, parameters=parameters)
            assert lowest(naming) == "L5"
            margins.append(naming.margin)
        assert margins[0] > margins[1] + 2

    def test_how_s1_looks_counts_without_a_shape_model_too(self) -> None:
        evidence = evidence_of(Column(sacrum=False))
        unlike, like = (
            identify(dataclasses.replace(evidence, parameters=NamingParameters(s1_looks=S1Looks((0.0, 0.0, 0.0), nats)))).naming
            for nats in (-4.0, 4.0)
        )
        assert unlike.margin > like.margin + 1

    def test_a_body_between_two_discs_is_the_more_surely_a_vertebra(self) -> None:
        chain = with_sacral_end(0.017)  # the most that was seen in a true L5
        *others, last = chain.links
        without = dataclasses.replace(chain, links=(*others, Link(last.body, None)))
        assert named(chain, ROOM).names == named(without, ROOM).names
        assert named(chain, ROOM).margin > named(without, ROOM).margin + 3

    def test_of_a_body_that_the_field_of_view_cuts_the_network_is_less_sure(self) -> None:
        whole, cut = (named(with_sacral_end(0.08, sacrum=False, touches_border=at_end), NO_ROOM) for at_end in (False, True))
        assert whole.margin > cut.margin

    @given(st.floats(0, 1))
    def test_what_the_network_sees_in_a_sliver_at_the_end_says_nothing(self, share: float) -> None:
        sliver = {"touches_border": True, "volume_mm3": 9000.0}
        assert named(with_sacral_end(share, sacrum=False, **sliver), NO_ROOM) == named(with_sacral_end(0, sacrum=False, **sliver), NO_ROOM)

    @given(st.floats(0, 0.5))
    def test_what_the_network_half_thinks_of_all_bodies_changes_nothing(self, sacral: float) -> None:
        chain = chain_of(6)
        links = tuple(Link(link.body and dataclasses.replace(link.body, sacral=sacral), link.disc) for link in chain.links)
        assert named(dataclasses.replace(chain, links=links), ROOM) == named(chain, ROOM)

    @given(st.integers(1, 18), st.booleans(), st.floats(0, 200))
    def test_names_are_strictly_ordered_and_the_runner_up_differs(self, count: int, sacrum: bool, room: float) -> None:
        naming = named(chain_of(count, sacrum), room)
        names = [name for name in naming.names if name]
        assert len(naming.names) == count
        assert all(rank(a) < rank(b) for a, b in itertools.pairwise(names))
        assert naming.second_best != naming.names
        assert naming.margin >= 0
        # no rival of this margin leaves the best more
        assert 0 < naming.confidence <= 1 / (1 + np.exp(-naming.margin)) + 1e-9

    def test_a_missing_body_keeps_its_place(self) -> None:
        chain = build_chain([*bodies(6, missing=(3,)), sacrum_below(6)])
        naming = named(chain, ROOM)
        assert naming.names == ("T12", "L1", "L2", None, "L4", "L5")
        assert naming.sequence[3] == "L3"


class TestUser:
    @pytest.mark.parametrize("name", ["L3", "T12", "L5"])
    def test_the_lowest_level_is_believed(self, name: str) -> None:
        naming = named(chain_of(5, sacrum=False), NO_ROOM, numbering=Numbering(lowest=name))
        assert lowest(naming) == name

    def test_the_highest_level_is_believed(self) -> None:
        assert named(chain_of(5, sacrum=False), NO_ROOM, numbering=Numbering(highest="T11")).names[0] == "T11"

    @pytest.mark.parametrize(("count", "last"), [(4, "L4"), (5, "L5"), (6, "L6")])
    def test_the_count_is_believed(self, count: int, last: str) -> None:
        naming = named(chain_of(8), ROOM, numbering=Numbering(count=count))
        assert lowest(naming) == last
        assert naming.variant == {4: "four-lumbar", 5: "usual", 6: "six-lumbar"}[count]

    def test_an_anchor_is_believed(self) -> None:
        chain = chain_of(5, sacrum=False)
        numbering = Numbering({"L2": (0.0, 0.0, -2 * STEP)})
        links = anchored_links(chain, numbering, {"L2": chain.bodies[2].value})
        assert links == {2: "L2"}
        assert named(chain, NO_ROOM, numbering=numbering, anchored=links).names == ("T12", "L1", "L2", "L3", "L4")

    def test_a_disc_can_be_an_anchor(self) -> None:
        chain = chain_of(5, sacrum=False)
        assert anchored_links(chain, Numbering({"L2-L3": (0.0, 0.0, 0.0)}), {"L2-L3": 102}) == {2: "L2"}

    def test_an_anchor_beside_the_spine_is_refused(self) -> None:
        with pytest.raises(NumberingError, match=r"expected a body at the anchor L2=\(1, 2, 3\) mm; none was found there; move the point"):
            anchored_links(chain_of(5), Numbering({"L2": (1.0, 2.0, 3.0)}), {"L2": 0})

    def test_what_contradicts_itself_is_refused_with_what_was_found(self) -> None:
        with pytest.raises(NumberingError, match=r"lowest L5; highest L5; found 7 levels in a row, bodies at \(0, 0, -?0\)"):
            named(chain_of(7), ROOM, numbering=Numbering(lowest="L5", highest="L5"))

    def test_the_sacrum_can_be_an_anchor_and_holds_nothing_else(self) -> None:
        found = identified(Column())
        assert "sacrum" in found.structures
        evidence, point = evidence_of(Column()), found.structures["sacrum"].centroid_mm
        assert list(identify(evidence, Numbering({"sacrum": point})).structures) == list(found.structures)
        for name in ("L5", "L5-S1"):
            with pytest.raises(NumberingError, match=f"at the anchor {name}=.*; none was found there"):
                identify(evidence, Numbering({name: point}))

    @pytest.mark.parametrize("point", [(1, 2), (float("nan"), 0, 0), (0, float("inf"), 0), 3.0, "123"])
    def test_an_anchor_that_is_no_point_is_refused(self, point: Any) -> None:
        with pytest.raises(NumberingError, match=r"expected the anchor L5 as three numbers in mm"):
            Numbering({"L5": point})

    @pytest.mark.parametrize("name", ["L5-banana", "L5-", "L5-L3", "L5-L5", "Q-S1", "sacrum-L5"])
    def test_an_anchor_of_no_level_is_refused(self, name: str) -> None:
        with pytest.raises(NumberingError, match="expected a level such as"):
            Numbering({name: (0.0, 0.0, 0.0)})

    def test_levels_may_be_written_as_people_do(self) -> None:
        point = (0.0, 0.0, 0.0)
        told = Numbering({"l4/l5": point, "s1": point}, lowest=" l5", highest="t12")
        assert told == Numbering({"L4-L5": point, "sacrum": point}, lowest="L5", highest="T12")
        with pytest.raises(NumberingError, match="one anchor a level"):
            Numbering({"L5": point, "l5": point})

    @pytest.mark.parametrize("wrong", [{"lowest": "X1"}, {"highest": "L4/L5"}, {"count": 3}, {"anchors": {"Q": (0, 0, 0)}}, {"lowest": ""}])
    def test_what_is_no_level_is_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(NumberingError, match="expected"):
            Numbering(**wrong)  # type: ignore[arg-type]


class TestChain:
    def test_it_alternates_bodies_and_discs_and_ends_in_the_sacrum(self) -> None:
        chain = chain_of(5)
        assert [link.body.value for link in chain.links if link.body] == [1, 2, 3, 4, 5]
        assert [link.disc.value for link in chain.links if link.disc] == [100, 101, 102, 103, 104]
        assert chain.sacrum is not None
        assert chain.strays == ()

    @given(st.permutations([*bodies(6), *discs(6), sacrum_below(6)]))
    def test_the_order_of_the_instances_does_not_matter(self, instances: list[Instance]) -> None:
        assert build_chain(instances) == chain_of(6)

    def test_a_disc_above_the_first_body_is_kept(self) -> None:
        above = instance("disc", 77, -0.5 * STEP, 8.0, 8000.0)
        assert build_chain([above, *bodies(3), *discs(3)]).disc_above == above

    def test_two_discs_in_one_gap_leave_the_larger(self) -> None:
        small = instance("disc", 77, 0.3 * STEP, 1.0, 300.0)
        chain = build_chain([*bodies(3), *discs(3), small])
        assert chain.links[0].disc is not None
        assert chain.links[0].disc.value == 100
        assert small in chain.strays

    def test_pieces_at_one_height_are_one_body(self) -> None:
        piece = instance("body", 77, STEP + 3, 20.0, 4000.0, 12.0)
        chain = build_chain([*bodies(3), piece])
        assert len(chain.links) == 3
        assert dict(chain.merged) == {77: 2}
        assert chain.links[1].body is not None
        assert chain.links[1].body.volume_mm3 == 29_000.0

    def test_what_lies_off_the_centreline_is_a_stray(self) -> None:
        far = instance("body", 77, 1.5 * STEP, offset=40.0)
        assert build_chain([*bodies(3), far]).strays == (far,)

    def test_a_body_beside_the_sacrum_is_a_part_of_it(self) -> None:
        chain = build_chain([*bodies(6), instance("sacrum", 99, 4.5 * STEP, 26.0, 60_000.0)])
        assert len(chain.bodies) == 5
        assert [part.value for part in chain.sacral_parts] == [6]
        assert chain.strays == ()

    @pytest.mark.parametrize("kind", ["body", "sacrum"])
    def test_what_lies_further_below_the_sacrum_is_a_stray(self, kind: str) -> None:
        sacrum = instance("sacrum", 99, 5 * STEP, 26.0, 20_000.0)
        pelvis = instance(kind, 77, 7 * STEP, 26.0, 35_000.0)
        chain = build_chain([*bodies(5), sacrum, pelvis])
        assert (chain.sacrum, chain.sacral_parts, chain.strays) == (sacrum, (), (pelvis,))

    def test_a_disc_beside_a_missing_body_keeps_its_gap(self) -> None:
        chain = build_chain([*bodies(6, missing=(3,)), *discs(6)])
        assert [link.disc.value if link.disc else None for link in chain.links] == [100, 101, 102, 103, 104, 105]
        assert [link.body is None for link in chain.links] == [False, False, False, True, False, False]

    def test_nothing_makes_an_empty_chain(self) -> None:
        assert build_chain([]) == Chain(())
        assert build_chain(discs(3)).bodies == ()
        assert Chain((Link(None, None),)).bodies == ()


class TestShape:
    """Names from the shape of the spine alone; only the steps are measured here."""

    #: Tilts of the steps of S1 (there is none), L5-S1, L4-L5, ... T11-T12, then their lengths.
    TILTS = (0.0, 44, 20, 8, 0, -6, -10, -12)
    LENGTHS = (34.0, 34, 36, 35, 34, 32, 30, 28)

    @pytest.mark.parametrize("last", range(S1, 4))
    def test_a_spine_that_bends_like_another_level_is_named_so(self, last: int) -> None:
        costs = {place: self.model.cost(self.bent(last, 4), range(place + 3, place - 1, -1)) for place in range(S1, 4)}
        assert min(costs, key=lambda place: costs[place]) == last

    def test_without_a_sacrum_the_shape_decides(self) -> None:
        assert self.named_from_shape(self.bent(1, 4)).names == ("L1", "L2", "L3", "L4")

    def test_s1_taken_for_a_body_is_named_sacrum(self) -> None:
        naming = self.named_from_shape(self.bent(S1, 5))
        assert naming.names == ("L2", "L3", "L4", "L5", "sacrum")
        assert naming.variant == "s1-as-body"

    def test_a_spine_without_its_lowest_level_above_the_sacrum_has_four_lumbar_vertebrae(self) -> None:
        naming = self.named_from_shape(self.bent(1, 6), sacrum=True)
        assert lowest(naming) == "L4"
        assert naming.variant == "four-lumbar"

    def test_one_that_looks_a_little_more_so_than_not_keeps_the_usual_names_and_is_flagged(self) -> None:
        naming = self.named_from_shape(0.4 * self.bent(0, 6) + 0.6 * self.bent(1, 6), sacrum=True)
        assert lowest(naming) == "L5"
        assert naming.possible == "four-lumbar"
        assert naming.possible_names[-1] == "L4"

    @pytest.mark.parametrize(("count", "last"), [(4, "L4"), (5, "L5"), (6, "L6")])
    def test_s1_taken_for_a_body_is_named_sacrum_with_every_count(self, count: int, last: str) -> None:
        naming = self.named_from_shape(self.bent(S1, 6), sacrum=True, numbering=Numbering(count=count))
        assert naming.names[-2:] == (last, "sacrum")

    def test_a_small_ghost_in_the_pelvis_is_left_out(self) -> None:
        assert self.named_from_shape(self.with_a_ghost(), last_volume=2000.0).names == ("L1", "L2", "L3", "L4", "L5", None)

    def test_the_larger_a_ghost_the_less_sure_are_the_names(self) -> None:
        volumes = (2000.0, 10_000.0, 25_000.0)
        confidences = [self.named_from_shape(self.with_a_ghost(-20.0), last_volume=volume).confidence for volume in volumes]
        assert confidences == sorted(confidences, reverse=True)

    @property
    def model(self) -> ShapeModel:
        mean, deviation = np.zeros((len(FEATURES), LEVELS)), np.ones((len(FEATURES), LEVELS))
        mean[0, : len(self.TILTS)], mean[1, : len(self.LENGTHS)] = self.TILTS, self.LENGTHS
        deviation[:2] = ((2.0,), (1.4,))
        return ShapeModel.of_arrays(mean.ravel(), deviation.ravel(), np.zeros((mean.size, 1)), 30.0, 1.0)

    def bent(self, last: int, count: int) -> np.ndarray:
        """Shape of a typical spine, from head to foot; `last` bodies lie below its lowest one."""
        shape = np.full((len(FEATURES), count), np.nan)
        levels = range(last + count - 1, last, -1)
        shape[0, :-1] = [self.TILTS[level - S1] for level in levels]
        shape[1, :-1] = [self.LENGTHS[level - S1] for level in levels]
        return shape

    def with_a_ghost(self, tilt: float = -77.0) -> np.ndarray:
        shape = np.hstack([self.bent(0, 5), np.full((len(FEATURES), 1), np.nan)])
        shape[:2, 4] = tilt, 46.0
        return shape

    def named_from_shape(self, shape: np.ndarray, last_volume: float = 25_000.0, sacrum: bool = False, **known: Any) -> Naming:
        *upper, last = bodies(shape.shape[1])
        links = (*(Link(body, None) for body in upper), Link(dataclasses.replace(last, volume_mm3=last_volume), None))
        below = sacrum_below(len(links)) if sacrum else None
        return named(Chain(links, sacrum=below), NO_ROOM, shape=shape, parameters=NamingParameters(shape_model=self.model), **known)


class TestSacrum:
    """What was separated like a body above a sacrum is L5, or S1 above S2; the disc below it tells."""

    @pytest.mark.parametrize(("disc_mm3", "last"), [(8000.0, "L5"), (3000.0, "L5"), (500.0, "sacrum"), (None, "sacrum")])
    def test_the_remnant_of_a_disc_speaks_for_s1(self, disc_mm3: float | None, last: str) -> None:
        chain = chain_of(6)
        *upper, bottom = chain.links
        disc = None if disc_mm3 is None else dataclasses.replace(chain.links[0].disc, volume_mm3=disc_mm3)  # type: ignore[type-var]
        chain = dataclasses.replace(chain, links=(*upper, dataclasses.replace(bottom, disc=disc)))
        costs = {name: end_cost(level, chain, 5, ROOM, CostParameters()) for name, level in (("L5", 0), ("sacrum", S1))}
        assert min(costs, key=lambda name: costs[name]) == last

    def test_without_other_evidence_a_body_above_a_sacrum_is_l5(self) -> None:
        assert lowest(named(chain_of(6), ROOM)) == "L5"


class TestAnotherLumbarCount:
    """Four or six lumbar vertebrae: the convention names, the evidence warns."""

    def test_by_convention_the_lowest_presacral_body_is_l5(self) -> None:
        naming = self.named_with_evidence(for_six=8.0)
        assert lowest(naming) == "L5"
        assert naming.possible == "six-lumbar"
        assert naming.possible_names[-1] == "L6"

    def test_confidence_and_margin_are_of_the_same_numberings(self) -> None:
        likely, unlikely = self.named_with_evidence(for_six=8.0), self.named_with_evidence(for_six=1.0)
        for naming in (likely, unlikely):
            assert "L6" not in naming.second_best
            assert naming.margin > 4
            assert naming.confidence > 0.95

    def test_weak_evidence_is_not_worth_a_word(self) -> None:
        assert self.named_with_evidence(for_six=1.0).possible == ""

    @pytest.mark.parametrize(("for_six", "expected"), [(3.5, "note"), (4.5, "note"), (5.5, "warning"), (8.0, "warning")])
    def test_another_count_is_a_warning_if_it_fits_better_and_a_note_if_nearly_as_well(self, for_six: float, expected: str) -> None:
        notices = numbering_notices(self.named_with_evidence(for_six), {SACRUM}, ROOM, CostParameters())
        assert {notice.code: notice.rank for notice in notices}["possible-lstv"] == expected

    def test_overwhelming_evidence_is_believed(self) -> None:
        naming = self.named_with_evidence(for_six=20.0)
        assert lowest(naming) == "L6"
        assert naming.variant == "six-lumbar"

    @pytest.mark.parametrize(("count", "expected"), [(None, "warning"), (6, "note")])
    def test_six_lumbar_vertebrae_are_a_warning_unless_the_user_told_them(self, count: int | None, expected: str) -> None:
        naming = self.named_with_evidence(for_six=20.0, numbering=Numbering(count=count))
        notices = numbering_notices(naming, {SACRUM}, ROOM, CostParameters(), told=Numbering(count=count))
        assert {notice.code: notice.rank for notice in notices}["lumbar-count-6"] == expected

    @pytest.mark.parametrize(
        ("told", "expected"), [({}, "warning"), ({"count": 5}, "warning"), ({"lowest": "L5"}, "note"), ({"highest": "T11"}, "note")]
    )
    def test_a_sacrum_out_of_view_is_a_warning_unless_the_user_told_a_level(self, told: dict[str, Any], expected: str) -> None:
        numbering = Numbering(**told)
        notices = numbering_notices(named(chain_of(7), 0.0, numbering=numbering), (), 0.0, CostParameters(), told=numbering)
        assert {notice.code: notice.rank for notice in notices}["no-sacrum-in-view"] == expected

    def test_what_is_asked_for_is_no_possibility(self) -> None:
        naming = self.named_with_evidence(for_six=8.0, numbering=Numbering(count=5))
        assert lowest(naming) == "L5"
        assert naming.possible == ""

    @staticmethod
    def named_with_evidence(for_six: float, **known: Any) -> Naming:
        """Eight bodies above a sacrum, whose sizes speak for a sixth lumbar vertebra with so many nats."""
        chain = chain_of(8)
        shape = np.full((len(FEATURES), 8), np.nan)
        mean, deviation = np.zeros((len(FEATURES), LEVELS)), np.ones((len(FEATURES), LEVELS))
        # each level from the middle lumbar one upwards is a step smaller than the one below; here all are one step larger
        step = np.sqrt(2 * for_six / 5)
        mean[2] = -step * np.arange(LEVELS)
        levels = np.arange(7, -1, -1)
        shape[2] = -step * (np.where(levels >= 3, levels - 1, levels) - S1)
        model = ShapeModel.of_arrays(mean.ravel(), deviation.ravel(), np.zeros((mean.size, 1)), 1e6, 1.0)
        return named(chain, ROOM, shape=shape, parameters=NamingParameters(shape_model=model), **known)

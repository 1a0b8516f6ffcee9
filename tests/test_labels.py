"""The numbers of every scheme, as published, and the rules that names follow."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import SchemeError
from cascade.labels import (
    BODIES,
    CANAL,
    CASCADE,
    CASCADE_EXTENDED,
    SACRUM,
    SCHEMES,
    SPIDER,
    LabelScheme,
    disc_below,
    get_scheme,
    is_disc,
    rank,
)

NINE = {"L1": 1, "L2": 2, "L3": 3, "L4": 4, "L5": 5, "L1-L2": 6, "L2-L3": 7, "L3-L4": 8, "L4-L5": 9}
BEYOND = {
    "L5-S1": 10, "T12-L1": 11, "T12": 12, "T11": 13, "T10": 14, "T9": 15, "T8": 16, "T11-T12": 17, "T10-T11": 18, "T9-T10": 19,
    "T8-T9": 20, "sacrum": 21, "L6": 22, "L6-S1": 23, "T13": 24, "T13-L1": 25, "canal": 26,
}  # fmt: skip
THORACIC = [f"T{n}" for n in range(1, 13)]
USUAL = [*THORACIC, "L1", "L2", "L3", "L4", "L5"]

#: Scheme name to structure to number, written out independently of the package.
PUBLISHED = {
    "cascade": NINE,
    "cascade-extended": NINE | BEYOND,
    "verse": {body: 8 + i for i, body in enumerate(USUAL)}
    | {"L6": 25, "sacrum": 26, "T13": 28, "canal": 61, "L6-S1": 125, "T13-L1": 128}
    | {"T12-L1": 119, "L1-L2": 120, "L2-L3": 121, "L3-L4": 122, "L4-L5": 123, "L5-S1": 124, "T1-T2": 108, "T11-T12": 118},
    "spider": {"L5": 1, "L4": 2, "L3": 3, "L2": 4, "L1": 5, "T12": 6, "T9": 9, "canal": 100}
    | {"L5-S1": 201, "L4-L5": 202, "L3-L4": 203, "L2-L3": 204, "L1-L2": 205, "T12-L1": 206, "T11-T12": 207},
    "totalspineseg": {body: 21 + i for i, body in enumerate(THORACIC)}
    | {"L1": 41, "L2": 42, "L3": 43, "L4": 44, "L5": 45, "L6": 46, "sacrum": 50, "canal": 2}
    | {"T1-T2": 72, "T8-T9": 79, "T9-T10": 80, "T10-T11": 81, "T11-T12": 82, "T12-L1": 91}
    | {"L1-L2": 92, "L2-L3": 93, "L3-L4": 94, "L4-L5": 95, "L5-S1": 100},
    "mrspineseg": {"sacrum": 1, "L5": 2, "L4": 3, "L3": 4, "L2": 5, "L1": 6, "T12": 7, "T11": 8, "T10": 9, "T9": 10}
    | {"L5-S1": 11, "L4-L5": 12, "L3-L4": 13, "L2-L3": 14, "L1-L2": 15, "T12-L1": 16, "T11-T12": 17, "T10-T11": 18, "T9-T10": 19},
    "totalsegmentator_mr": {"sacrum": 1, "L5": 2, "L4": 3, "L3": 4, "L2": 5, "L1": 6} | {f"T{n}": 19 - n for n in range(1, 13)},
}
EVERY_ID = [(scheme, structure, number) for scheme, ids in PUBLISHED.items() for structure, number in ids.items()]
all_schemes = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
structures = st.sampled_from([*BODIES, SACRUM, CANAL, *map(disc_below, BODIES)])


def test_every_scheme_is_checked_against_its_published_numbers() -> None:
    assert set(PUBLISHED) == set(SCHEMES)


@pytest.mark.parametrize(("scheme", "structure", "number"), EVERY_ID)
def test_an_id_is_the_published_one(scheme: str, structure: str, number: int) -> None:
    assert SCHEMES[scheme][structure] == number
    assert SCHEMES[scheme].structure(number) == structure


def test_the_default_scheme_holds_the_nine_and_nothing_else() -> None:
    assert dict(CASCADE.ids) == NINE


def test_the_extended_scheme_continues_the_nine() -> None:
    assert dict(CASCADE_EXTENDED.ids) == NINE | BEYOND


@all_schemes
def test_names_and_numbers_of_a_scheme_lead_to_one_another(scheme: LabelScheme) -> None:
    assert {scheme.structure(number) for number in scheme.ids.values()} == set(scheme.ids)
    assert all(scheme[scheme.structure(number)] == number for number in scheme.ids.values())
    assert min(scheme.ids.values()) > 0


@all_schemes
def test_a_scheme_survives_pickling(scheme: LabelScheme) -> None:
    copy = pickle.loads(pickle.dumps(scheme))
    assert copy == scheme
    assert hash(copy) == hash(scheme)


@all_schemes
def test_a_scheme_names_its_source(scheme: LabelScheme) -> None:
    assert scheme.source


def test_a_disc_is_identified_by_the_vertebra_above_it() -> None:
    for scheme in (CASCADE_EXTENDED, SCHEMES["verse"]):
        assert scheme["L5-L6"] == scheme["L5-S1"]
        assert scheme["L4-S1"] == scheme["L4-L5"]
        assert scheme["T12-T13"] == scheme["T12-L1"]
    assert "L4-S1" in CASCADE
    assert "L5-S1" not in CASCADE


def test_an_unknown_structure_is_refused_with_what_there_is() -> None:
    with pytest.raises(SchemeError, match=r"'cascade' has no 'T12'; it has L1, L2"):
        CASCADE["T12"]
    with pytest.raises(SchemeError, match="no structure with id 77"):
        CASCADE.structure(77)


@pytest.mark.parametrize("ids", [{"L1": 1, "L2": 1}, {"L1": 0}, {"L1": -3}])
def test_a_scheme_with_double_or_non_positive_ids_is_refused(ids: dict[str, int]) -> None:
    with pytest.raises(SchemeError, match="distinct positive ids"):
        LabelScheme("mine", ids, "test")


def test_a_scheme_cannot_be_changed_from_outside() -> None:
    ids = {"L1": 1}
    scheme = LabelScheme("mine", ids, "test")
    ids["L2"] = 2
    assert "L2" not in scheme
    with pytest.raises(TypeError):
        scheme.ids["L2"] = 2  # type: ignore[index]


def test_schemes_are_found_by_name() -> None:
    assert get_scheme("spider") is SPIDER
    assert get_scheme(SPIDER) is SPIDER
    with pytest.raises(SchemeError, match=r"no label scheme 'verso'; expected one of cascade, "):
        get_scheme("verso")


class TestSpiderCountsFromBelow:
    def chain(self, *bodies: str) -> LabelScheme:
        return SPIDER.for_chain(bodies)

    def test_in_the_usual_spine_l5_is_one(self) -> None:
        scheme = self.chain("L4", "L5", SACRUM)
        assert (scheme["L5"], scheme["L5-S1"], scheme["L1"], scheme["T12"]) == (1, 201, 5, 6)

    def test_a_sixth_lumbar_vertebra_moves_every_id_up(self) -> None:
        scheme = self.chain("T12", "L1", "L2", "L3", "L4", "L5", "L6", SACRUM)
        assert [scheme[b] for b in ("L6", "L5", "L4", "L1", "T12")] == [1, 2, 3, 6, 7]
        assert [scheme[d] for d in ("L6-S1", "L5-L6", "L4-L5")] == [201, 202, 203]

    def test_without_a_fifth_lumbar_vertebra_l4_is_one(self) -> None:
        scheme = self.chain("T12", "L1", "L2", "L3", "L4", SACRUM)
        assert [scheme[b] for b in ("L4", "L1", "T12")] == [1, 4, 5]
        assert scheme["L4-S1"] == 201

    def test_a_scan_that_ends_above_l5_keeps_the_usual_numbers(self) -> None:
        assert self.chain("L2", "L3", "L4")["L4"] == 2

    def test_a_thirteenth_thoracic_vertebra_is_counted(self) -> None:
        scheme = self.chain("T12", "T13", "L1", "L2", "L3", "L4", "L5", SACRUM)
        assert [scheme[b] for b in ("L1", "T13", "T12", "T11")] == [5, 6, 7, 8]
        assert [scheme[d] for d in ("L1-L2", "T13-L1", "T12-T13")] == [205, 206, 207]

    def test_an_absent_twelfth_thoracic_vertebra_is_not_counted(self) -> None:
        scheme = self.chain("T10", "T11", "T11-L1", "L1", "L2", "L3", "L4", "L5", SACRUM)
        assert [scheme[b] for b in ("L1", "T11", "T10")] == [5, 6, 7]

    def test_a_twelfth_thoracic_vertebra_that_was_not_found_is_counted(self) -> None:
        assert self.chain("T11", "T11-T12", "L1", "L2", "L3", "L4", "L5")["T11"] == 7

    def test_the_canal_keeps_its_number(self) -> None:
        assert self.chain("L5", "L6")[CANAL] == 100

    def test_other_schemes_do_not_depend_on_the_chain(self) -> None:
        for name, scheme in SCHEMES.items():
            assert name == "spider" or scheme.for_chain(["L6"]) is scheme


@given(structures.filter(lambda structure: structure != CANAL))
def test_is_disc_and_rank_agree(structure: str) -> None:
    assert is_disc(structure) == (rank(structure) % 1 == 0.5)


@given(st.sampled_from(BODIES))
def test_the_disc_below_a_body_ranks_between_it_and_the_next(body: str) -> None:
    assert rank(body) < rank(disc_below(body)) < rank(body) + 1


def test_ranks_run_from_head_to_foot() -> None:
    spine = [name for body in BODIES for name in (body, disc_below(body))] + [SACRUM]
    assert sorted(spine, key=rank) == spine
    with pytest.raises(SchemeError, match="no place in the chain"):
        rank(CANAL)

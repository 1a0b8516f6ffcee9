"""Which label scheme numbers follow, by what they show; and that a wrong one is never taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from cascade.errors import SchemeError
from cascade.io.cases import list_cases
from cascade.io.nifti import read_label_array
from cascade.io.schemes import distinct, doubt, known_numbers, look_at, readings, recognised
from cascade.labels import CANAL, CASCADE, CASCADE_EXTENDED, PARTLY, SACRUM, SCHEMES, SPIDER, VERSE, LabelScheme, is_disc
from cascade.phantom import PhantomSpec, render
from cascade.volume import Grid, LabelMap
from tests.measure.phantoms import grid_of, with_canal

LABELS = with_canal(PhantomSpec(), grid_of((4.0, 2.0, 2.0)))
PARTS: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "nine": lambda name: name in CASCADE,
    "bodies": lambda name: not is_disc(name) and name != CANAL,
    "discs": is_disc,
}
#: Bodies alone, counted from below, are counted by three schemes in three ways.
UPWARD = {"spider", "mrspineseg", "totalsegmentator_mr"}


def only(labels: LabelMap, names: Iterable[str]) -> LabelMap:
    kept = [labels.scheme[name] for name in labels.structures if name in set(names)]
    return LabelMap(np.where(np.isin(labels.data, kept), labels.data, 0), labels.grid, labels.scheme)


def numbered(numbers: dict[str, int]) -> np.ndarray:
    """The phantom with numbers of somebody's own."""
    data = np.zeros(LABELS.data.shape, dtype=np.uint16)
    for name, number in numbers.items():
        data[LABELS[name]] = number
    return data


def schemes_of(numbers: np.ndarray, grid: Grid = LABELS.grid) -> list[str]:
    return [reading.scheme.name for reading in distinct(readings(look_at(numbers, grid)))]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_numbers_are_read_in_their_own_scheme_or_it_is_not_known_which(scheme: LabelScheme, part: str) -> None:
    names = [name for name in LABELS.structures if PARTS[part](name) and name in scheme]
    if len(names) < 2:
        return
    labels = only(LABELS, names).to_scheme(scheme.for_chain(names))
    found = distinct(readings(look_at(labels.data, labels.grid)))
    assert {number: labels.scheme.structure(number) for number in labels.values} in [dict(reading.names) for reading in found]
    assert len(found) == 1 or (scheme.name in UPWARD and not any(map(is_disc, names)))


def test_verse_numbers_are_not_taken_for_those_of_cascade() -> None:
    names = ["T11", "T12", *(f"L{n}" for n in range(1, 6)), *(name for name in LABELS.structures if is_disc(name))]
    assert schemes_of(only(LABELS, names).data) == ["verse"]
    assert schemes_of(only(LABELS, ["T11", "T12", "L1", "L2", "L3", "L4", "L5"]).data) == ["verse"]


def test_a_vertebra_that_spider_calls_cut_has_its_place() -> None:
    labels = LABELS.to_scheme(SPIDER, lost="drop")
    numbers = np.where(labels["T12"], labels.scheme["T12"] + PARTLY, labels.data)
    (reading,) = readings(look_at(numbers, labels.grid))
    assert (reading.scheme, reading.names[labels.scheme["T12"] + PARTLY]) == (SPIDER, "T12")


OWN = {
    "bodies from below": {f"L{n}": 30 - n for n in range(1, 6)},
    "known numbers from below": {f"L{n}": 25 - n for n in range(1, 6)},
    "numbers of discs for bodies": {f"L{n}": 5 + n for n in range(1, 5)},
    "bodies and discs in turn": {name: n for n, name in enumerate(("L1", "L1-L2", "L2", "L2-L3", "L3", "L3-L4", "L4"), 1)},
    "two levels left out": {"L1": 1, "L5": 2},
    "a single structure": {"L3": 3},
    "the canal alone": {CANAL: 61},
}


@pytest.mark.parametrize("case", OWN)
def test_numbers_of_no_scheme_are_not_read(case: str) -> None:
    numbers = numbered(OWN[case])
    with pytest.raises(
        SchemeError, match=r"^a\.nii: expected numbers of one label scheme, or a note of it; found .*; say it with --scheme$"
    ):
        recognised(numbers, LABELS.grid, "a.nii")


def test_what_is_ambiguous_is_told_with_its_readings() -> None:
    numbers = only(LABELS, ["L3", "L4", "L5"]).to_scheme(SPIDER).data
    with pytest.raises(SchemeError, match=r"found spider \(1 = L5, .*\) or mrspineseg \(1 = sacrum, .*\); say it"):
        recognised(numbers, LABELS.grid, "a.nii")


def test_head_and_foot_exchanged_are_seen_where_discs_lie_between_bodies() -> None:
    turned = LABELS.data[:, :, ::-1]
    (reading,) = readings(look_at(turned, LABELS.grid))
    assert (reading.scheme, reading.upside_down) == (VERSE, True)
    bodies = only(LABELS, [name for name in LABELS.structures if PARTS["bodies"](name)])
    assert schemes_of(bodies.data[:, :, ::-1]) == []


@pytest.mark.parametrize("axcodes", ["RAS", "PIR", "SLP", "IRA"])
def test_the_order_of_storage_does_not_matter(axcodes: str) -> None:
    labels = LABELS.reoriented(axcodes)
    assert schemes_of(labels.data, labels.grid) == ["verse"]


def test_numbers_beside_the_spine_do_not_hide_the_scheme_and_are_told() -> None:
    numbers = LABELS.data.astype(np.uint16)
    numbers[:2, :2, :2] = 300
    (reading,) = readings(look_at(numbers, LABELS.grid))
    assert (reading.scheme, reading.unknown) == (VERSE, (300,))


def test_of_large_files_a_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    before = look_at(LABELS.data, LABELS.grid)
    monkeypatch.setattr("cascade.io.schemes.MOST_LOOKED_AT", LABELS.data.size // 2)
    monkeypatch.setattr("cascade.io.schemes.MOST_MEASURED", 4000)
    after = look_at(LABELS.data, LABELS.grid)
    assert after.keys() == before.keys()
    assert [tagged.volume_ml for tagged in after.values()] == pytest.approx([tagged.volume_ml for tagged in before.values()], rel=0.2)
    assert schemes_of(LABELS.data) == ["verse"]


def test_doubt_is_said_only_where_another_scheme_fits() -> None:
    nine = only(LABELS, CASCADE.ids)
    assert doubt(nine.data, nine.grid, VERSE) == ""
    words = doubt(nine.to_scheme(CASCADE).data, nine.grid, VERSE)
    assert words == "by order, distances and shapes the numbers are not those of verse, but of cascade (1 = L1, 2 = L2, 3 = L3, ...)"
    own = numbered(OWN["known numbers from below"])
    assert doubt(own, LABELS.grid, VERSE) == ""
    assert doubt(np.zeros_like(own), LABELS.grid, VERSE) == ""


def test_every_number_of_a_scheme_is_known_and_those_beside_the_spine_are_left_out() -> None:
    for scheme in SCHEMES.values():
        numbers = known_numbers(scheme)
        assert {name: number for number, name in numbers.items() if name and number in scheme.ids.values()} == dict(scheme.ids)
    assert known_numbers(VERSE)[27] is None
    assert SACRUM in known_numbers(VERSE).values()


@pytest.mark.data
def test_every_real_case_is_recognised(request: pytest.FixtureRequest) -> None:
    cases: Any = list_cases(request.getfixturevalue("data_folder"))
    for case in cases[::6]:
        assert schemes_of(*read_label_array(case.labels)) == [case.scheme.name], case.name


def test_a_phantom_of_six_lumbar_vertebrae_is_recognised() -> None:
    _, labels = render(PhantomSpec(shape=(13, 135, 180), spacing_mm=(5.0, 2.0, 2.0), lumbar=6))
    assert "L6" in labels.structures
    assert schemes_of(labels.data, labels.grid) == ["verse"]
    extended = labels.to_scheme(CASCADE_EXTENDED, lost="drop")
    assert schemes_of(extended.data, extended.grid) == ["cascade-extended"]

"""What is told about what is not in the output."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cascade.postproc.identify import identify
from cascade.postproc.instances import Instance
from cascade.postproc.naming import Numbering
from cascade.postproc.parameters import NamingParameters
from cascade.postproc.s1_looks import S1Looks
from cascade.postproc.told import about_strays
from tests.synthetic import SACRAL, Blob, Column, as_probabilities, evidence_of


def instance(kind: str, y_mm: float, z_mm: float) -> Instance:
    """Something 26 mm long whose centre lies in the middle plane."""
    return Instance(kind, 1, (0.0, y_mm, z_mm), -z_mm, -z_mm - 13.0, -z_mm + 13.0, 0.0, 20000.0, 0.9)


CHAIN = {"L4": instance("body", 0.0, 0.0), "L5": instance("body", 0.0, -36.0), "sacrum": instance("sacrum", 0.0, -70.0)}
BODIES = (CHAIN["L4"], CHAIN["L5"])


@pytest.mark.parametrize(
    ("y_mm", "z_mm", "rank"), [(25.0, 0.0, "warning"), (27.0, 0.0, "note"), (0.0, 18.0, "warning"), (5.0, -80.0, "note")]
)
def test_only_a_piece_within_a_bodys_length_of_a_named_one_is_a_warning(y_mm: float, z_mm: float, rank: str) -> None:
    notice = about_strays([instance("disc", 90.0, 0.0), instance("disc", y_mm, z_mm)], BODIES, CHAIN)
    assert (notice.rank, notice.text.endswith(": 2 components (disc)")) == (rank, True)


def doubts(depth_mm: float = 32.0, looks_nats: float = -5.0, **known: object) -> list[str]:
    """What is doubted of a column of bodies 32 mm deep whose sacrum is so deep, and that all look so much like S1."""
    column = Column()
    parameters = NamingParameters(s1_looks=S1Looks((0.0, 0.0, 0.0), looks_nats))
    evidence = dataclasses.replace(evidence_of(column, as_probabilities(column.with_sacrum_of(depth_mm))), parameters=parameters)
    found = identify(evidence, Numbering(**known))  # type: ignore[arg-type]
    return [notice.text for notice in found.notices if notice.code == "numbering-uncertain"]


def test_a_first_sacral_body_as_narrow_as_the_second_is_a_doubt() -> None:
    assert doubts() == []
    assert [text.endswith("L5 may be S1") for text in doubts(14.0)] == [True]


def test_a_lowest_vertebra_that_looks_like_s1_is_a_doubt() -> None:
    (text,) = doubts(looks_nats=1.0)
    assert "the front and the back of L5 slant" in text
    assert text.endswith("L5 may be S1")


def test_there_is_one_doubt_where_both_are_so() -> None:
    assert len(doubts(14.0, 1.0)) == 1


@pytest.mark.parametrize(("in_front_mm", "doubted"), [(20.0, True), (30.0, False)])
def test_a_piece_of_sacrum_beside_the_vertebrae_is_a_doubt(in_front_mm: float, doubted: bool) -> None:
    column = Column(radius_mm=12.0)
    z_mm = column.top_mm - column.length_mm + column.gaps_mm[-1] + column.heights_mm[-1] / 2
    x_mm, y_mm = map(float, column.path(np.array(z_mm)))
    piece = Blob(SACRAL, (x_mm, y_mm + in_front_mm, z_mm), 8.0)
    evidence = evidence_of(dataclasses.replace(column, blobs=(piece,)))
    texts = [notice.text for notice in identify(evidence).notices if notice.code == "numbering-uncertain"]
    assert ["a piece of sacrum beside the vertebrae" in text for text in texts] == [True] * doubted
    assert not [notice for notice in identify(evidence, Numbering(lowest="L5")).notices if notice.code == "numbering-uncertain"]


@pytest.mark.parametrize("of", [{"depth_mm": 14.0}, {"looks_nats": 1.0}], ids=["narrow", "like S1"])
def test_what_a_person_says_of_a_vertebra_settles_that_doubt(of: dict[str, float]) -> None:
    assert doubts(**of, lowest="L5") == []
    assert doubts(**of, count=5) != []

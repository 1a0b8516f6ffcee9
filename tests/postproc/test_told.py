"""What is told about what is not in the output."""

from __future__ import annotations

import pytest

from cascade.postproc.identify import identify
from cascade.postproc.instances import Instance
from cascade.postproc.naming import Numbering
from cascade.postproc.told import about_strays
from tests.synthetic import Column, as_probabilities, evidence_of


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


def doubts(depth_mm: float, **known: object) -> list[str]:
    """What is doubted of a column of bodies 32 mm deep whose sacrum is so deep."""
    column = Column()
    found = identify(evidence_of(column, as_probabilities(column.with_sacrum_of(depth_mm))), Numbering(**known))  # type: ignore[arg-type]
    return [notice.text for notice in found.notices if notice.code == "numbering-uncertain"]


def test_a_first_sacral_body_as_narrow_as_the_second_is_a_doubt() -> None:
    assert doubts(32.0) == []
    assert [text.endswith("L5 may be S1") for text in doubts(14.0)] == [True]


def test_what_a_person_says_of_a_vertebra_settles_that_doubt() -> None:
    assert doubts(14.0, lowest="L5") == []
    assert doubts(14.0, count=5) != []

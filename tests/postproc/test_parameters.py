"""The numbers behind the names: each says what it is, has a range, and does what it says."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from cascade.postproc.identify import identify
from cascade.postproc.parameters import (
    ChainParameters,
    CostParameters,
    InstanceParameters,
    MeasuringParameters,
    NamingParameters,
)
from tests.synthetic import Column, evidence_of

PARTS = (InstanceParameters, ChainParameters, CostParameters, MeasuringParameters)
NUMBERS = [(part, field) for part in PARTS for field in dataclasses.fields(part)]


@pytest.mark.parametrize(("part", "field"), NUMBERS, ids=lambda each: each.name if isinstance(each, dataclasses.Field) else "")
def test_every_number_has_a_unit_a_meaning_a_source_and_a_range(part: type, field: dataclasses.Field) -> None:  # type: ignore[type-arg]
    assert field.metadata["unit"] in {"1", "mm", "mm³", "nats", "probability", "voxels", "bodies"}
    assert len(field.metadata["meaning"]) > 10
    assert len(field.metadata["source"]) > 5
    for wrong in (-0.5, float("nan"), 2 * field.metadata["most"]):
        with pytest.raises(ValueError, match=f"{field.name}: expected 0 to"):
            part(**{field.name: wrong})


def test_no_number_stands_in_two_parts() -> None:
    assert not [(a, b) for (_, a), (_, b) in itertools.combinations(NUMBERS, 2) if a.name == b.name]


def test_what_a_spec_says_is_heeded() -> None:
    evidence = evidence_of(Column())
    assert not {notice.code for notice in identify(evidence).notices} & {"numbering-uncertain"}
    strict = NamingParameters(costs=CostParameters(uncertain_below=1.0))
    assert "numbering-uncertain" in {notice.code for notice in identify(dataclasses.replace(evidence, parameters=strict)).notices}

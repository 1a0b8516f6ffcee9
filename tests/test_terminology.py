from __future__ import annotations

import pytest
from pydicom.sr._concepts_dict import concepts

from cascade.labels import CASCADE_EXTENDED, SCHEMES, VERSE
from cascade.terminology import DISC, VERTEBRA, code_of

#: Known to SNOMED CT, but not part of the standard's dictionary that pydicom carries.
NOT_IN_DICTIONARY = {DISC.value}


def test_every_code_is_one_that_the_standard_lists_with_the_same_meaning():
    listed = {code: meaning for entries in concepts["SCT"].values() for code, (meaning, _) in entries.items()}
    codes = {name: code for name in VERSE.ids if (code := code_of(name)).value not in NOT_IN_DICTIONARY}
    assert len(codes) > 30
    assert listed[codes.pop("L5-S1").value].startswith("Structure of intervertebral disc of L5 and S1")
    assert {name: listed[code.value] for name, code in codes.items()} == {name: code.meaning for name, code in codes.items()}


def test_every_structure_of_every_scheme_has_a_code():
    for scheme in SCHEMES.values():
        for structure in scheme.ids:
            assert code_of(structure).value.isdigit()


@pytest.mark.parametrize(("structure", "parent"), [("L6", VERTEBRA), ("T13", VERTEBRA), ("L6-S1", DISC), ("T13-L1", DISC), ("L5-L6", DISC)])
def test_a_structure_without_a_code_gets_its_parents(structure: str, parent: object):
    assert code_of(structure) == parent


def test_no_two_usual_structures_share_a_code():
    usual = [name for name in CASCADE_EXTENDED.ids if code_of(name) not in (VERTEBRA, DISC)]
    assert len({code_of(name).value for name in usual}) == len(usual) == 22

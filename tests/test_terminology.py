from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from pydicom.sr._concepts_dict import concepts
from skimage.color import rgb2lab

from cascade.labels import CASCADE_EXTENDED, SCHEMES, VERSE
from cascade.terminology import DISC, VERTEBRA, code_of, colour_of

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


#: Machado, Oliveira and Fernandes 2009, table 1, severity 1.0: what each kind of colour blindness leaves of linear red, green and blue.
BLIND = {
    "none": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}


@pytest.mark.parametrize("kind", BLIND)
def test_what_touches_and_bodies_next_to_each_other_differ_in_colour_for_the_colour_blind_too(kind: str) -> None:
    """A difference of 2.3 in L*a*b* is just seen; these are seven times that."""
    chain = ["T12", "T12-L1", "L1", "L1-L2", "L2", "L2-L3", "L3", "L3-L4", "L4", "L4-L5", "L5", "L5-S1", "sacrum"]
    pairs = [*pairwise(chain), *pairwise(chain[::2])]
    rgb = np.array([[colour_of(name) for name in pair] for pair in pairs]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ BLIND[kind].T, 0, 1)
    first, second = np.moveaxis(rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)), 1, 0)
    assert np.linalg.norm(first - second, axis=1).min() > 16

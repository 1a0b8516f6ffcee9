from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.datasets.names import StructureMap, matches_sequence, parse_name, parse_structure, read_mapping
from cascade.errors import InputError
from cascade.labels import VERSE


@pytest.mark.parametrize("name", sorted(VERSE.ids))
def test_every_structure_is_understood_by_its_own_name(name: str) -> None:
    assert parse_structure(name) == name


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("P12_L1", "L1"),
        ("patient3_T2_L4_L5", "L4-L5"),
        ("SegL3", "L3"),
        ("disc1", "L1-L2"),
        ("Disc-4", "L4-L5"),
        ("vb5", "L5"),
        ("IVD L5 S1", "L5-S1"),
        ("S1", "sacrum"),
        ("S1_L3", "L3"),
        ("L3_01", "L3"),
        ("TH12", "T12"),
        ("T1", None),
        ("T2_TSE_sag", None),
        ("dixon_water", None),
        ("L1_L4", None),
    ],
)
def test_names_are_read_as_people_write_them(name: str, structure: str | None) -> None:
    assert parse_name(name).structure == structure


@given(
    st.sampled_from(["L1", "L2", "L3", "L4"]),
    st.sampled_from(["_", "-", " ", ".", "", "__"]),
    st.booleans(),
    st.sampled_from(["", "mask_", "Disc "]),
)
def test_two_neighbouring_levels_are_a_disc_whatever_separates_them(level: str, separator: str, lower: bool, prefix: str) -> None:
    below = f"L{int(level[1]) + 1}"
    name = f"{prefix}{level}{separator}{below}"
    assert parse_name(name.lower() if lower else name).structure == f"{level}-{below}"


def test_t2star_is_no_t2() -> None:
    assert not matches_sequence(parse_name("T2star"), "t2")
    assert matches_sequence(parse_name("1_t2_SPACE"), "t2_space")
    assert not matches_sequence(parse_name("1_t2"), "t2_space")


def test_a_mapping_of_tags_is_read(tmp_path: Path) -> None:
    (tmp_path / "map.tsv").write_text("tag\tstructure\n# a comment\n6\tL1/L2\n61\tcanal\n3\tignore\n")
    assert read_mapping(tmp_path / "map.tsv") == StructureMap(tags={6: "L1-L2", 61: "canal", 3: "ignore"})


@pytest.mark.parametrize("text", ["", "a\tb\n1\tL1\n", "tag\tstructure\n0\tL1\n", "tag\tstructure\n1\tfemur\n", "tag\tstructure\n1\n"])
def test_a_mapping_that_cannot_be_understood_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "map.tsv").write_text(text)
    with pytest.raises(InputError, match=r"map\.tsv: expected"):
        read_mapping(tmp_path / "map.tsv")

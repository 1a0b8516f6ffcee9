"""Damaged files of every kind, at every reader: no crash, no hang, little memory, and nothing raised but `CascadeError`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.datasets.names import read_mapping
from cascade.errors import CascadeError
from cascade.io.cases import list_cases
from cascade.io.formats import FORMATS, format_of_content, read_scan_file
from cascade.networks.spec import StageSpec
from tests.robustness.fuzz import all_targets, plan_for, run
from tests.synthetic import tiny_spec

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_SPEC = json.loads(tiny_spec("stage1_spine", ("background", "column"), (4.0, 2.0, 2.0)).to_json())


def test_five_hundred_damaged_files_end_in_a_result_or_a_clear_error() -> None:
    findings, refused = run(plan_for(500), seed=1)
    assert not findings, "\n".join(json.dumps(finding, indent=1) for finding in findings)
    assert all(refused.get(target, 0) > 0 for target in all_targets()), "every reader has refused something"


@pytest.mark.full
def test_twenty_thousand_damaged_files_end_in_a_result_or_a_clear_error() -> None:
    findings, _ = run(plan_for(int(os.environ.get("CASCADE_FUZZ_INPUTS", "20000"))), seed=2)
    assert not findings, "\n".join(json.dumps(finding, indent=1) for finding in findings)


@given(st.dictionaries(st.sampled_from([*_SPEC, "else"]), _JSON, max_size=3))
def test_a_spec_with_any_json_in_its_fields_is_a_spec_or_a_clear_error(change: dict[str, object]) -> None:
    with contextlib.suppress(CascadeError):
        spec = StageSpec.from_json(json.dumps(_SPEC | change))
        assert StageSpec.from_json(spec.to_json()) == spec


@given(st.binary(max_size=600))
def test_any_bytes_are_recognised_or_not(content: bytes) -> None:
    assert format_of_content(content) in (None, *FORMATS)


@given(st.text(max_size=200) | st.text("dataset\tcase\n\"'\0/.", max_size=60).map(lambda text: f"dataset\tcase\n{text}"))
def test_any_text_as_a_table_is_a_table_or_a_clear_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    table = tmp_path_factory.getbasetemp() / "cases.tsv"
    table.write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (list_cases, read_mapping):
        with contextlib.suppress(CascadeError):
            assert read(table)


@given(st.sampled_from((b"NRRD0004\n", b"NDims = 3\nElementDataFile = LOCAL\n", b"PK\3\4", bytes(128) + b"DICM")), st.binary(max_size=400))
def test_any_bytes_behind_a_magic_word_are_a_clear_error(tmp_path_factory: pytest.TempPathFactory, magic: bytes, rest: bytes) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "scan"
    path.write_bytes(magic + rest)
    with pytest.raises(CascadeError, match="expected"):
        read_scan_file(path)

"""What is known about every scan is on disk, and nobody undoes what he has not seen."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cascade.errors import OutputError, ReviewConflictError
from cascade.postproc.clicks.click import Click
from cascade.review.edits import Edit, History
from cascade.review.records import TABLE, Records

STEP = History().with_step(Edit((Click((1.0, 2.0, 3.0), "L3"),), says="this is L3"))


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_what_was_said_is_there_in_the_next_session(tmp_path: Path) -> None:
    Records(tmp_path, ["a", "sub/b"]).change("sub/b", 0, who="Ann", history=STEP)
    record = Records(tmp_path, ["a", "sub/b"]).read("sub/b")
    assert (record.history, record.who, record.revision, record.state) == (STEP, "Ann", 1, "new")


def test_the_table_tells_who_decided_what_when_and_why(tmp_path: Path) -> None:
    records = Records(tmp_path, ["a", "b"])
    records.change("b", 0, who="Ann", state="rejected", note="moved in the scanner")
    rows = table(tmp_path)
    assert [(row["scan"], row["state"], row["who"]) for row in rows] == [("a", "new", ""), ("b", "rejected", "Ann")]
    assert rows[1]["note"] == "moved in the scanner"
    assert rows[1]["when"].endswith("+00:00")


def test_a_second_server_on_the_folder_cannot_undo_what_it_has_not_seen(tmp_path: Path) -> None:
    first, second = Records(tmp_path, ["a"]), Records(tmp_path, ["a"])
    first.change("a", 0, who="Ann", state="accepted")
    with pytest.raises(ReviewConflictError, match="changed meanwhile"):
        second.change("a", 0, who="Bob", state="rejected")
    assert second.read("a").who == "Ann"
    second.change("a", 1, who="Bob", state="rejected")
    assert (first.read("a").state, table(tmp_path)[0]["state"]) == ("rejected", "rejected")


def test_a_damaged_record_is_named_before_anything_is_lost(tmp_path: Path) -> None:
    Records(tmp_path, ["a"]).change("a", 0, who="Ann", state="accepted")
    (tmp_path / "state" / "a.json").write_text('{"state": "acc', encoding="utf-8")
    with pytest.raises(OutputError, match=r"a\.json: expected a record"):
        Records(tmp_path, ["a"])

"""Names of files and folders: odd, long, leading elsewhere, not to be read or written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cascade.cli import segment as command
from cascade.errors import CascadeError, InputError, OutputError
from cascade.io.cases import read_cases
from cascade.io.formats import read_labels_file, read_scan_file, write_labels_file
from cascade.io.nifti import write_labels, write_volume
from tests import blocks
from tests.cohorts.test_find import KnowsTheAnswer
from tests.conftest import AnswerWith
from tests.dicom_files import slices, write_series

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha")
#: Non-ASCII letters, shell and format characters, bytes that are no text, and the longest name that file systems take.
NAMES = ("Wirbelsäule", "脊椎 №1", "a b;$(x)'\"", "%s%n", "-o", os.fsdecode(b"sc\xffn"), "é" * 120, "n" * 240)


@pytest.fixture
def answers(answer_with: AnswerWith) -> None:
    answer_with(KnowsTheAnswer())


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_any_name_is_written_and_read_or_refused_in_a_line(name: str, suffix: str, tmp_path: Path) -> None:
    stored = name.encode("utf-8", "surrogateescape")  # whatever this machine's locale makes of it
    path = tmp_path / os.fsdecode(stored[: 250 - len(suffix)]) / f"{os.fsdecode(stored[:240])}{suffix}"
    try:
        write_labels_file(blocks.labels(), path)
    except OutputError:
        assert suffix in (".nrrd", ".seg.nrrd", ".mha"), "only ITK wants text"
        assert any("\udc80" <= letter <= "\udcff" for letter in str(path))
        assert not list(path.parent.iterdir())
        return
    assert np.array_equal(read_labels_file(path)[0], blocks.labels().data)


def test_a_scan_whose_name_is_no_text_is_segmented(tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"sc\xffn.nii.gz")
    write_volume(blocks.scan(), tmp_path / "in" / name)
    beside = ["--json", str(tmp_path / "json"), "--table", str(tmp_path / "table")]
    assert command.main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), *beside]) == 0
    assert read_labels_file(tmp_path / "out" / name)[0].any()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", [Path("x" * 300 + ".nii.gz"), Path(*["d" * 200] * 30, "t2.nii.gz")], ids=["name", "path"])
def test_a_path_that_cannot_be_is_one_line(path: Path, tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(blocks.scan(), tmp_path / "t2.nii.gz")
    for arguments in ([path, "-o", tmp_path / "l.nii.gz"], [tmp_path / "t2.nii.gz", "-o", tmp_path / path]):
        assert command.main([str(word) for word in arguments]) == 1
        assert capfd.readouterr().err.count("cascade: error:") == 1
    assert sorted(file.name for file in tmp_path.iterdir() if file.is_file()) == ["t2.nii.gz"]


# ---------------------------------------------------------------------------------------------- names in tables


@pytest.mark.parametrize("case", ["../secret", "/etc/secret", "..\\secret", "C:\\secret", "a/../../secret", "a\0b", "x" * 300, ""])
@pytest.mark.parametrize("column", ["case", "dataset"])
def test_a_case_never_leads_out_of_the_tables_folder(case: str, column: str, tmp_path: Path) -> None:
    if column == "dataset" and not case:
        pytest.skip("a case may belong to no data set")
    for part in ("image", "labels"):
        write_labels(blocks.labels(), tmp_path / f"secret_{part}.nii.gz")
    row = {"dataset": "d", "case": "c", column: case}
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "cases.tsv").write_text(f"dataset\tcase\n{row['dataset']}\t{row['case']}\n", encoding="utf-8")
    with pytest.raises(InputError, match="below the table's folder in row 1"):
        read_cases(tmp_path / "in")


# ---------------------------------------------------------------------------------------------- links


def test_a_link_at_the_place_of_an_output_is_replaced_and_what_it_led_to_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "precious.nii.gz").write_bytes(b"precious")
    for name, target in (("link", "precious.nii.gz"), ("dangling", "nowhere.nii.gz"), ("loop", "loop.nii.gz")):
        (tmp_path / f"{name}.nii.gz").symlink_to(tmp_path / target)
        write_labels_file(blocks.labels(), tmp_path / f"{name}.nii.gz")
        assert not (tmp_path / f"{name}.nii.gz").is_symlink()
        assert read_labels_file(tmp_path / f"{name}.nii.gz")[0].any()
    assert (tmp_path / "precious.nii.gz").read_bytes() == b"precious"
    assert not (tmp_path / "nowhere.nii.gz").exists()


def test_an_output_folder_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_labels_file(blocks.labels(), tmp_path / "link" / "l.nii.gz")
    assert (tmp_path / "real" / "l.nii.gz").is_file()


def test_a_link_to_the_input_is_not_overwritten(tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(blocks.scan(), tmp_path / "t2.nii.gz")
    (tmp_path / "l.nii.gz").symlink_to(tmp_path / "t2.nii.gz")
    assert command.main([str(tmp_path / "t2.nii.gz"), "-o", str(tmp_path / "l.nii.gz")]) == 1
    assert "would be overwritten" in capfd.readouterr().err


def test_links_in_circles_do_not_hold_up_a_folder(tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(blocks.scan(), tmp_path / "in" / "t2.nii.gz")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "self.nii.gz").symlink_to(tmp_path / "in" / "self.nii.gz")
    assert command.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    assert [path.name for path in (tmp_path / "out").rglob("*.nii.gz")] == ["t2.nii.gz"]
    assert capfd.readouterr().err.count("cascade: error:") == 1, "the link to itself is told"


@pytest.mark.parametrize("name", ["b.nii.gz", "b.mha", "b.nrrd", "b.dcm", "b.zip", "sub-02"])
def test_a_link_that_leads_nowhere_is_told_and_the_others_are_done(
    name: str, tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]
) -> None:
    write_volume(blocks.scan(), tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / name).symlink_to("/nowhere/b.nii.gz")
    (tmp_path / "in" / "notes.txt").symlink_to("/nowhere/notes.txt")
    assert command.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    assert said.count("cascade: error:") == 1
    assert f"in/{name}: expected a file or folder; there is no such file" in said
    assert (tmp_path / "out" / "a.nii.gz").is_file()


@pytest.mark.parametrize("name", ["b.mha", "b.nrrd", "b.dcm", "b.zip", "b.nii"])
def test_a_file_that_is_a_scan_by_name_only_is_told(name: str, tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(blocks.scan(), tmp_path / "in" / "a.nii.gz")
    (tmp_path / "in" / name).write_bytes(b"an error page of a web server")
    assert command.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 1
    assert capfd.readouterr().err.count("cascade: error:") == 1
    assert (tmp_path / "out" / "a.nii.gz").is_file()


def test_a_linked_folder_of_a_patient_is_segmented_under_its_own_name(tmp_path: Path, answers: None) -> None:
    write_volume(blocks.scan(), tmp_path / "store" / "p1" / "t2.nii.gz")
    write_series(slices(blocks.scan("PSR")), tmp_path / "store" / "p2")
    (tmp_path / "in").mkdir()
    for patient in ("p1", "p2"):
        (tmp_path / "in" / patient).symlink_to(tmp_path / "store" / patient)
    assert command.main([str(tmp_path / "in"), "-o", str(tmp_path / "out")]) == 0
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.nii.gz"))
    assert found == ["p1/t2.nii.gz", "p2/series-5.nii.gz"]


def test_scans_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, answers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for patient in ("s1", "s2"):
        write_volume(blocks.scan(), tmp_path / "in" / patient / "T2.nii.gz")
    monkeypatch.chdir(tmp_path / "in")
    for name, inputs in {"files": ["s1/T2.nii.gz", "s2/T2.nii.gz"], "folders": ["s1", "s2"], "mixed": ["s1", "../in/s2/T2.nii.gz"]}.items():
        assert command.main([*inputs, "-o", str(tmp_path / name)]) == 0
        assert sorted(path.parent.name for path in (tmp_path / name).rglob("T2.nii.gz")) == ["s1", "s2"]
    assert command.main(["s1/T2.nii.gz", "s1/T2.nii.gz", "-o", str(tmp_path / "twice")]) == 0
    assert (tmp_path / "twice" / "T2.nii.gz").is_file()


def test_an_output_folder_may_hold_the_scans_but_not_be_theirs(tmp_path: Path, answers: None, capfd: pytest.CaptureFixture[str]) -> None:
    write_volume(blocks.scan(), tmp_path / "top" / "in" / "T2.nii.gz")
    assert command.main([str(tmp_path / "top" / "in"), "-o", str(tmp_path / "top" / "in")]) == 1
    assert "expected an output folder other than that of the scans" in capfd.readouterr().err
    assert command.main([str(tmp_path / "top" / "in"), "-o", str(tmp_path / "top")]) == 0
    assert (tmp_path / "top" / "T2.nii.gz").is_file()
    assert command.main([str(tmp_path / "top" / "in"), "-o", str(tmp_path / "top" / "in" / "out")]) == 0
    assert command.main([str(tmp_path / "top" / "in"), "-o", str(tmp_path / "top" / "in" / "out")]) == 0
    assert [p.name for p in (tmp_path / "top" / "in" / "out").rglob("*.nii.gz")] == ["T2.nii.gz"], "earlier outputs are no scans"


# ---------------------------------------------------------------------------------------------- permissions


@pytest.fixture
def nobody() -> Iterator[Callable[[], None]]:
    """Gives up root's rights until the test ends; root may write everywhere."""
    user = os.geteuid()
    yield lambda: os.seteuid(65534) if user == 0 else None
    os.seteuid(user)


def test_a_read_only_folder_is_an_output_error(tmp_path: Path, nobody: Callable[[], None]) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    nobody()
    for suffix in SUFFIXES:
        for path in (tmp_path / "out" / f"l{suffix}", tmp_path / "out" / "new" / f"l{suffix}"):
            with pytest.raises(OutputError, match=r"cannot write here \(Permission denied\)"):
                write_labels_file(blocks.labels(), path)


def test_a_file_that_may_not_be_read_is_an_input_error(tmp_path: Path, nobody: Callable[[], None]) -> None:
    tmp_path.chmod(0o755)
    for suffix in (*SUFFIXES, ".dcm", ".zip"):
        (tmp_path / f"scan{suffix}").write_bytes(b"NRRD0004\n")
        (tmp_path / f"scan{suffix}").chmod(0)
    nobody()
    for suffix in (*SUFFIXES, ".dcm", ".zip"):
        with pytest.raises(CascadeError, match=r"Permission denied|permission denied|no such file"):
            read_scan_file(tmp_path / f"scan{suffix}")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are closed to nobody."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_done(
    open_folder: Path, answers: None, nobody: Callable[[], None], capfd: pytest.CaptureFixture[str]
) -> None:
    write_volume(blocks.scan(), open_folder / "in" / "a.nii.gz")
    (open_folder / "in" / "locked" / "p1").mkdir(parents=True)
    (open_folder / "in" / "locked").chmod(0)
    nobody()
    assert command.main([str(open_folder / "in"), "-o", str(open_folder / "out")]) == 1
    assert command.main([str(open_folder / "in" / "locked" / "p1"), "-o", str(open_folder / "out")]) == 1
    said = capfd.readouterr().err
    assert "in/locked: expected a folder that can be read; Permission denied" in said
    assert "locked/p1: expected a file or folder; there is no such file" in said
    assert (open_folder / "out" / "a.nii.gz").is_file()


def test_a_file_in_the_place_of_a_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write here"):
        write_labels_file(blocks.labels(), tmp_path / "out" / "l.nii.gz")
    (tmp_path / "l.nii.gz").mkdir()
    with pytest.raises(OutputError, match="cannot write here"):
        write_labels_file(blocks.labels(), tmp_path / "l.nii.gz")

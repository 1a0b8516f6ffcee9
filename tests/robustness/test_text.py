"""Names that are no text, and locales that know only ASCII: reports are made all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from cascade.cli import segment as command
from cascade.io.nifti import write_volume
from cascade.phantom import PhantomSpec, render
from cascade.report import ReportIndex, save_report
from tests.phantom_result import phantom_result

#: Bytes that are no UTF-8, letters, and what means something in an address.
NAMES = (b"sc\xe9n", "Wirbels\u00e4ule \u5c71".encode(), b"50% #1?a&b<c>")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_report_and_its_index_take_any_name(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name + b".html")
    save_report(phantom_result(), path, os.fsdecode(name + b".nii.gz"))
    index = ReportIndex(tmp_path)
    index.add(path)
    index.add_failed(path, os.fsdecode(name), os.fsdecode(b"no " + name))
    index.save()
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    address = page.split('<a href="')[1].split('"')[0]
    assert (tmp_path / os.fsdecode(unquote_to_bytes(address))).is_file(), "the link leads to the report"


def test_a_failed_scan_is_told_without_the_folders_above_it(
    tmp_path: Path, oracle_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scans = tmp_path / "Secret Name" / "in"
    scans.mkdir(parents=True)
    (scans / "a.mha").write_bytes(b"ObjectType = Image\nNDims = 3\nDimSize = 5 5 5\nElementType = MET_UCHAR\nElementDataFile = a.raw\n")
    (scans / "b.nii.gz").symlink_to("/nowhere/b.nii.gz")
    (scans / "c.nii").write_bytes(b"")
    arguments = [str(scans), "-o", str(tmp_path / "out"), "--report", str(tmp_path / "report"), "--weights", str(oracle_weights)]
    assert command.main(arguments) == 1
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("<li><b>") == 3
    assert "Secret" not in page
    assert str(tmp_path) not in page
    assert "Traceback" not in capfd.readouterr().err


#: What a folder gets beside the files of each scan.
TOGETHER = {"table": {b"levels.tsv"}}


@pytest.mark.full
@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C"}], ids=["posix", "c"]
)
def test_everything_is_written_under_a_locale_of_ascii(locale: dict[str, str], tmp_path: Path) -> None:
    """The command as a cluster's batch system starts it, with every output and three odd names."""
    (tmp_path / "in").mkdir()
    write_volume(render(PhantomSpec())[0], tmp_path / "scan.nii.gz")
    for name in NAMES:
        os.link(tmp_path / "scan.nii.gz", os.fsencode(tmp_path / "in") + b"/" + name + b".nii.gz")
    beside = [word for what in ("json", "picture", "table", "report") for word in (f"--{what}", str(tmp_path / what))]
    words = [sys.executable, "-m", "cascade.cli.segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *beside, "--extended"]
    done = subprocess.run(words, env=os.environ | locale, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    for what, suffix in {"out": b".nii.gz", "json": b".json", "picture": b".png", "table": b".tsv", "report": b".html"}.items():
        found = {os.fsencode(path.name) for path in (tmp_path / what).iterdir()} - {b"index.html", b"manifest.jsonl"}
        assert found == {name + suffix for name in NAMES} | TOGETHER.get(what, set())
    help_text = subprocess.run([*words[:3], "--help"], env=os.environ | locale, capture_output=True, check=False)
    assert help_text.returncode == 0

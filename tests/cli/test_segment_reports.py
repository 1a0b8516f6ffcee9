"""Where ``--table`` and ``--report`` of the command write; the networks are replaced by the phantom's answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cascade.cli import segment
from cascade.errors import NoSpineError
from cascade.io.nifti import write_volume
from cascade.segmentation import Segmentation
from tests.conftest import AnswerWith
from tests.phantom_result import phantom_result

RESULT = phantom_result()


class Answering:
    """Stands in for `Segmenter`."""

    checkpoint_sha256: ClassVar = {"stage1_spine": "0" * 64, "stage2_levels": "1" * 64}
    backend: ClassVar = "torch"

    def segment(self, image: Path, **_: Any) -> Segmentation:
        if "bad" in image.name:
            raise NoSpineError(f"{image}: expected a spine; found none")
        return RESULT


@pytest.fixture(autouse=True)
def _no_networks(answer_with: AnswerWith) -> None:
    answer_with(Answering())


def test_one_scan_gets_one_table_one_report_and_its_measurements_in_the_json(tmp_path: Path) -> None:
    scan, out = tmp_path / "patient-x" / "scan.nii.gz", tmp_path / "out"
    write_volume(RESULT.scan, scan)
    options = [str(scan), "-o", f"{out}/l.nii.gz", "--table", f"{out}/l.tsv", "--report", f"{out}/qc.html", "--json", f"{out}/run.json"]
    assert segment.main(options) == 0
    assert sorted(path.name for path in out.iterdir()) == ["l.nii.gz", "l.tsv", "qc.html", "run.json"]
    page = (out / "qc.html").read_text(encoding="utf-8")
    assert "scan.nii.gz" in page
    assert "patient-x" not in page
    rows = json.loads((out / "run.json").read_text(encoding="utf-8"))["measurements"]
    assert [row["structure"] for row in rows] == [
        line.split("\t")[0] for line in (out / "l.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]


def test_a_folder_gets_mirrored_reports_and_an_index_that_names_what_failed(tmp_path: Path) -> None:
    for name in ("a/one.nii.gz", "a/bad.nii.gz", "two.nii.gz"):
        write_volume(RESULT.scan, tmp_path / "in" / name)
    out, tables, reports = (tmp_path / name for name in ("out", "tables", "reports"))
    assert segment.main([str(tmp_path / "in"), "-o", str(out), "--table", str(tables), "--report", str(reports)]) == 1
    assert sorted(p.relative_to(tables).as_posix() for p in tables.rglob("*.tsv")) == ["a/one.tsv", "levels.tsv", "two.tsv"]
    scans = [line.split("\t")[0] for line in (tables / "levels.tsv").read_text(encoding="utf-8").splitlines()]
    assert scans == ["scan", *["a/one"] * len(RESULT.measurements), *["two"] * len(RESULT.measurements)]
    assert sorted(p.relative_to(reports).as_posix() for p in reports.rglob("*.html")) == ["a/one.html", "index.html", "two.html"]
    index = (reports / "index.html").read_text(encoding="utf-8")
    assert 'href="a/one.html"' in index
    assert "<b>a/bad.nii.gz</b> expected a spine; found none" in index
    assert str(tmp_path) not in index


@pytest.mark.parametrize("option", ["--json", "--picture", "--table", "--report"])
def test_outputs_of_one_scan_appear_together_or_not_at_all(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_volume(RESULT.scan, tmp_path / "scan.nii.gz")
    (tmp_path / "file").write_text("")
    out, blocked = tmp_path / "out", tmp_path / "file" / "x"
    beside = {"--json": out / "run.json", "--picture": out / "qc.png", "--table": out / "l.tsv", "--report": out / "qc.html"}
    options = [str(word) for pair in (beside | {option: blocked}).items() for word in pair]
    assert segment.main([str(tmp_path / "scan.nii.gz"), "-o", str(out / "l.nii.gz"), *options]) == 1
    assert list(out.iterdir()) == []
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"cascade: error: {blocked}: cannot write here")


def test_an_sr_needs_a_seg_to_refer_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output in ("levels.nii.gz", "out"):
        with pytest.raises(SystemExit) as end:
            segment.main(["scan.nii.gz", "-o", str(tmp_path / output), "--sr", str(tmp_path / "sr.dcm")])
        assert end.value.code == 2
    assert "expected -o SEG.dcm" in capsys.readouterr().err

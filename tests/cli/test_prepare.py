from __future__ import annotations

from pathlib import Path

import pytest

from cascade.cli import prepare as command
from cascade.datasets import CODES, DATASETS
from tests.datasets.miniatures import alkhalil, chu


def test_the_command_writes_everything_and_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chu(tmp_path / "raw", {"02": 0})
    assert command.main(["chu", str(tmp_path / "raw"), "-o", str(tmp_path / "out")]) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {"02_image.nii.gz", "02_labels.nii.gz", "cases.tsv", "problems.json", "report.html", "pictures"}
    shown = capsys.readouterr()
    assert "02: axis-repaired: the front-back axis" in shown.err
    assert "cases.tsv\t1 case, 0 errors" in shown.out


def test_two_jobs_do_what_one_does_and_a_bad_case_makes_the_status_1(tmp_path: Path) -> None:
    chu(tmp_path / "raw", {"02": 0, "05": 1})
    (tmp_path / "raw" / "Img_05.nii").write_bytes(b"nothing")
    for jobs in ("1", "2"):
        assert command.main(["chu", str(tmp_path / "raw"), "-o", str(tmp_path / jobs), "--jobs", jobs]) == 1
    for name in ("02_image.nii.gz", "02_labels.nii.gz", "cases.tsv", "problems.json", "report.html", "pictures/02.png"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_a_mapping_file_is_taken(tmp_path: Path) -> None:
    alkhalil(tmp_path / "raw", "P01", names={"L3": "thing"})
    (tmp_path / "map.tsv").write_text("file\tstructure\nthing*\tL3\n")
    arguments = ["alkhalil", str(tmp_path / "raw"), "-o", str(tmp_path / "out"), "--mapping", str(tmp_path / "map.tsv")]
    assert command.main(arguments) == 0
    assert "mask-missing" not in (tmp_path / "out" / "cases.tsv").read_text(encoding="utf-8")


@pytest.mark.parametrize("extra", [["--scheme", "nonsense"], ["--axes", "RRS"], ["--val-share", "2"]])
def test_unknown_values_exit_2(tmp_path: Path, extra: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["chu", str(tmp_path), "-o", str(tmp_path / "out"), *extra])
    assert stopped.value.code == 2


def test_the_wrong_folder_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["spider", str(tmp_path / "none"), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_knows_every_data_set() -> None:
    assert set(command._DATASETS) == set(DATASETS)


def test_the_documentation_lists_every_code_with_its_meaning() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prepare.md").read_text(encoding="utf-8")
    for name, code in CODES.items():
        assert f"| `{name}` | {code.severity} | {code.meaning} |" in page

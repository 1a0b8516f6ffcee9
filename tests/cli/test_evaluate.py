from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cascade.cli.evaluate import main
from cascade.io.cases import list_cases
from cascade.io.nifti import write_labels
from cascade.labels import CASCADE, VERSE
from cascade.phantom import PhantomSpec, render
from cascade.volume import Grid, LabelMap

SMALL = PhantomSpec(shape=(5, 73, 89), spacing_mm=(8.0, 3.4, 3.4))


@pytest.fixture(scope="module")
def truth() -> LabelMap:
    return render(SMALL)[1]


@pytest.fixture
def folders(tmp_path: Path, truth: LabelMap) -> tuple[Path, Path]:
    """Three phantoms: one predicted perfectly, one a voxel too high, one not at all."""
    for name in ("1", "2", "3"):
        write_labels(truth, tmp_path / f"ref/{name}_labels.nii.gz")
    write_labels(truth.to_scheme(CASCADE, lost="drop"), tmp_path / "pred/1_levels.nii.gz")
    moved = LabelMap(np.roll(truth.data, 1, axis=2), truth.grid, VERSE)
    write_labels(moved.to_scheme(CASCADE, lost="drop"), tmp_path / "pred/2_levels.nii.gz")
    return tmp_path / "pred", tmp_path / "ref"


def test_two_equal_files_agree_perfectly(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folders[0] / "1_levels.nii.gz"), str(folders[1] / "1_labels.nii.gz")]) == 0
    captured = capsys.readouterr()
    heading, bodies, discs = captured.out.splitlines()
    assert heading.split()[:4] == ["data", "set", "kind", "cases"]
    assert bodies.split() == ["ref", "body", "1", "5", "1.000", "-", "1.000", "0.00", "0.00", "0.0", "100.0", "100.0", "100.0", "0.00"]
    assert discs.split()[:5] == ["ref", "disc", "1", "4", "1.000"]
    assert captured.err == ""


def test_folders_give_a_table_and_one_line_for_the_case_without_a_prediction(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*map(str, folders), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    missing, written = captured.err.splitlines()
    assert missing.startswith(f"cascade: error: {folders[1] / '3_labels.nii.gz'}: expected one prediction; found none")
    assert written.startswith("written to")
    content = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    bodies = content["groups"][0]
    assert (bodies["cases"], bodies["structures"]) == (3, 15)
    assert bodies["figures"]["detection"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert 0.3 < bodies["figures"]["dice"]["mean"] < 2 / 3
    assert f"{bodies['figures']['dice']['mean']:.3f}" in captured.out
    assert len((tmp_path / "out/results.csv").read_text(encoding="utf-8").splitlines()) == 1 + 3 * 9
    assert "<svg" in (tmp_path / "out/report.html").read_text(encoding="utf-8")


def test_a_prediction_on_another_grid_is_one_line_that_names_both_files(
    folders: tuple[Path, Path], truth: LabelMap, capsys: pytest.CaptureFixture[str]
) -> None:
    cropped = LabelMap(truth.data[:, 1:], Grid((5, 72, 89), truth.grid.vox2world), VERSE)
    write_labels(cropped, folders[0] / "3.nii.gz")
    assert main([*map(str, folders)]) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"cascade: error: {folders[0] / '3.nii.gz'}: expected labels on the grid of the reference")
    assert str(folders[1] / "3_labels.nii.gz") in line
    assert " 3 " in captured.out.splitlines()[1]


def test_a_table_of_cases_can_be_narrowed_to_a_split(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["dataset\tcase\tpatient\tsplit", *(f"phantom\t{n}\tp{n}\t{'train' if n == 3 else 'val'}" for n in (1, 2, 3))]
    (folders[1] / "cases.tsv").write_text("\n".join(rows) + "\n")
    assert main([str(folders[0]), str(folders[1] / "cases.tsv"), "--split", "val"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["phantom", "body", "2", "10"]


def test_unknown_values_are_warned_about(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    file = folders[0] / "1_levels.nii.gz"
    assert main([str(file), str(folders[1] / "1_labels.nii.gz"), "--pred-scheme", "verse"]) == 0
    text = "values-not-in-scheme: values 1, 2, 3, 4, 5, 6, 7 are not in scheme 'verse' and count as background"
    said, doubt = capsys.readouterr().err.splitlines()
    assert said == f"cascade: warning: {file}: {text}"
    assert "scheme-doubtful: prediction 1_levels.nii.gz: " in doubt
    assert doubt.endswith("the numbers are not those of verse, but of cascade (8 = L3-L4, 9 = L4-L5)")


@pytest.mark.parametrize("wrong", [["--pred-scheme", "roman"], ["--highest", "L9"], ["--frobnicate"], []])
def test_wrong_options_are_usage_errors(wrong: list[str], tmp_path: Path) -> None:
    paths = [str(tmp_path)] if not wrong else [str(tmp_path), str(tmp_path)]
    with pytest.raises(SystemExit) as stopped:
        main([*paths, *wrong])
    assert stopped.value.code == 2


def test_a_path_that_does_not_exist_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "gone"), str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"cascade: error: {tmp_path / 'gone'}: expected label files; there is no such file or folder"
    ]


def test_the_command_needs_neither_torch_nor_monai(folders: tuple[Path, Path], tmp_path: Path) -> None:
    code = (
        "import sys; from cascade.cli.evaluate import main; main(sys.argv[1:]); "
        "sys.exit(len({'torch', 'monai', 'cascade.training', 'cascade.pipeline'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, *map(str, folders), "-o", str(tmp_path / "out")]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0


@pytest.mark.full
@pytest.mark.data
def test_real_references_agree_with_themselves_and_miss_nothing(data_folder: Path, tmp_path: Path) -> None:
    cases = list_cases(data_folder, split="val")
    for case in cases:
        write_labels(case.load_labels(), tmp_path / f"pred/{case.dataset}_{case.name}.nii.gz")
    assert main([str(tmp_path / "pred"), str(data_folder), "--split", "val", "-o", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out/summary.json").read_text(encoding="utf-8"))
    assert len(content["cases"]) == len(cases)
    for group in content["groups"]:
        means = {name: figure["mean"] for name, figure in group["figures"].items()}
        ones = ("dice", "matched_dice", "detection", "level_accuracy", "all_right")
        assert means == dict.fromkeys(means, 0.0) | dict.fromkeys(ones, 1.0), group["dataset"]

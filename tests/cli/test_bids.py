"""The command line of a BIDS App."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade.cli.bids import main, words_of
from cascade.io.nifti import write_volume
from cascade.volume import LabelMap, Volume


@pytest.fixture
def dataset(coded: tuple[Volume, LabelMap], tmp_path: Path) -> Path:
    """A data set of two participants."""
    root = tmp_path / "data"
    for person in ("01", "02"):
        write_volume(coded[0], root / f"sub-{person}" / "anat" / f"sub-{person}_T2w.nii.gz")
    (root / "dataset_description.json").write_text(json.dumps({"Name": "test", "BIDSVersion": "1.9.0"}), encoding="utf-8")
    return root


def test_only_the_named_participants_are_segmented(dataset: Path, oracle_weights: Path, tmp_path: Path) -> None:
    words = [str(dataset), str(tmp_path / "out"), "participant", "--participant_label", "02"]
    assert main([*words, "--skip_bids_validation", "--weights", str(oracle_weights), "--device", "cpu"]) == 0
    assert [path.name for path in (tmp_path / "out").glob("sub-*")] == ["sub-02"]
    assert (tmp_path / "out" / "sub-02" / "anat" / "sub-02_desc-cascade_dseg.nii.gz").is_file()
    assert (tmp_path / "out" / "dataset_description.json").is_file()


def test_a_participant_who_is_not_there_is_one_line(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(dataset), str(tmp_path / "out"), "participant", "--participant-label", "07"]) == 1
    assert "expected scans of sub-07; there are sub-01, sub-02" in capsys.readouterr().err


def test_there_is_no_level_of_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        words_of(["data", "out", "group"])
    assert caught.value.code == 2
    assert "participant" in capsys.readouterr().err

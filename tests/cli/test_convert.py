"""``python -m cascade.cli.convert``: checkpoints from before they had an identity load again, unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cascade.cli.convert import main
from cascade.errors import CheckpointError
from cascade.networks.checkpoint import load_checkpoint
from cascade.postproc.parameters import NamingParameters
from tests.synthetic import save_oracles

STAGES = ("stage1_spine", "stage2_levels")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Checkpoints as they were once written: without an identity, with a record of their layers."""
    save_oracles(tmp_path)
    for stage in STAGES:
        path = tmp_path / f"{stage}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        del content["checkpoint_sha256"]
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        path.with_suffix(".layers.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_older_checkpoints_load_again(older: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]) -> None:
    new = tmp_path_factory.mktemp("new")
    save_oracles(new)
    with pytest.raises(CheckpointError, match=r"cascade\.cli\.convert"):
        load_checkpoint(STAGES[0], older)
    assert main([str(older)]) == 0
    told = [f"{older / stage}.json\t{load_checkpoint(stage, new).spec.checkpoint_sha256}" for stage in STAGES]
    assert capfd.readouterr().out.splitlines() == told
    assert {path.name: path.read_bytes() for path in older.iterdir()} == {path.name: path.read_bytes() for path in new.iterdir()}


def test_what_has_its_identity_stays_as_it_is(older: Path) -> None:
    assert main([str(older)]) == 0
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    assert main([str(older)]) == 0
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before
    for stage in STAGES:
        load_checkpoint(stage, older)


def test_weights_that_are_not_the_specs_are_one_line(older: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (older / "stage1_spine.safetensors").write_bytes(b"other")
    assert main([str(older)]) == 1
    assert capfd.readouterr().err.startswith(f"cascade: error: {older}/stage1_spine.safetensors: expected sha256 ")
    assert "checkpoint_sha256" not in (older / "stage1_spine.json").read_text(encoding="utf-8")


def test_a_spec_that_was_altered_is_one_line(older: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(older)]) == 0
    path = older / "stage2_levels.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"low_percentile": 0.0', '"low_percentile": 1.0'), encoding="utf-8")
    assert main([str(older)]) == 1
    assert "one of them is altered" in capfd.readouterr().err


def test_a_folder_without_checkpoints_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capfd.readouterr().err.startswith(f"cascade: error: {tmp_path}: expected a folder of checkpoints")


def test_naming_parameters_that_were_left_to_the_code_are_written_down(older: Path) -> None:
    path = older / "stage2_levels.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["naming"] = {"chain": {}}
    path.write_text(json.dumps(content), encoding="utf-8")
    assert main([str(older)]) == 0
    assert load_checkpoint("stage2_levels", older).spec.naming == NamingParameters().to_json()

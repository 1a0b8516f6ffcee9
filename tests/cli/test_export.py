"""``cascade-export``: what it writes, and every bad input in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade.cli.export import main


@pytest.mark.parametrize(("what", "suffix"), [("onnx", "onnx"), ("torchscript", "ts")])
def test_both_networks_are_written_with_their_specs(
    what: str, suffix: str, oracle_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([what, str(tmp_path / "out"), "--weights", str(oracle_weights)]) == 0
    names = {f"{stage}.{end}" for stage in ("stage1_spine", "stage2_levels") for end in (suffix, "json")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    captured = capfd.readouterr()
    assert captured.out.splitlines() == [
        f"{tmp_path / 'out' / 'stage1_spine'}.{suffix}\tbackground column",
        f"{tmp_path / 'out' / 'stage2_levels'}.{suffix}\tbackground body disc sacrum",
    ]
    assert captured.err == ""


def test_bundles_are_written_and_named(oracle_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", str(tmp_path), "--weights", str(oracle_weights)]) == 0
    folders = [Path(line) for line in capfd.readouterr().out.splitlines()]
    assert [folder.name for folder in folders] == ["cascade_spine_localization", "cascade_lumbar_segmentation", "cascade_lumbar_spine"]
    assert all((folder / "configs" / "inference.json").is_file() for folder in folders)


@pytest.mark.parametrize("what", ["bundle", "onnx", "torchscript"])
def test_weights_that_are_not_there_are_one_line(what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([what, str(tmp_path / "out"), "--weights", str(tmp_path)]) == 1
    assert capfd.readouterr().err.startswith(f"cascade: error: {tmp_path}/stage1_spine.json: expected a checkpoint file here")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_one_line(oracle_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["torchscript", str(tmp_path / "file" / "out"), "--weights", str(oracle_weights)]) == 1
    assert "cannot write here" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["bundle"], ["onnx"], ["caffe", "out"], ["onnx", "out", "--colour"]])
def test_an_unknown_option_or_value_exits_with_2(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: cascade-export" in capfd.readouterr().err

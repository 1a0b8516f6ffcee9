"""`cascade-review`: what it refuses before anything is served, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cascade.cli.review import main


def test_a_second_input_beside_an_earlier_run_is_refused(tmp_path: Path, scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.jsonl").write_text("{}", encoding="utf-8")
    assert main([str(tmp_path), str(scans), "-o", str(tmp_path / "out")]) == 1
    assert "expected the OUT of an earlier run alone" in capsys.readouterr().err


def test_a_run_without_results_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"output": "a.nii.gz", "state": "failed"}\n{"outp', encoding="utf-8")
    assert main([str(tmp_path)]) == 1
    assert "found none; run cascade-segment again" in capsys.readouterr().err


def test_a_manifest_cannot_lead_out_of_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"output": "../../a.nii.gz", "state": "done", "input": "/etc/passwd"}\n', encoding="utf-8")
    assert main([str(tmp_path)]) == 1
    assert "expected scans that were segmented" in capsys.readouterr().err


def test_a_file_as_output_is_refused(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(scans), "-o", str(tmp_path / "labels.nii.gz")]) == 1
    assert "expected a folder for everything that is kept" in capsys.readouterr().err


def test_the_command_prints_one_address_on_this_machine_and_ends_with_ctrl_c(scans: Path, tmp_path: Path, oracle_weights: Path) -> None:
    options = ["-o", str(tmp_path / "out"), "--no-open", "--weights", str(oracle_weights), "--device", "cpu"]
    command = [sys.executable, "-m", "cascade.cli.review", str(scans), *options]
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - a shell lets what it runs in the background ignore it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert address.startswith("http://127.0.0.1:")
    assert len(address.rstrip("/").rpartition("/")[2]) > 40
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "cascade: stopped"

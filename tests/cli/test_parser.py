"""The parser of every command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cascade.cli import bids, evaluate, export, measure, prepare, review, segment, train
from cascade.cli.parser import SHELLS

COMMANDS = (bids, evaluate, export, measure, prepare, review, segment, train)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_empty_word_is_an_error_and_not_the_working_folder(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["", "-o", "out"])  # type: ignore[attr-defined]
    assert caught.value.code == 2
    assert "found an empty one" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("command", COMMANDS)
def test_shells_get_what_they_need_to_complete_the_command(command: object, shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--completion", shell])  # type: ignore[attr-defined]
    assert caught.value.code == 0
    assert "--completion" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_schemes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        segment.main(["--completion", "bash"])
    (tmp_path / "completion").write_text(capsys.readouterr().out, encoding="utf-8")
    script = (
        "source completion; COMP_WORDS=(cascade-segment --scheme v); COMP_CWORD=2; "
        "_shtab_cascade_segment cascade-segment v --scheme; echo ${COMPREPLY[@]}"
    )
    process = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["verse"]


def test_without_the_extra_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as caught:
        segment.main(["--completion", "bash"])
    assert caught.value.code == 1
    assert 'pip install -c constraints.txt ".[completion]"' in capsys.readouterr().err


def test_help_into_a_closed_pipe_ends_quietly() -> None:
    words = [sys.executable, "-m", "cascade.cli.segment", "--help"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0

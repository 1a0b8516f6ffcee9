"""Where the commands run: without what only POSIX has, and in a container."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

import cascade.cli.segment
from cascade.cohorts.find import BESIDE
from cascade.io.formats import find_suffix, stem
from cascade.labels import SCHEMES

ROOT = Path(cascade.__file__).parents[1]
DOCKERFILE = ROOT / "Dockerfile"
HADOLINT = shutil.which("hadolint")
#: What a name on Windows may not hold, beside what reserves a name there whatever its suffix.
NOT_ON_WINDOWS = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')
ONLY_POSIX = ("fcntl", "resource", "termios", "syslog", "pty")


def test_scans_are_segmented_without_what_only_posix_has(scans: Path, oracle_weights: Path, tmp_path: Path) -> None:
    code = f"""
import sys, signal
for name in {ONLY_POSIX}:
    sys.modules[name] = None
del signal.SIGKILL
from {cascade.cli.segment.__name__} import main
beside = [word for name in {sorted(set(BESIDE) - {"sr"})} for word in (f"--{{name}}", f"{tmp_path / "out"}/{{name}}")]
sys.exit(main([{str(scans)!r}, "-o", {str(tmp_path / "out")!r}, *beside, "--weights", {str(oracle_weights)!r}, "--device", "cpu"]))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "out" / "sub" / "a.nii.gz").is_file()
    assert (tmp_path / "out" / "manifest.jsonl").is_file()
    written = [path.name for path in (tmp_path / "out").rglob("*")]
    assert len(written) > 12
    assert [name for name in written if NOT_ON_WINDOWS.search(name) or PureWindowsPath(name).is_reserved()] == []


@pytest.mark.parametrize("name", sorted({name for scheme in SCHEMES.values() for name in scheme.ids}))
def test_a_structure_names_a_file_on_windows(name: str) -> None:
    assert not NOT_ON_WINDOWS.search(name)
    assert not PureWindowsPath(f"{name}.stl").is_reserved()


@pytest.mark.parametrize("text", [r"C:\data\t2.nii.gz", r"\\server\share\t2.nii.gz", "C:/data/t2.nii.gz"])
def test_a_file_is_told_by_its_name_on_windows(text: str) -> None:
    path = PureWindowsPath(text)
    assert (path.name, find_suffix(path.name), stem(path.name)) == ("t2.nii.gz", ".nii.gz", "t2")


@pytest.mark.skipif(not DOCKERFILE.is_file(), reason="the package is installed, not a source tree")
class TestDockerfile:
    def lines(self) -> list[tuple[str, str]]:
        text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
        return [(line.split()[0], line.partition(" ")[2]) for line in text.splitlines() if line and not line.startswith("#")]

    def test_its_instructions_are_known_and_in_order(self) -> None:
        words = [word for word, _ in self.lines()]
        assert words[0] == "FROM"
        assert set(words) <= {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
        assert words.index("USER") < words.index("ENTRYPOINT")
        assert re.fullmatch(r"python:3\.\d+-slim", self.lines()[0][1])

    def test_what_it_copies_exists_and_is_let_through(self) -> None:
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
        copied = [name for word, rest in self.lines() if word == "COPY" for name in rest.split()[:-1]]
        assert [name for name in copied if not (ROOT / name).exists() or f"!{name}" not in ignored] == []

    def test_it_installs_what_the_tests_passed_with_and_starts_a_command(self) -> None:
        installs = [rest for word, rest in self.lines() if word == "RUN" and rest.startswith("pip install")]
        assert len(installs) == 1
        assert "-c constraints.txt" in installs[0]
        assert [json.loads(rest) for word, rest in self.lines() if word == "ENTRYPOINT"] == [["python", "-m", "cascade"]]
        assert dict(self.lines())["USER"] != "root"

    @pytest.mark.full
    @pytest.mark.skipif(HADOLINT is None, reason="needs hadolint")
    def test_hadolint_finds_nothing(self) -> None:
        process = subprocess.run([str(HADOLINT), DOCKERFILE], capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stdout

    @pytest.mark.full
    def test_its_steps_end_with_a_demo(self) -> None:
        subprocess.run([ROOT / ".ci" / "dockerfile"], check=True, timeout=1200)

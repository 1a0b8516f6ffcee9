"""The example for Snakemake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cascade.cli.options import SegmentOptions
from tests.docs.pages import ROOT

EXAMPLE = ROOT / "docs" / "examples" / "Snakefile"
#: Snakemake is no extra of the package; one that lies elsewhere can be named.
SNAKEMAKE = shutil.which(os.environ.get("CASCADE_SNAKEMAKE", "snakemake"))


def test_its_command_is_one_that_is_understood() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    outputs = dict(re.findall(r'^ {8}(\w+)="([^"]+)",$', text, flags=re.MULTILINE))
    (command,) = re.findall(r'^ {8}"(cascade-segment [^"]+)"$', text, flags=re.MULTILINE)
    words = command.replace("{input}", "scans/a.nii.gz").replace("{threads}", "2").split()[1:]
    options = SegmentOptions.parse([outputs[word[8:-1]].format(name="a") if word.startswith("{output.") else word for word in words])
    assert options.request.output == Path("out/a_levels.nii.gz")
    assert set(options.request.beside) == {"json", "table", "report"}
    assert len({options.request.output, *options.request.beside.values()}) == len(outputs) == 4


@pytest.mark.skipif(SNAKEMAKE is None, reason="needs snakemake")
def test_a_dry_run_plans_a_job_for_each_scan(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        (tmp_path / "scans" / f"{name}.nii.gz").touch()
    words = [str(SNAKEMAKE), "--dry-run", "--printshellcmds", "--cores", "2", "-s", str(EXAMPLE)]
    process = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    said = process.stdout + process.stderr
    assert said.count("cascade-segment scans/") == 2
    assert "cascade-segment scans/b.nii.gz -o out/b_levels.nii.gz --json out/b.json" in said

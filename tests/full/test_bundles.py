"""The exported bundles where nothing of this project but its wheel is installed, and the network is off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import cascade
from cascade.export.plans import CASCADE, LEVELS, SPINE
from cascade.io.cases import list_cases
from cascade.io.nifti import read_label_array, write_labels, write_volume
from cascade.networks.checkpoint import packaged_weights
from cascade.phantom import PhantomSpec, render

ROOT = Path(cascade.__file__).parents[1]
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet"),
    pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="the package is installed, not a source tree"),
]
OFFLINE = (("unshare", "-n"), ("unshare", "-r", "-n"))


def run(*command: str | Path, cwd: Path, check: bool = True) -> str:
    """Run a command that must not see this source tree; return what it says, and where it was should it crash."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")} | {"PYTHONFAULTHANDLER": "1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment, timeout=3000, check=False)
    assert (done.returncode == 0) is check, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, run without network."""

    folder: Path
    offline: tuple[str, ...]

    def python(self, *arguments: str | Path, cwd: Path | None = None, check: bool = True) -> str:
        """Run its Python, without network."""
        return run(*self.offline, self.folder / "venv" / "bin" / "python", *arguments, cwd=cwd or self.folder, check=check)

    def monai(self, kind: str, command: str, **options: str | Path) -> str:
        """Call ``python -m monai.bundle`` in the folder of a bundle."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self.python("-m", "monai.bundle", *command.split(), *words, cwd=self.folder / "bundles" / kind)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a fresh environment that borrows the third-party packages of this one, and the bundles that it exports."""
    offline = next(
        (words for words in OFFLINE if shutil.which(words[0]) and not subprocess.run([*words, "true"], check=False).returncode), None
    )
    if offline is None:
        pytest.skip("needs unshare (util-linux) and the right to use it")
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(".git", "__pycache__", "build", "*.egg-info", "runs"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", folder, source, cwd=folder)
    shutil.rmtree(source)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    run(sys.executable, "-m", "pip", "install", *options, "--target", site, next(folder.glob("*.whl")), cwd=folder)
    (site / "others.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n", encoding="utf-8")
    made = Installed(folder, offline)
    assert str(site) in made.python("-c", "import cascade; print(cascade.__file__)")
    made.python("-m", "cascade.cli.export", "bundle", folder / "bundles")
    return made


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one synthetic scan, stored from behind, and its labels."""
    folder = tmp_path_factory.mktemp("phantom")
    image, labels = render(PhantomSpec(shape=(15, 160, 220), spacing_mm=(4.4, 1.2, 1.2)))
    write_volume(image.reoriented("PIR"), folder / "p_image.nii.gz")
    write_labels(labels.reoriented("PIR"), folder / "p_labels.nii.gz")
    return folder


def compare(installed: Installed, scans: Path, out: Path, name: str) -> None:
    """Run the three bundles and the command on a folder; the workflow's labels are the command's, but for rounding.

    The order of a sum decides a voxel where two classes are equally likely, and it depends on how many threads share the work.
    """
    config = {"config_file": "configs/inference.json", "dataset_dir": scans}
    for kind, options in ((SPINE, {}), (LEVELS, {"spine_dir": out / SPINE.name}), (CASCADE, {})):
        installed.monai(kind.name, "run", **config, output_dir=out / kind.name, **options)
    installed.python("-m", "cascade.cli.segment", scans, "-o", out / "command", "--backend", "torch", "--device", "cpu")
    (bundle, grid), (named, same_grid) = (read_label_array(out / folder / f"{name}.nii.gz") for folder in (CASCADE.name, "command"))
    assert len(np.unique(named)) > 5
    assert grid.matches(same_grid)
    assert (bundle != named).sum() <= 1e-3 * (named > 0).sum()
    tissues = read_label_array(out / LEVELS.name / f"{name}_tissues_seg.nii.gz")[0]
    column = read_label_array(out / SPINE.name / f"{name}_spine_seg.nii.gz")[0]
    assert (tissues[named > 0] > 0).mean() > 0.9
    assert (column[named > 0] > 0).mean() > 0.7


def test_the_workflow_writes_what_the_command_writes(installed: Installed, phantom: Path, tmp_path: Path) -> None:
    compare(installed, phantom, tmp_path, "p_image")


@pytest.mark.data
def test_the_workflow_writes_what_the_command_writes_on_a_real_scan(installed: Installed, data_folder: Path, tmp_path: Path) -> None:
    case = min(list_cases(data_folder, "val"), key=lambda case: case.image.stat().st_size)
    (tmp_path / "scans").mkdir()
    shutil.copy(case.image, tmp_path / "scans" / "real.nii.gz")
    compare(installed, tmp_path / "scans", tmp_path / "out", "real")


def test_monai_verifies_metadata_and_network(installed: Installed) -> None:
    files = {"meta_file": "configs/metadata.json"}
    said = installed.monai(CASCADE.name, "verify_metadata", **files, filepath="configs/metadata_schema.json")
    assert "metadata is verified with no error" in said
    said = installed.monai(CASCADE.name, "verify_net_in_out network_def", **files, config_file="configs/inference.json")
    assert "data shape of network is verified with no error" in said


def test_a_stage_can_be_trained_and_evaluated(installed: Installed, phantom: Path, tmp_path: Path) -> None:
    lengths = {"train::trainer::max_epochs": "1", "train::trainer::epoch_length": "1"}
    files = {"dataset_dir": phantom, "output_dir": tmp_path / "train"}
    installed.monai(SPINE.name, "run", config_file="configs/train.json", **files, **lengths)
    assert json.loads((tmp_path / "train" / "model.json").read_text(encoding="utf-8"))["training"]["steps_done"] == 1
    files = {"dataset_dir": phantom, "output_dir": tmp_path / "scores", "ckpt_dir": tmp_path / "train"}
    installed.monai(SPINE.name, "run", config_file="configs/evaluate.json", **files)
    assert "p_image" not in (tmp_path / "scores" / "results.csv").read_text(encoding="utf-8")
    assert ",p,column,0." in (tmp_path / "scores" / "results.csv").read_text(encoding="utf-8")

"""The light installation: without torch and monai the commands segment, report and review; what needs torch says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from configparser import ConfigParser
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import cascade
from cascade.io.dicom_seg import read_dicom_seg
from cascade.io.nifti import read_label_array, write_volume
from cascade.networks.checkpoint import packaged_weights
from cascade.phantom import PhantomSpec, render
from cascade.volume import Volume
from tests.dicom_files import slices, write_series

ROOT = Path(cascade.__file__).parents[1]
NAMES = ("L1", "L2", "L3", "L4", "L5", "L4-L5")

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet"),
]


def with_all_they_need(names: set[str]) -> set[metadata.Distribution]:
    """The installed distributions of these names, and those that they require."""
    found: dict[str, metadata.Distribution] = {}
    while names:
        found |= {name: metadata.distribution(name) for name in names}
        required = [Requirement(text) for distribution in found.values() for text in distribution.requires or ()]
        names = {each.name.lower() for each in required if not each.marker or each.marker.evaluate({"extra": ""})} - set(found)
    return set(found.values())


def named_by(*extras: str) -> set[str]:
    """What requirements-light.txt names, and extras."""
    lines = (ROOT / "requirements-light.txt").read_text(encoding="utf-8").splitlines()
    configuration = ConfigParser(interpolation=None)
    configuration.read(ROOT / "setup.cfg")
    texts = [text for extra in extras for text in configuration["options.extras_require"][extra].splitlines() if text]
    return {line for line in lines if line and line[0] not in "#-"} | {Requirement(text).name.lower() for text in texts}


@dataclass(frozen=True)
class Light:
    """An environment of its own."""

    python: Path

    def run(self, *words: str | Path, status: int = 0) -> str:
        """Run a module; return what it said."""
        done = subprocess.run([str(self.python), "-m", *map(str, words)], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    """Links to the package and to what the light installation and two extras bring, and to nothing else."""
    folder = tmp_path_factory.mktemp("light")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    places = {ROOT / "cascade", packaged_weights()} if packaged_weights().parent == ROOT else {ROOT / "cascade"}
    for distribution in with_all_they_need(named_by("dicom", "review")):
        tops = {file.parts[0] for file in distribution.files or () if not file.parts[0].startswith((".", "__pycache__"))}
        places |= {Path(str(distribution.locate_file(top))) for top in tops}
    for place in places:
        (site / place.name).symlink_to(place)
    return Light(folder / "bin" / "python")


@pytest.fixture(scope="module")
def phantom() -> Volume:
    scan, _ = render(PhantomSpec(shape=(9, 160, 190), spacing_mm=(5.0, 1.6, 1.6)))
    return Volume(np.rint(scan.data), scan.grid)


def test_it_has_neither_torch_nor_monai_nor_onnx(light: Light) -> None:
    code = "from importlib.util import find_spec; print([name for name in ('torch', 'monai', 'onnx', 'pandas') if find_spec(name)])"
    assert subprocess.run([str(light.python), "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("extras", "megabytes"), [((), 450), (("dicom",), 540)])
def test_it_is_small(extras: tuple[str, ...], megabytes: int) -> None:
    files = {Path(str(file.locate())) for each in with_all_they_need(named_by(*extras)) for file in each.files or ()}
    own = {path for folder in (ROOT / "cascade", packaged_weights()) for path in folder.rglob("*")}
    assert sum(path.stat().st_size for path in files | own if path.is_file()) < megabytes * 1e6


def test_a_scan_gets_labels_report_picture_and_table(light: Light, phantom: Volume, tmp_path: Path) -> None:
    write_volume(phantom, tmp_path / "t2.nii.gz")
    beside = {
        name: tmp_path / f"it.{suffix}" for name, suffix in (("json", "json"), ("report", "html"), ("picture", "png"), ("table", "tsv"))
    }
    words = [word for name, path in beside.items() for word in (f"--{name}", path)]
    said = light.run("cascade.cli.segment", tmp_path / "t2.nii.gz", "-o", tmp_path / "levels.nii.gz", *words)
    assert all(name in said for name in NAMES)
    assert set(np.unique(read_label_array(tmp_path / "levels.nii.gz")[0])) == set(range(10))
    assert all(path.stat().st_size > 100 for path in beside.values())
    assert json.loads(beside["json"].read_text(encoding="utf-8"))["provenance"]["backend"] == "onnx"


def test_a_cohort_is_done_in_processes_resumed_and_reviewed(light: Light, phantom: Volume, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_volume(phantom, tmp_path / "in" / f"{name}.nii.gz")
    words = ("cascade.cli.segment", tmp_path / "in", "-o", tmp_path / "out", "--jobs", "2", "--resume")
    light.run(*words)
    assert "2 done (2 earlier)" in light.run(*words)
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == (tmp_path / "out" / "b.nii.gz").read_bytes()
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - a shell lets what it runs in the background ignore it
    command = [str(light.python), "-m", "cascade.cli.review", str(tmp_path / "out"), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=heard) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        page = urllib.request.urlopen(address, timeout=60).read()
        process.send_signal(signal.SIGINT)
    assert b"<html" in page


def test_a_dicom_series_becomes_a_dicom_seg(light: Light, phantom: Volume, tmp_path: Path) -> None:
    write_series(slices(phantom.reoriented("PSR")), tmp_path / "series")
    light.run("cascade.cli.segment", tmp_path / "series", "-o", tmp_path / "levels.dcm", "--sr", tmp_path / "measured.dcm")
    assert set(NAMES) <= set(read_dicom_seg(tmp_path / "levels.dcm")[2].values())
    assert (tmp_path / "measured.dcm").stat().st_size > 1000


@pytest.mark.parametrize(
    "words",
    [
        ("cascade.cli.segment", "t2.nii.gz", "-o", "levels.nii.gz", "--backend", "torch"),
        ("cascade.cli.train", "stage2", "--data", "cases", "--out", "run"),
        ("cascade.cli.export", "onnx", "networks"),
        ("cascade.cli.export", "bundle", "bundles"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_needs_torch_says_so_in_one_line(words: tuple[str, ...], light: Light, phantom: Volume, tmp_path: Path) -> None:
    write_volume(phantom, tmp_path / "t2.nii.gz")
    places = [
        str(tmp_path / word) if word in ("t2.nii.gz", "levels.nii.gz", "cases", "run", "networks", "bundles") else word for word in words
    ]
    (line,) = light.run(*places, status=1).splitlines()
    assert line.startswith("cascade: error: ")
    assert "pip install torch monai" in line

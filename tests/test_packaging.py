"""What is in the wheel."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cascade

ROOT = Path(cascade.__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel of a copy of this source tree, built without network."""
    if not (ROOT / "setup.cfg").is_file():
        pytest.skip("the package is installed, not a source tree")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("cascade", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file() and path.suffix in (".cfg", ".toml", ".md", ".txt", ""):
            shutil.copy(path, source / path.name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "-w", str(folder), str(source)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    (path,) = folder.glob("cascade_spine-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_is_pure_python_and_has_the_packages_version(wheel: zipfile.ZipFile) -> None:
    assert str(wheel.filename).endswith(f"cascade_spine-{cascade.__version__}-py3-none-any.whl")


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "cascade").rglob("*.py")}
    assert modules <= set(wheel.namelist())


def test_the_wheel_holds_types_recipes_and_everything_in_the_weights_folder(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {"cascade/py.typed", "cascade/stage1_spine/recipe.json", "cascade/stage2_levels/recipe.json"} <= names
    weights = {f"cascade/weights/{path.name}" for path in (ROOT / "weights").iterdir() if path.suffix in (".safetensors", ".json", ".md")}
    assert weights <= names
    for name in weights:
        assert wheel.read(name) == (ROOT / "weights" / Path(name).name).read_bytes()


def test_the_wheel_holds_the_weights_of_both_stages(wheel: zipfile.ZipFile) -> None:
    if not list((ROOT / "weights").glob("*.safetensors")):
        pytest.skip("the weights are not in the checkout yet")
    for stage in ("stage1_spine", "stage2_levels"):
        for suffix in (".safetensors", ".json"):
            assert f"cascade/weights/{stage}{suffix}" in wheel.namelist()
    assert "cascade/weights/README.md" in wheel.namelist()


def test_the_wheel_holds_the_viewer_unchanged_with_its_licences(wheel: zipfile.ZipFile) -> None:
    viewer = wheel.read("cascade/review/static/niivue.umd.js")
    licences = wheel.read("cascade/review/static/niivue.LICENSES.txt").decode("utf-8")
    assert "@niivue/niivue 0.69.0" in licences
    assert hashlib.sha256(viewer).hexdigest() in licences
    bundled = ("BSD 2-Clause", "fflate", "gl-matrix", "nifti-reader-js", "zarrita", "numcodecs", "c-blosc", "ZSTD", "LZ4")
    assert [name for name in bundled if name not in licences] == []
    page = {f"cascade/review/static/{name}" for name in ("index.html", "page.css", "page.js", "viewer.js")}
    assert page <= set(wheel.namelist())


def test_the_wheel_holds_the_scan_of_the_demo_with_its_source_and_licence(wheel: zipfile.ZipFile) -> None:
    assert wheel.getinfo("cascade/demo/t2_sagittal.nii.gz").file_size <= 2_500_000
    assert "github.com/MMIV-ML/fastMONAI" in wheel.read("cascade/demo/SOURCE.md").decode("utf-8")
    assert "Apache License" in wheel.read("cascade/demo/LICENSE.txt").decode("utf-8")


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"cascade", f"cascade_spine-{cascade.__version__}.dist-info"}


def test_the_wheel_installs_the_commands(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read(f"cascade_spine-{cascade.__version__}.dist-info/entry_points.txt").decode()
    assert "cascade-segment = cascade.cli.segment:main" in entry_points
    assert "cascade-review = cascade.cli.review:main" in entry_points
    assert "cascade-train = cascade.cli.train:main" in entry_points
    assert "cascade-export = cascade.cli.export:main" in entry_points


def test_the_wheel_holds_what_bundles_are_made_of(wheel: zipfile.ZipFile) -> None:
    parts = {f"cascade/export/{name}" for name in ("bundle_readme.md", "metadata_schema.json", "logging.conf")}
    assert parts <= set(wheel.namelist())

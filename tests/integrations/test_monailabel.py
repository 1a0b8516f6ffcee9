"""A real MONAI Label server, in the environment that ``integrations/monailabel/make_env.sh`` builds, driven by its own client.

integrations/monailabel/make_env.sh mlenv && CASCADE_MONAILABEL=mlenv python -m pytest -m server
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cascade
from cascade.io.nifti import read_image, read_label_array, write_volume
from cascade.labels import CASCADE_EXTENDED
from cascade.phantom import render

pytestmark = [pytest.mark.full, pytest.mark.server, pytest.mark.outside]
ROOT = Path(cascade.__file__).parents[1]
APP = Path(__file__).parents[2] / "integrations" / "monailabel" / "app"


@pytest.fixture(scope="module")
def env() -> Path:
    """The programs of the server's environment."""
    folder = Path(os.environ.get("CASCADE_MONAILABEL", ""))
    if not (folder / "bin" / "monailabel").is_file():
        pytest.skip("needs a MONAI Label environment: integrations/monailabel/make_env.sh FOLDER, then CASCADE_MONAILABEL=FOLDER")
    return folder.resolve() / "bin"


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder of two scans: one of the real ones kept apart from training if there are any, and the synthetic one."""
    folder = tmp_path_factory.mktemp("studies")
    write_volume(render()[0], folder / "phantom.nii.gz")
    data = request.config.getoption("--data") or os.environ.get("CASCADE_DATA")
    if data and (scan := Path(data) / "spider" / "118_image.nii.gz").is_file():
        shutil.copy(scan, folder / "scan.nii.gz")
    else:
        write_volume(render()[0], folder / "scan.nii.gz")
    return folder


def run(*words: str | Path, timeout: int = 1800) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=timeout, check=False, env=environment(Path(words[0]).parent)
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return done.stdout


def environment(programs: Path) -> dict[str, str]:
    """As if the environment were activated; one thread, no scoring of everything when the server starts."""
    path = f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"
    own = {"PATH": path, "OMP_NUM_THREADS": "1", "MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **own}


@pytest.fixture(scope="module")
def server(env: Path, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The server's address and the folder of its copy of the app."""
    folder = tmp_path_factory.mktemp("server")
    app = Path(shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("__pycache__", "model", "logs", "bin")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [env / "monailabel", "start_server", "--app", app, "--studies", studies, "--host", "127.0.0.1", "--port", port]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, env=environment(env), cwd=folder)
        try:
            _wait(f"http://127.0.0.1:{port}/info/", process, folder / "log")
            yield f"http://127.0.0.1:{port}", app
        finally:
            process.terminate()
            process.wait(timeout=120)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"the server ended: {log.read_text(encoding='utf-8')[-4000:]}")
        try:
            urllib.request.urlopen(url, timeout=60).close()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
        else:
            return
    pytest.fail("the server did not answer within 10 minutes")


@pytest.fixture(scope="module")
def by_command(env: Path, studies: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What ``cascade-segment`` writes for the scan."""
    folder = tmp_path_factory.mktemp("command")
    scan = studies / "scan.nii.gz"
    run(env / "cascade-segment", scan, "-o", folder / "levels.nii.gz", "--extended", "--json", folder / "run.json", "--device", "cpu")
    return folder / "levels.nii.gz", json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def job(by_command: tuple[Path, dict[str, Any]], studies: Path) -> dict[str, Any]:
    """Clicks that call L4 what was called L3, as voxels and as points; a wrong one; a short training."""
    grid = read_image(studies / "scan.nii.gz")[0].grid
    recipe = json.loads((Path(cascade.__file__).parent / "stage1_spine" / "recipe.json").read_text(encoding="utf-8"))
    recipe["patches"] = [{"shape": [16, 64, 64], "batch": 1}]
    small = studies.parent / "recipe.json"
    small.write_text(json.dumps(recipe), encoding="utf-8")
    labels = read_label_array(by_command[0])[0]
    voxels = np.argwhere(labels == CASCADE_EXTENDED["L4"])
    inner = voxels[np.linalg.norm((voxels - voxels.mean(axis=0)) * grid.spacing_mm, axis=1).argmin()]
    point = [float(v) for v in grid.to_world(inner)]
    return {
        "image": "scan",
        "voxel_clicks": {"L4": [[int(v) for v in inner]], "background": [], "label": "L4"},
        "clicks": [{"position_mm": point, "structure": "L3"}],
        "wrong_clicks": [{"position_mm": [900, 0, 0], "structure": "L3"}],
        "label_info": [{"name": name, "idx": value} for name, value in CASCADE_EXTENDED.ids.items()],
        "training": {"steps": 2, "recipe": str(small), "device": "cpu"},
    }


def test_a_session_of_an_annotator(
    env: Path, studies: Path, server: tuple[str, Path], by_command: tuple[Path, dict[str, Any]], job: dict[str, Any], tmp_path: Path
) -> None:
    url, app = server
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    run(env / "python", Path(__file__).with_name("drive_monailabel.py"), url, tmp_path / "job.json", tmp_path)
    answers = json.loads((tmp_path / "answers.json").read_text(encoding="utf-8"))
    data = {name: read_label_array(tmp_path / f"{name}.nii.gz")[0] for name in ("cascade", "spine", "voxels", "points")}
    expected, _ = read_label_array(by_command[0])

    info = answers["info"]
    assert set(info["models"]) == {"cascade", "spine", "cascade_edit"}
    assert set(info["trainers"]) == {"cascade", "spine"}
    assert set(info["strategies"]) == {"least_confident", "random"}
    assert info["labels"] == ["background", *CASCADE_EXTENDED.ids]
    assert info["models"]["cascade"]["config"]["label_colors"]["L4"] == [230, 159, 0]
    assert answers["next"]["id"] in ("phantom", "scan")

    assert np.array_equal(data["cascade"], expected)
    names = answers["cascade"]["label_names"]
    assert sorted(names.values()) == sorted(set(expected.ravel().tolist()) - {0})
    assert [level["name"] for level in answers["cascade"]["levels"]] == [level["name"] for level in by_command[1]["levels"]]
    assert np.mean(data["spine"][np.isin(expected, [names["L3"], names["L4"]])]) > 0.9

    assert np.array_equal(data["voxels"], expected), "a click that says what was found changes nothing"
    assert ((data["points"] == CASCADE_EXTENDED["L3"]) == (expected == CASCADE_EXTENDED["L4"])).mean() > 0.999
    assert "the click L3 at (900.0, 0.0, 0.0) mm" in answers["refused"]

    assert answers["saved"]["image"] == "scan"
    assert (studies / "labels" / "final" / "scan.nii.gz").is_file()
    assert answers["train"]["status"] == "DONE", answers["train"]
    stats = answers["info_after"]["train_stats"]["spine"]
    assert (stats["steps"], stats["cases"]) == (2, 1)
    assert (app / "model" / "stage1_spine.safetensors").read_bytes() != (ROOT / "weights" / "stage1_spine.safetensors").read_bytes()
    assert (app / "model" / "stage2_levels.json").is_file()

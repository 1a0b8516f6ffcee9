"""What was prepared can be trained on as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cascade.cli import train as train_command
from cascade.datasets import DATASETS, Options, prepare
from cascade.stages import STAGES
from tests.datasets.miniatures import NINE, alkhalil, chu, mrspineseg, myosegmentum, pair, spider

DISCS = tuple(name for name in NINE if "-" in name)

SOURCES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "chu": ("chu", lambda folder: chu(folder, {"02": 0})),
    "alkhalil": ("alkhalil", lambda folder: alkhalil(folder, "P01")),
    "spider": ("spider", lambda folder: spider(folder, "1_t2")),
    "mrspineseg": ("mrspineseg", lambda folder: mrspineseg(folder, 1)),
    "myosegmentum": ("myosegmentum", lambda folder: myosegmentum(folder, "01")),
    "tags 6..9 alone": ("folder", lambda folder: pair(folder, "a", DISCS)),
}


def tiny_recipe(stage: str, path: Path) -> Path:
    """The stage's recipe with a network of few channels and one small patch."""
    recipe = json.loads(STAGES[stage].recipe.read_text(encoding="utf-8"))
    recipe["patches"] = [{"shape": [8, 32, 32], "batch": 1}]
    recipe["spec"]["network_arguments"] |= {"channels": [4, 8], "strides": [2], "num_res_units": 1}
    recipe["spec"] |= {"spacing_mm": [5.0, 4.0, 4.0], "patch_shape": [8, 32, 32], "stride": [2, 2, 2]}
    path.write_text(json.dumps(recipe), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SOURCES)
def test_two_steps_of_training_run_on_each_prepared_miniature(name: str, tmp_path: Path) -> None:
    dataset, make = SOURCES[name]
    make(tmp_path / "raw")
    prepare(DATASETS[dataset], tmp_path / "raw", tmp_path / "cases", options=Options())
    for stage in ("stage2",) if name.startswith("tags") else ("stage1", "stage2"):
        recipe = tiny_recipe(stage, tmp_path / f"{stage}.json")
        out = tmp_path / stage
        arguments = [
            stage,
            "--data",
            str(tmp_path / "cases"),
            "--out",
            str(out),
            "--recipe",
            str(recipe),
            "--steps",
            "2",
            "--device",
            "cpu",
        ]
        assert train_command.main(arguments) == 0
        assert len((out / "log.csv").read_text(encoding="utf-8").splitlines()) == 3
        assert list(out.glob("*.safetensors"))

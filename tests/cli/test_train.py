"""``cascade-train``: a few steps, a resume, and every bad input in one line."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest

from cascade.cli.train import main
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CASCADE
from cascade.networks.checkpoint import build_network, load_checkpoint, save_checkpoint
from cascade.phantom import PhantomSpec, render
from cascade.stage2_levels.target import CLASSES
from tests.synthetic import tiny_spec

ERROR = re.compile(r"^cascade: error: [^:]+: .+$")
STAGE_CLASSES = {"stage1_spine": ("background", "column"), "stage2_levels": CLASSES}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    image, labels = render(PhantomSpec(shape=(7, 61, 101), spacing_mm=(6.0, 3.0, 3.0)))
    write_volume(image, folder / "a_image.nii.gz")
    write_labels(labels.to_scheme(CASCADE, lost="drop"), folder / "a_labels.nii.gz")
    return folder


def write_recipe(path: Path, stage: str = "stage2_levels", channels: int = 12) -> Path:
    spec = json.loads(tiny_spec(stage, STAGE_CLASSES[stage], (6.0, 3.0, 3.0)).to_json())
    spec["network_arguments"]["channels"] = [channels]
    path.write_text(json.dumps({"steps": 4, "patches": [{"shape": [8, 16, 16], "batch": 1}], "spec": spec}), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "recipe.json")


def train(cases: Path, recipe: Path, out: Path, *more: str, stage: str = "stage2") -> int:
    return main([stage, "--data", str(cases), "--scheme", "cascade", "--recipe", str(recipe), "--out", str(out), "--device", "cpu", *more])


def error_of(capfd: pytest.CaptureFixture[str]) -> str:
    """The one error line on stderr."""
    stderr = capfd.readouterr().err
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith("cascade: error:")]
    assert ERROR.match(line)
    return line


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_both_stages_are_trained_from_a_folder(stage: str, cases: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    full = {"stage1": "stage1_spine", "stage2": "stage2_levels"}[stage]
    out = tmp_path / "run"
    assert train(cases, write_recipe(tmp_path / "r.json", full), out, stage=stage) == 0
    assert load_checkpoint(full, out).spec.training["steps_done"] == 4
    assert capfd.readouterr().out == f"{out / full}.safetensors\tstep 4 of 4\n"


def test_steps_replaces_the_recipes_and_resume_goes_on(
    cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert train(cases, recipe, out, "--steps", "6", "--minutes", "0") == 0
    assert "step 0 of 6" in capfd.readouterr().out
    assert train(cases, recipe, out, "--steps", "6", "--resume") == 0
    assert "step 6 of 6" in capfd.readouterr().out
    assert train(cases, recipe, tmp_path / "whole", "--steps", "6") == 0
    assert (out / "stage2_levels.safetensors").read_bytes() == (tmp_path / "whole" / "stage2_levels.safetensors").read_bytes()


def test_training_starts_from_the_weights_of_a_folder(cases: Path, recipe: Path, tmp_path: Path) -> None:
    assert train(cases, recipe, tmp_path / "first") == 0
    assert train(cases, recipe, tmp_path / "second", "--init", str(tmp_path / "first"), "--minutes", "0") == 0
    first, second = (tmp_path / name / "stage2_levels.safetensors" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_weights_tell_what_they_started_from_and_who_taught_them(cases: Path, recipe: Path, tmp_path: Path) -> None:
    assert train(cases, recipe, tmp_path / "first") == 0
    first = load_checkpoint("stage2_levels", tmp_path / "first").spec
    given = "--init", str(tmp_path / "first"), "--teacher", str(tmp_path / "first")
    assert train(cases, recipe, tmp_path / "second", *given, "--steps", "1") == 0
    told = load_checkpoint("stage2_levels", tmp_path / "second").spec.training["recipe"]
    assert told["started_from"] == told["teacher"] == first.checkpoint_sha256
    assert first.training["recipe"]["started_from"] == ""


def test_models_of_names_that_cannot_be_fitted_stay_those_of_the_weights_before(
    cases: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "recipe.json")
    assert train(cases, recipe, tmp_path / "first", "--steps", "1") == 0
    assert "too few spines for shape_model: names go without it" in capfd.readouterr().err
    spec = load_checkpoint("stage2_levels", tmp_path / "first").spec
    looks = {"weights": [1.0, 2.0, 3.0], "intercept": 0.5}
    save_checkpoint(build_network(spec), dataclasses.replace(spec, naming={**spec.naming, "s1_looks": looks}), tmp_path / "before")
    assert train(cases, recipe, tmp_path / "second", "--init", str(tmp_path / "before"), "--steps", "1") == 0
    assert "too few spines for s1_looks: that of --init stays" in capfd.readouterr().err
    assert load_checkpoint("stage2_levels", tmp_path / "second").spec.naming["s1_looks"] == looks


def test_the_mean_of_two_runs_is_written_without_data(cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs = [tmp_path / "first", tmp_path / "second"]
    for seed, run in enumerate(runs, start=1):
        assert train(cases, recipe, run, "--seed", str(seed)) == 0
    capfd.readouterr()
    assert main(["stage2", "--mean", *map(str, runs), "--odds", "disc=0.6", "--out", str(tmp_path / "mean")]) == 0
    assert capfd.readouterr().out == f"{tmp_path / 'mean' / 'stage2_levels'}.safetensors\tmean of 2\n"
    assert load_checkpoint("stage2_levels", tmp_path / "mean").spec.training["odds"] == {"disc": 0.6}
    assert len({(folder / "stage2_levels.safetensors").read_bytes() for folder in [*runs, tmp_path / "mean"]}) == 3


def test_made_scans_without_a_spine_are_trained_with_and_counted(cases: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r.json", "stage1_spine")
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"spineless": 3}))
    assert train(cases, recipe, tmp_path / "run", stage="stage1") == 0
    counts = json.loads((tmp_path / "run" / "stage1_spine.json").read_text())["training"]["cases"]
    assert counts["without-spine"] == 3
    assert sum(counts.values()) > 3


def test_a_case_that_cannot_be_used_is_a_warning(cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(cases, tmp_path / "cases"))
    shutil.copy(folder / "a_labels.nii.gz", folder / "b_labels.nii.gz")
    (folder / "b_image.nii.gz").write_text("no scan")
    assert train(folder, recipe, tmp_path / "run") == 0
    assert re.search(r"^cascade: warning: .*: case-not-used: .*b_image.nii.gz: expected a NIfTI", capfd.readouterr().err, re.MULTILINE)


class TestBadInput:
    def test_no_cases(self, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert train(tmp_path / "nowhere", recipe, tmp_path / "run") == 1
        assert "found none" in error_of(capfd)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("text", [None, "{", "{}"])
    def test_no_recipe(self, text: str | None, cases: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        if text is not None:
            (tmp_path / "r.json").write_text(text)
        assert train(cases, tmp_path / "r.json", tmp_path / "run") == 1
        assert "r.json: expected a training recipe in JSON" in error_of(capfd)
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("--learning-rate", "nan"), "learning_rate: expected above 0 to 1; found nan"),
            (("--learning-rate=-1",), "learning_rate: expected above 0 to 1; found -1.0"),
            (("--seed", "99999999999999999999"), "seed: expected 0 to below 2"),
        ],
    )
    def test_a_value_out_of_its_range(
        self, words: tuple[str, ...], expected: str, cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert train(cases, recipe, tmp_path / "run", *words) == 1
        assert expected in error_of(capfd)

    @pytest.mark.parametrize(
        ("stage", "words", "expected"),
        [("stage2", ("--minutes", "nan"), "--minutes"), ("stage1", ("--teacher", "runs"), "--teacher needs stage2")],
    )
    def test_options_that_cannot_be(
        self, stage: str, words: tuple[str, ...], expected: str, cases: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit):
            train(cases, recipe, Path("run"), *words, stage=stage)
        assert expected in capsys.readouterr().err

    def test_weights_that_are_not_there(self, cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        for option in ("--init", "--teacher"):
            assert train(cases, recipe, tmp_path / "run", option, str(tmp_path / "none")) == 1
            stderr = capfd.readouterr().err
            assert "expected a checkpoint file here" in stderr
            assert "preparing" not in stderr

    def test_weights_of_another_network(self, cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert train(cases, write_recipe(tmp_path / "small.json", channels=5), tmp_path / "small") == 0
        capfd.readouterr()
        assert train(cases, recipe, tmp_path / "run", "--init", str(tmp_path / "small")) == 1
        assert "do not fit the network of this recipe" in error_of(capfd)

    def test_an_output_that_cannot_be_written(self, cases: Path, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").write_text("")
        assert train(cases, recipe, tmp_path / "file" / "run") == 1
        assert "cannot write here" in error_of(capfd)

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["stage3", "--data", "x", "--out", "y"],
            ["stage1", "--out", "y"],
            ["stage1", "--data", "x"],
            ["stage1", "--data", "x", "--out", "y", "--colour"],
            ["stage1", "--data", "x", "--out", "y", "--steps", "many"],
            ["stage1", "--data", "x", "--out", "y", "--steps", "-1"],
            ["stage1", "--data", "x", "--out", "y", "--minutes", "long"],
            ["stage1", "--data", "x", "--out", "y", "--scheme", "verso"],
            ["stage1", "--data", "x", "--mean", "z", "--out", "y"],
            ["stage1", "--data", "x", "--out", "y", "--odds", "column=0.5"],
            ["stage1", "--mean", "x", "--out", "y", "--odds", "column"],
        ],
    )
    def test_an_unknown_option_or_value_exits_with_2(self, arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: cascade-train" in capfd.readouterr().err

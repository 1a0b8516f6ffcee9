"""Bundles run by MONAI: the same labels as `cascade-segment`, training, evaluation, and what goes wrong."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import cascade
from cascade.bundle import Evaluator, list_labelled, list_scans, load_weights, read_spec
from cascade.cli.segment import main as segment_command
from cascade.errors import CheckpointError, InputError, NoSpineError
from cascade.export.plans import CASCADE, LEVELS, PLANS, SPINE
from cascade.io.nifti import read_label_array
from cascade.networks.checkpoint import load_checkpoint
from cascade.pipeline import Segmenter
from cascade.segmentation import Segmentation
from cascade.stage1_spine.locate import COLUMN_PROBABILITY
from cascade.stage2_levels.classify import classify
from cascade.volume import resample_array
from tests.bundles import run, workflow


@pytest.fixture(scope="module")
def result(scans: Path, oracle_weights: Path) -> Segmentation:
    """The scan, segmented without bundles."""
    return Segmenter.from_pretrained("cpu", oracle_weights).segment(scans / "sub" / "a.nii.gz")


@pytest.fixture(scope="module")
def spine_dir(bundles: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the bundle of stage 1 leaves."""
    out = tmp_path_factory.mktemp("spine")
    run(bundles / SPINE.name, "inference", dataset_dir=scans, output_dir=out)
    return out


def test_the_workflow_writes_the_bytes_that_cascade_segment_writes(
    bundles: Path, scans: Path, oracle_weights: Path, tmp_path: Path
) -> None:
    run(bundles / CASCADE.name, "inference", dataset_dir=scans, output_dir=tmp_path / "bundle")
    assert segment_command([str(scans), "-o", str(tmp_path / "command"), "--device", "cpu", "--weights", str(oracle_weights)]) == 0
    bundle, command = (tmp_path / name / "sub" / "a.nii.gz" for name in ("bundle", "command"))
    assert len(np.unique(read_label_array(bundle)[0])) == 10
    assert bundle.read_bytes() == command.read_bytes()
    record = json.loads(bundle.with_name("a.json").read_text(encoding="utf-8"))
    assert [level["name"] for level in record["levels"]][-1] == "L5"


def test_the_command_line_runs_a_bundle_from_its_own_folder(bundles: Path, scans: Path, tmp_path: Path) -> None:
    options = ["--config_file", "configs/inference.json", "--dataset_dir", str(scans), "--output_dir", str(tmp_path), "--device", "cpu"]
    command = [sys.executable, "-m", "monai.bundle", "run", *options]
    environment = os.environ | {"PYTHONPATH": str(Path(cascade.__file__).parents[1])}
    done = subprocess.run(command, cwd=bundles / SPINE.name, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in sorted((tmp_path / "sub").iterdir())] == ["a_spine_seg.json", "a_spine_seg.nii.gz"]
    assert "INFO cascade.bundle.engine: 1 of 1: " in done.stderr


def test_another_scheme_can_be_asked_for(bundles: Path, scans: Path, result: Segmentation, tmp_path: Path) -> None:
    run(bundles / CASCADE.name, "inference", dataset_dir=scans, output_dir=tmp_path, scheme="verse")
    values = np.unique(read_label_array(tmp_path / "sub" / "a.nii.gz")[0])
    assert {20, 24, 120, 123} <= set(values.tolist())


def test_stage_1_writes_the_column_and_the_centreline_that_the_cascade_uses(spine_dir: Path, scans: Path, result: Segmentation) -> None:
    column, grid = read_label_array(spine_dir / "sub" / "a_spine_seg.nii.gz")
    assert grid.matches(result.scan.grid)
    probability = resample_array(result.spine.probability.data, result.spine.probability.grid, grid, order=1)
    assert column.any()
    assert not (column.astype(bool) & (probability <= COLUMN_PROBABILITY)).any()
    assert column.sum() > 0.95 * (probability > COLUMN_PROBABILITY).sum()
    record = json.loads((spine_dir / "sub" / "a_spine_seg.json").read_text(encoding="utf-8"))
    assert np.array_equal(record["centreline_mm"], result.spine.centreline_mm)
    assert record["confidence"] == result.spine.confidence


def test_stage_2_classifies_along_that_centreline_as_the_cascade_does(
    bundles: Path, spine_dir: Path, scans: Path, oracle_weights: Path, result: Segmentation, tmp_path: Path
) -> None:
    run(bundles / LEVELS.name, "inference", dataset_dir=scans, output_dir=tmp_path, spine_dir=spine_dir)
    tissues, grid = read_label_array(tmp_path / "sub" / "a_tissues_seg.nii.gz")
    expected = classify(result.scan, result.spine.centreline_mm, load_checkpoint("stage2_levels", oracle_weights))
    on_scan = [resample_array(p, expected.grid, grid, order=1) for p in expected.probabilities]
    assert np.array_equal(tissues, np.argmax(on_scan, axis=0))
    assert set(np.unique(tissues).tolist()) == {0, 1, 2, 3}


def test_stage_2_without_a_spine_names_the_bundle_that_finds_it(bundles: Path, scans: Path, tmp_path: Path) -> None:
    made = workflow(bundles / LEVELS.name, "inference", dataset_dir=scans, output_dir=tmp_path, spine_dir=tmp_path)
    with pytest.raises(InputError, match=r"a_spine_seg\.json: expected the centreline.*run the bundle cascade_spine_localization first"):
        made.inferer(made.dataset[0], made.network_def)


def test_stage_2_refuses_the_centreline_of_another_scan(bundles: Path, spine_dir: Path, scans: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "spine"
    shutil.copytree(spine_dir, elsewhere)
    (record_file,) = elsewhere.rglob("a_spine_seg.json")
    record = json.loads(record_file.read_text(encoding="utf-8"))
    record["centreline_mm"] = [[x, y + 500.0, z] for x, y, z in record["centreline_mm"]]
    record_file.write_text(json.dumps(record), encoding="utf-8")
    made = workflow(bundles / LEVELS.name, "inference", dataset_dir=scans, output_dir=tmp_path / "out", spine_dir=elsewhere)
    with pytest.raises(InputError, match=r"a_spine_seg\.json: expected the centreline of .*; it lies outside that scan"):
        made.inferer(made.dataset[0], made.network_def)


def test_one_bad_scan_stops_neither_the_others_nor_goes_unnoticed(bundles: Path, scans: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "0.nii.gz").write_text("no scan")
    (folder / "1.nii.gz").write_bytes((scans / "sub" / "a.nii.gz").read_bytes())
    made = workflow(bundles / SPINE.name, "inference", dataset_dir=folder, output_dir=tmp_path / "out")
    made.run()
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["1_spine_seg.json", "1_spine_seg.nii.gz"]
    with pytest.raises(RuntimeError) as caught:
        made.finalize()
    assert isinstance(caught.value.__cause__, InputError)
    assert "0.nii.gz: expected scans that can be used; 1 of 2 cannot" in str(caught.value.__cause__)


def test_the_evaluator_logs_errors_and_lets_bugs_through(scans: Path, caplog: pytest.LogCaptureFixture) -> None:
    def inferer(error: Exception) -> object:
        def fail(*_: object) -> object:
            raise error

        return fail

    items = [{"image": scans / "a.nii.gz", "name": "a"}]
    evaluator = Evaluator(items, torch.nn.Identity(), inferer(NoSpineError("a: no spine found")), dict)  # type: ignore[arg-type]
    evaluator.run()
    assert "a: no spine found" in caplog.text
    with pytest.raises(ZeroDivisionError):
        Evaluator(items, torch.nn.Identity(), inferer(ZeroDivisionError()), dict).run()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", PLANS, ids=[kind.name for kind in PLANS])
def test_evaluation_scores_an_oracle_high(bundles: Path, labelled: Path, tmp_path: Path, kind: object) -> None:
    if kind is LEVELS:
        run(bundles / SPINE.name, "inference", dataset_dir=labelled, output_dir=tmp_path / "spine")
    entries = {"spine_dir": tmp_path / "spine"} if kind is LEVELS else {}
    run(bundles / kind.name, "evaluate", dataset_dir=labelled, output_dir=tmp_path / "out", **entries)  # type: ignore[attr-defined]
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    dice = {row.get("class") or row["structure"]: float(row["dice"]) for row in rows}
    expected = {SPINE: {"column"}, LEVELS: {"body", "disc", "sacrum"}, CASCADE: {"L1", "L5", "L1-L2", "L4-L5"}}[kind]  # type: ignore[index]
    assert expected <= set(dice)
    assert min(dice[name] for name in expected) > 0.7


def test_a_case_without_a_prediction_counts_as_empty(bundles: Path, labelled: Path, tmp_path: Path) -> None:
    made = workflow(bundles / SPINE.name, "evaluate", dataset_dir=labelled, output_dir=tmp_path)
    made.parser.get_parsed_content("scorer").run()
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()[1].endswith(",column,0.0000")


@pytest.mark.parametrize("name", [SPINE.name, LEVELS.name])
def test_training_goes_on_from_the_bundles_weights_and_its_result_runs(
    bundles: Path, labelled: Path, scans: Path, recipes: dict[str, Path], tmp_path: Path, name: str
) -> None:
    entries = {"train::trainer::max_epochs": 2, "train::trainer::epoch_length": 1, "recipe_file": recipes[name]}
    run(bundles / name, "train", dataset_dir=labelled, output_dir=tmp_path, **entries)
    spec = read_spec(tmp_path / "model.json")
    assert spec.training["steps_done"] == 2
    trained = load_checkpoint(spec.stage, tmp_path).network.state_dict()
    before, after = (torch.load(folder / "model.pt", weights_only=True) for folder in (bundles / name / "models", tmp_path))
    assert all(torch.equal(after[key], trained[key]) for key in trained)
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert max(float((before[key] - after[key]).abs().max()) for key in before) < 0.2
    made = workflow(bundles / name, "inference", dataset_dir=scans, output_dir=tmp_path / "out", ckpt_dir=tmp_path)
    assert all(torch.equal(value, trained[key]) for key, value in made.network_def.state_dict().items())


def test_scans_are_listed_by_relative_path_without_labels_and_outputs(tmp_path: Path, scans: Path) -> None:
    content = (scans / "sub" / "a.nii.gz").read_bytes()
    for name in ("b.nii.gz", "x/c.nii.gz", "x/c_labels.nii.gz", "out/d.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").write_text("none")
    assert [item["name"] for item in list_scans(tmp_path, tmp_path / "out")] == ["b", "x/c"]


def test_two_scans_with_one_output_and_a_folder_without_scans_are_refused(tmp_path: Path, scans: Path) -> None:
    with pytest.raises(InputError, match=r"expected scan files .* for DICOM use cascade-segment"):
        list_scans(tmp_path, tmp_path / "out")
    for name in ("b.nii.gz", "b.nii"):
        (tmp_path / name).write_bytes((scans / "sub" / "a.nii.gz").read_bytes())
    with pytest.raises(InputError, match=r"b\.nii\.gz: expected a name of its own; found b\.nii beside it"):
        list_scans(tmp_path, tmp_path / "out")


def test_labelled_scans_come_with_their_cases(labelled: Path) -> None:
    (item,) = list_labelled(labelled)
    assert item["name"] == "a_image"
    assert item["case"].labels.name == "a_labels.nii.gz"


class TestWeights:
    def test_that_are_missing_or_something_else_are_named(self, tmp_path: Path) -> None:
        for name, content in (("none.pt", None), ("text.pt", b"text"), ("empty.pt", b"")):
            if content is not None:
                (tmp_path / name).write_bytes(content)
            with pytest.raises(CheckpointError, match=rf"{name}: expected the state_dict of Conv1d .*; export the bundle again"):
                load_weights(torch.nn.Conv1d(1, 1, 1), tmp_path / name)

    def test_of_another_network_are_refused(self, tmp_path: Path) -> None:
        torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match="expected the state_dict of Conv1d"):
            load_weights(torch.nn.Conv1d(1, 1, 1), tmp_path / "a.pt")
        torch.save([1, 2], tmp_path / "b.pt")
        with pytest.raises(CheckpointError, match="expected the state_dict of Conv1d"):
            load_weights(torch.nn.Conv1d(1, 1, 1), tmp_path / "b.pt")

    def test_put_the_network_into_evaluation_mode(self, tmp_path: Path) -> None:
        network = torch.nn.Linear(2, 2)
        torch.save(network.state_dict(), tmp_path / "a.pt")
        load_weights(network, tmp_path / "a.pt")
        assert not network.training

    def test_without_a_spec_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"model\.json: expected a StageSpec .*; export the bundle again"):
            read_spec(tmp_path / "model.json")

"""Training: the same batches at the same step, and a kill changes nothing."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cascade.errors import CascadeError, InputError, TrainingError
from cascade.io.cases import read_cases
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CASCADE
from cascade.networks.checkpoint import load_checkpoint
from cascade.phantom import PhantomSpec, render
from cascade.stage2_levels.target import CLASSES, target
from cascade.training import loop
from cascade.training.augmentation import Augmentation
from cascade.training.examples import Example, draw_batch, prepare_examples
from cascade.training.loop import RunOptions, train
from cascade.training.recipe import PatchChoice, Recipe
from tests.synthetic import tiny_spec

SPEC = tiny_spec("stage2_levels", CLASSES, (6.0, 3.0, 3.0))
RECIPE = Recipe(SPEC, steps=8, patches=(PatchChoice((8, 16, 24), 2), PatchChoice((8, 24, 16), 1)), learning_rate=0.01)

STILL = Augmentation(0, 0, 1.0, 0, *[0.0] * 9, noise=0)


@pytest.fixture(scope="session")
def cases_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantoms as a user's folder of pairs."""
    folder = tmp_path_factory.mktemp("cases")
    for seed in range(2):
        image, labels = render(PhantomSpec(shape=(9, 71, 111), spacing_mm=(6.0, 2.8, 2.8), seed=seed))
        write_volume(image, folder / f"{seed}_image.nii.gz")
        write_labels(labels.to_scheme(CASCADE, lost="drop"), folder / f"{seed}_labels.nii.gz")
    return folder


@pytest.fixture(scope="session")
def examples(cases_folder: Path) -> list[Example]:
    prepared, problems = prepare_examples(read_cases(cases_folder, scheme="cascade"), SPEC, target)
    assert not problems
    return prepared


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint("stage2_levels", folder).network.state_dict())


def log(folder: Path) -> list[tuple[int, float]]:
    with (folder / "log.csv").open() as stream:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]


class TestBatches:
    def test_the_same_step_is_the_same_batch_and_another_step_another(self, examples: list[Example]) -> None:
        first, again, other = (draw_batch(examples, RECIPE, step) for step in (3, 3, 4))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert first[0].shape != other[0].shape or not torch.equal(first[0], other[0])

    def test_another_seed_is_another_batch(self, examples: list[Example]) -> None:
        one, two = (draw_batch(examples, dataclasses.replace(RECIPE, seed=seed), 0) for seed in (1, 2))
        assert one[0].shape != two[0].shape or not torch.equal(one[0], two[0])

    def test_batches_do_not_depend_on_torchs_own_randomness(self, examples: list[Example]) -> None:
        torch.manual_seed(1)
        first = draw_batch(examples, RECIPE, 5)[0]
        torch.manual_seed(2)
        assert torch.equal(first, draw_batch(examples, RECIPE, 5)[0])

    def test_other_ranks_draw_other_patches_of_the_same_size(self, examples: list[Example]) -> None:
        for step in range(4):
            first, alone, other = (
                draw_batch(examples, RECIPE, step, 0),
                draw_batch(examples, RECIPE, step),
                draw_batch(examples, RECIPE, step, 1),
            )
            assert torch.equal(first[0], alone[0])
            assert first[0].shape == other[0].shape
            assert not torch.equal(first[0], other[0])

    @pytest.mark.parametrize(("balance", "expected"), [(0.0, 1 / 9), (0.5, 1 / (1 + 8**0.5)), (1.0, 1 / 2)])
    def test_balance_sets_how_often_a_data_set_of_one_case_is_drawn_beside_one_of_eight(
        self, examples: list[Example], balance: float, expected: float
    ) -> None:
        large, small = (
            dataclasses.replace(
                examples[0], case=dataclasses.replace(examples[0].case, dataset=name), allowed=torch.full_like(examples[0].allowed, bit)
            )
            for name, bit in (("large", 2), ("small", 4))
        )
        recipe = dataclasses.replace(RECIPE, patches=(PatchChoice((8, 16, 16), 8),), augmentation=STILL, balance=balance)
        drawn = torch.cat([draw_batch([small] + 8 * [large], recipe, step)[1] for step in range(50)])
        shown = (drawn == 4).flatten(1).any(1).float().mean()
        assert abs(shown - expected) < 0.06

    def test_batches_have_the_recipes_shapes_and_finite_values(self, examples: list[Example]) -> None:
        shapes = set()
        for step in range(12):
            images, allowed = draw_batch(examples, RECIPE, step)
            assert images.dtype == torch.float32
            assert allowed.dtype == torch.uint8
            assert torch.isfinite(images).all()
            assert images.shape[2:] == allowed.shape[1:]
            assert int(allowed.max()) < 1 << len(CLASSES)
            shapes.add((images.shape[0], tuple(images.shape[2:])))
        assert shapes == {(2, (8, 16, 24)), (1, (8, 24, 16))}

    def test_patches_show_labelled_structures(self, examples: list[Example]) -> None:
        shown = [bool((draw_batch(examples, RECIPE, step)[1] == 2).any()) for step in range(12)]
        assert sum(shown) >= 9

    def test_without_variation_a_patch_is_a_piece_of_the_scan(self, examples: list[Example]) -> None:
        recipe = dataclasses.replace(RECIPE, augmentation=STILL, jitter_mm=0.0)
        images, allowed = draw_batch(examples, recipe, 0)
        assert images.std() > 0.1
        assert (allowed > 0).any()


class TestLoop:
    def test_training_leaves_usable_weights_state_and_log(self, examples: list[Example], tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        spec = train(examples, RECIPE, tmp_path, RunOptions(progress=lambda step, steps, _: seen.append((step, steps))))
        assert {path.name for path in tmp_path.iterdir()} == {
            "stage2_levels.json",
            "stage2_levels.safetensors",
            "state.pt",
            "log.csv",
        }
        assert spec.training["steps_done"] == 8
        assert sum(spec.training["cases"].values()) == 2
        assert spec.training["recipe"]["learning_rate"] == 0.01
        assert load_checkpoint("stage2_levels", tmp_path).spec.checkpoint_sha256 == spec.checkpoint_sha256
        assert [step for step, _ in log(tmp_path)] == list(range(1, 9))
        assert seen == [(step, 8) for step in range(1, 9)]

    def test_a_cpu_computes_in_float32_whatever_units_it_has(
        self, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[torch.dtype] = []
        loss = loop.partial_label_loss
        monkeypatch.setattr(loop, "partial_label_loss", lambda logits, allowed: (seen.append(logits.dtype), loss(logits, allowed))[1])
        train(examples, dataclasses.replace(RECIPE, steps=2), tmp_path)
        assert seen == [torch.float32] * 2

    def test_the_loss_falls(self, examples: list[Example], tmp_path: Path) -> None:
        recipe = dataclasses.replace(RECIPE, steps=60, learning_rate=0.05, patches=(PatchChoice((8, 16, 16), 1),))
        train(examples, recipe, tmp_path)
        losses = [loss for _, loss in log(tmp_path)]
        assert np.mean(losses[-15:]) < np.mean(losses[:15])

    def test_equal_runs_give_equal_weights(self, examples: list[Example], tmp_path: Path) -> None:
        for name in ("a", "b"):
            train(examples, RECIPE, tmp_path / name)
        assert (tmp_path / "a" / "stage2_levels.safetensors").read_bytes() == (tmp_path / "b" / "stage2_levels.safetensors").read_bytes()

    def test_a_killed_run_goes_on_as_if_nothing_had_happened(
        self, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train(examples, RECIPE, tmp_path / "whole")
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

        def kill(step: int, steps: int, loss: float) -> None:
            if step == 5:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(examples, RECIPE, tmp_path / "killed", RunOptions(progress=kill))
        train(examples, RECIPE, tmp_path / "killed", RunOptions(resume=True))
        whole, killed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
        assert all(torch.equal(whole[name], killed[name]) for name in whole)
        assert log(tmp_path / "killed") == log(tmp_path / "whole")

    def test_the_log_says_how_fast_and_how_long(self, examples: list[Example], tmp_path: Path) -> None:
        train(examples, dataclasses.replace(RECIPE, steps=3), tmp_path)
        (tmp_path / "log.csv").write_text("step,loss\n1,0.9\n2,0.8\n3,0.7\n")  # as written before there were more columns
        train(examples, RECIPE, tmp_path, RunOptions(resume=True))
        with (tmp_path / "log.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert [row["step"] for row in rows] == [str(n) for n in range(1, 9)]
        assert rows[0] == {"step": "1", "loss": "0.9", "learning_rate": "", "seconds": ""}
        assert float(rows[7]["learning_rate"]) == pytest.approx(0.01 * loop._schedule(7, 8), rel=1e-3)
        assert float(rows[7]["seconds"]) > 0

    def test_pictures_show_patch_truth_and_prediction_and_change_nothing(
        self, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        train(examples, RECIPE, tmp_path / "without")
        monkeypatch.setattr(loop, "PICTURE_STEPS", 3)
        train(examples, RECIPE, tmp_path / "with")
        without, with_pictures = weights(tmp_path / "without"), weights(tmp_path / "with")
        assert all(torch.equal(without[name], with_pictures[name]) for name in without)
        assert not (tmp_path / "without" / "progress.png").exists()
        with Image.open(tmp_path / "with" / "progress.png") as picture:
            assert picture.size in {(3 * 3 * rows, 3 * columns) for _, rows, columns in ((8, 16, 24), (8, 24, 16))}
            assert len(picture.getcolors(picture.width * picture.height)) > 20

    def test_a_run_stopped_by_the_clock_can_be_resumed(self, examples: list[Example], tmp_path: Path) -> None:
        spec = train(examples, RECIPE, tmp_path, RunOptions(max_seconds=0.0))
        assert spec.training["steps_done"] == 0
        assert train(examples, RECIPE, tmp_path, RunOptions(resume=True)).training["steps_done"] == 8

    def test_without_resume_a_run_starts_afresh(self, examples: list[Example], tmp_path: Path) -> None:
        train(examples, dataclasses.replace(RECIPE, steps=3), tmp_path)
        assert train(examples, RECIPE, tmp_path).training["steps_done"] == 8
        assert [step for step, _ in log(tmp_path)] == list(range(1, 9))

    def test_training_starts_from_given_weights(self, examples: list[Example], tmp_path: Path) -> None:
        train(examples, dataclasses.replace(RECIPE, seed=9), tmp_path / "first")
        network = load_checkpoint("stage2_levels", tmp_path / "first").network
        train(examples, RECIPE, tmp_path / "second", RunOptions(init=network, max_seconds=0.0))
        first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_weights_of_another_network_are_refused(self, examples: list[Example], tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match="do not fit the network of this recipe"):
            train(examples, RECIPE, tmp_path, RunOptions(init=torch.nn.Conv3d(1, 4, 1)))

    def test_where_torch_cannot_compile_the_error_says_so(
        self, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: Any, **__: Any) -> Any:
            raise RuntimeError("no C++ compiler\nfor more context, ...")

        monkeypatch.setattr(torch, "compile", fails)
        with pytest.raises(TrainingError, match=r"cannot compile on this machine \(no C\+\+ compiler\); train without --compile"):
            train(examples, dataclasses.replace(RECIPE, compiled=True), tmp_path)

    @pytest.mark.full
    def test_a_compiled_network_learns_the_same(self, examples: list[Example], tmp_path: Path) -> None:
        for folder, compiled in (("plain", False), ("compiled", True)):
            train(examples, dataclasses.replace(RECIPE, compiled=compiled, steps=2), tmp_path / folder)
        plain, compiled_ = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
        assert all(torch.allclose(plain[name], compiled_[name], atol=1e-3) for name in plain)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_loss_that_is_no_number_stops_training(self, examples: list[Example], tmp_path: Path, bad: float) -> None:
        broken = [dataclasses.replace(e, image=torch.full_like(e.image, bad)) for e in examples]
        with pytest.raises(TrainingError, match=r"the loss is (nan|inf|-inf) at step 0; resume from the last state"):
            train(broken, dataclasses.replace(RECIPE, augmentation=STILL), tmp_path)
        assert not (tmp_path / "stage2_levels.safetensors").exists()

    @pytest.mark.parametrize("content", [b"", b"no state", "another"])
    def test_a_state_that_does_not_fit_is_refused(self, examples: list[Example], tmp_path: Path, content: Any) -> None:
        if content == "another":
            torch.save({"step": 1, "network": {}, "average": {}, "optimizer": {}}, tmp_path / "state.pt")
        else:
            (tmp_path / "state.pt").write_bytes(content)
        with pytest.raises(TrainingError, match=r"(?s)state\.pt: expected the state of a run of this recipe .* train into a new folder"):
            train(examples, RECIPE, tmp_path, RunOptions(resume=True))


class TestExamples:
    def test_a_case_that_cannot_be_used_is_reported_and_the_others_are_used(self, cases_folder: Path, tmp_path: Path) -> None:
        cases = read_cases(cases_folder, scheme="cascade")
        broken = dataclasses.replace(cases[0], labels=tmp_path / "none.nii.gz")
        examples, problems = prepare_examples([broken, cases[1]], SPEC, target)
        assert [example.case for example in examples] == [cases[1]]
        assert len(problems) == 1
        assert "none.nii.gz" in problems[0]

    def test_what_is_not_finite_is_background_and_said(self, cases_folder: Path, tmp_path: Path) -> None:
        case = read_cases(cases_folder, scheme="cascade")[0]
        volume, _ = case.load()
        volume.data[2, 10:20, :] = math.nan
        volume.data[3, 10, 10] = math.inf
        write_volume(volume, tmp_path / "a_image.nii.gz")
        (example,), problems = prepare_examples([dataclasses.replace(case, image=tmp_path / "a_image.nii.gz")], SPEC, target)
        assert not problems
        assert torch.isfinite(example.image).all()
        assert "NaN or infinite, within the indices 2-3, 10-19, 0-110; they are taken as background" in example.notices[0].text
        volume.data[:] = math.nan
        write_volume(volume, tmp_path / "b_image.nii.gz")
        with pytest.raises(InputError, match="no voxel holds a finite number"):
            prepare_examples([dataclasses.replace(case, image=tmp_path / "b_image.nii.gz")], SPEC, target)

    def test_no_usable_case_is_an_error(self, cases_folder: Path, tmp_path: Path) -> None:
        broken = dataclasses.replace(read_cases(cases_folder, scheme="cascade")[0], labels=tmp_path / "none.nii.gz")
        with pytest.raises(InputError, match="at least one usable training case"):
            prepare_examples([broken], SPEC, target)

    def test_examples_are_on_the_working_grid_with_centres_on_structures(self, examples: list[Example]) -> None:
        for example in examples:
            assert example.image.shape == example.allowed.shape
            values = example.allowed.numpy()[tuple(example.centres.T)]
            assert set(np.unique(values)) <= {2, 4, 8}


class TestRecipe:
    def test_the_packages_recipes_can_be_read(self) -> None:
        from cascade.stages import STAGES

        for stage in STAGES.values():
            recipe = Recipe.read(stage.recipe, steps=5)
            assert recipe.steps == 5
            for choice in recipe.patches:
                assert all(n % s == 0 for n, s in zip(choice.shape, recipe.spec.stride, strict=True))

    def test_patches_that_the_network_cannot_halve_are_refused(self, tmp_path: Path) -> None:
        from cascade.stages import STAGES

        content = json.loads(STAGES["stage2"].recipe.read_text())
        content["patches"][0]["shape"] = [48, 112, 112]
        path = tmp_path / "recipe.json"
        path.write_text(json.dumps(content))
        with pytest.raises(
            InputError, match=r"recipe\.json: .*patches: expected sides that are multiples of the network's stride, \(16, 32, 32\)"
        ):
            Recipe.read(path)

    @pytest.mark.parametrize("text", [None, "", "{}", "[1]", '{"spec": {}}', '{"spec": 3, "steps": 1, "patches": []}'])
    def test_a_file_that_is_no_recipe_is_named(self, tmp_path: Path, text: str | None) -> None:
        path = tmp_path / "recipe.json"
        if text is not None:
            path.write_text(text)
        with pytest.raises(Exception, match=r"recipe\.json: expected a (training recipe|StageSpec) in JSON") as caught:
            Recipe.read(path)
        assert isinstance(caught.value, CascadeError)

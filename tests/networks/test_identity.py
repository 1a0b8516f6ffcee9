"""A checkpoint has one identity: whatever decides a result and is changed is refused, or seen as another checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cascade.cohorts.job import MANIFEST, Job
from cascade.cohorts.manifest import Manifest, Outcome, digest_of
from cascade.cohorts.run import Task
from cascade.errors import CheckpointError
from cascade.networks.checkpoint import build_network, load_checkpoint, packaged_weights, save_checkpoint
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.pipeline import Segmenter
from tests.networks.test_checkpoint import SHAPE_MODEL
from tests.networks.test_unet import SPEC as UNET

STAGE = UNET.stage
SPEC = dataclasses.replace(UNET, naming={"shape_model": SHAPE_MODEL}, training={"steps_done": 7})
Content = dict[str, Any]


def eps(content: Content) -> None:
    content["network_arguments"]["norm"] = ["instance", {"eps": 1.001e-5}]


def stride_of_the_network(content: Content) -> None:
    content["network_arguments"]["strides"] = [2, 2]


def class_name(content: Content) -> None:
    content["classes"][1] = "spine"


def spacing(content: Content) -> None:
    content["spacing_mm"][0] += 1e-9


def patch(content: Content) -> None:
    content["patch_shape"][0] = 64


def multiple(content: Content) -> None:
    content["stride"][0] = 8


def axes(content: Content) -> None:
    content["axcodes"] = "LAS"


def percentile(content: Content) -> None:
    content["normalisation"]["low_percentile"] = 1e-6


def naming_number(content: Content) -> None:
    content["naming"]["shape_model"]["factors"][17][1] += 1e-9


def temperature(content: Content) -> None:
    content["naming"]["shape_model"]["temperature"] = 2.5


def no_naming(content: Content) -> None:
    content["naming"] = {}


CHANGES = (eps, stride_of_the_network, class_name, spacing, patch, multiple, axes, percentile, naming_number, temperature, no_naming)


def changed(change: Callable[[Content], None], text: str) -> str:
    content = json.loads(text)
    change(content)
    return json.dumps(content)


def respecified(change: Callable[[Content], None], spec: StageSpec = SPEC) -> StageSpec:
    """The spec that says so from the start."""
    return StageSpec.from_json(changed(change, spec.to_json()))


def save(folder: Path, spec: StageSpec = SPEC) -> StageSpec:
    torch.manual_seed(0)
    return save_checkpoint(build_network(spec), spec, folder)


def one_weight(folder: Path) -> None:
    """Save the checkpoint again with one weight a little larger."""
    network = load_checkpoint(STAGE, folder).network
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] *= 1.01
    save_checkpoint(network, SPEC, folder)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_entry_is_refused(change: Callable[[Content], None], tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / f"{STAGE}.json"
    path.write_text(changed(change, path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"stage1_spine\.json: .*checkpoint_sha256: expected .* one of them is altered"):
        load_checkpoint(STAGE, tmp_path)


def test_every_kind_of_change_is_another_checkpoint(tmp_path: Path) -> None:
    found = [save(tmp_path).checkpoint_sha256, *(respecified(change).checkpoint_sha256 for change in CHANGES)]
    one_weight(tmp_path)
    found.append(load_checkpoint(STAGE, tmp_path).spec.checkpoint_sha256)
    assert len(set(found)) == len(CHANGES) + 2


def test_what_decides_nothing_is_no_part_of_it() -> None:
    told = dataclasses.replace(SPEC, training={"steps_done": 8})
    whole = dataclasses.replace(SPEC, spacing_mm=(4, 2, 2))
    assert told.checkpoint_sha256 == SPEC.checkpoint_sha256
    assert whole.checkpoint_sha256 == SPEC.checkpoint_sha256


def test_it_can_be_computed_from_the_file_as_is_documented(tmp_path: Path) -> None:
    content = json.loads(save(tmp_path, dataclasses.replace(SPEC, naming={}, spacing_mm=(4, 2, 2))).to_json())
    told = content.pop("checkpoint_sha256")
    del content["training"]
    content["normalisation"] = {"low_percentile": 0, "high_percentile": 100}
    assert content["weights_sha256"] == hashlib.sha256((tmp_path / f"{STAGE}.safetensors").read_bytes()).hexdigest()
    assert told == hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_checkpoint_that_does_not_tell_its_own_is_refused_with_the_way_out(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / f"{STAGE}.json"
    path.write_text(changed(lambda content: content.pop("checkpoint_sha256"), path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"it is missing; .* python -m cascade\.cli\.convert DIR"):
        load_checkpoint(STAGE, tmp_path)


@pytest.mark.parametrize("change", [eps, percentile, naming_number, None])
def test_a_worker_refuses_another_checkpoint(change: Callable[[Content], None] | None, tmp_path: Path) -> None:
    save(tmp_path)
    text = pickle.dumps(load_checkpoint(STAGE, tmp_path))
    pickle.loads(text)
    if change is None:
        one_weight(tmp_path)
    else:
        save(tmp_path, respecified(change))
    later = pickle.dumps(load_checkpoint(STAGE, tmp_path))
    save(tmp_path)
    with pytest.raises(CheckpointError, match="give all workers the same checkpoint"):
        pickle.loads(later)


def test_a_worker_refuses_a_spec_that_was_changed_in_memory(tmp_path: Path) -> None:
    save(tmp_path)
    loaded = load_checkpoint(STAGE, tmp_path)
    text = pickle.dumps(dataclasses.replace(loaded, spec=dataclasses.replace(loaded.spec, naming={})))
    with pytest.raises(CheckpointError, match="give all workers the same checkpoint"):
        pickle.loads(text)


@pytest.mark.parametrize("change", [eps, percentile, naming_number, None])
def test_a_resumed_run_does_again_what_another_checkpoint_made(change: Callable[[Content], None] | None, tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_text("voxels")
    job = Job(tmp_path / "scan.nii", tmp_path / "out" / "scan.nii.gz")
    job.output.parent.mkdir()
    job.output.write_text("labels")
    save(tmp_path)

    def made_with() -> dict[str, Any]:
        checkpoint = load_checkpoint(STAGE, tmp_path)
        return Task(Segmenter(checkpoint, checkpoint)).made_with()

    with Manifest(tmp_path / "out" / MANIFEST, made_with()) as manifest:
        manifest.add(job, Outcome("done", input_sha256=digest_of(job.image)))
    with Manifest(tmp_path / "out" / MANIFEST, made_with()) as manifest:
        assert manifest.known(job)
    if change is None:
        one_weight(tmp_path)
    else:
        save(tmp_path, respecified(change))
    with Manifest(tmp_path / "out" / MANIFEST, made_with()) as manifest:
        assert manifest.known(job) is None


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
def test_the_packaged_checkpoint_leaves_no_naming_parameter_to_the_code() -> None:
    """If not: delete its entry checkpoint_sha256, and run ``python -m cascade.cli.convert weights``."""
    spec = load_checkpoint("stage2_levels").spec
    assert spec.naming == spec.naming_parameters.to_json()


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("stage", CASCADE_STAGES)
def test_the_model_card_tells_the_identity_of_the_packaged_checkpoints(stage: str) -> None:
    card = (packaged_weights() / "README.md").read_text(encoding="utf-8")
    assert f"`{load_checkpoint(stage).spec.checkpoint_sha256}`" in card

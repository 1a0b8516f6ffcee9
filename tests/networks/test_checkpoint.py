"""Checkpoints: what travels with the weights, and every way in which a file can be wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from cascade.errors import CascadeError, CheckpointError
from cascade.networks.checkpoint import build_network, choose_device, load_checkpoint, packaged_weights, save_checkpoint
from cascade.networks.patches import patch_shape_for
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.postproc.parameters import CostParameters, NamingParameters
from tests.synthetic import tiny_spec

STAGE = "stage1_spine"
#: Of six features and eighteen levels.
SHAPE_MODEL = {
    "mean": [1.5] * 108,
    "deviation": [2.0] * 108,
    "factors": [[0.5, 0.1]] * 108,
    "degrees_of_freedom": 20.0,
    "temperature": 2.0,
}


@pytest.fixture
def spec() -> StageSpec:
    return tiny_spec(
        STAGE,
        ("background", "column"),
        (4.0, 2.0, 2.0),
        naming={"shape_model": SHAPE_MODEL},
        training={"steps_done": 7},
    )


@pytest.fixture
def folder(tmp_path: Path, spec: StageSpec) -> Path:
    torch.manual_seed(0)
    save_checkpoint(build_network(spec), spec, tmp_path)
    return tmp_path


def refused(folder: Path, name: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        load_checkpoint(STAGE, folder)
    assert str(caught.value).startswith(str(folder / name))


def test_a_checkpoint_comes_back_as_it_was_saved(folder: Path, spec: StageSpec) -> None:
    loaded = load_checkpoint(STAGE, folder)
    assert dataclasses.replace(loaded.spec, weights_sha256="") == spec
    torch.manual_seed(0)
    original = build_network(spec).state_dict()
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, original[name].half().float())
    assert not loaded.network.training


@pytest.mark.parametrize(
    ("naming", "said"),
    [
        ({"shape_model": SHAPE_MODEL | {"mean": [1.0] * 107}}, "naming.shape_model.mean: expected 108 entries"),
        ({"shape_model": SHAPE_MODEL | {"temperature": -1.0}}, "naming.shape_model.temperature: expected more than 0"),
        ({"costs": {"possible": -1.0}}, "naming.costs.possible: expected 0 to 1000; found -1"),
        ({"chain": {"min_bodies": "2"}}, "naming.chain.min_bodies: expected int; found str"),
        ({"costs": {"posible": 1.0}}, "naming.costs.posible: expected no such entry"),
    ],
)
def test_naming_parameters_that_are_none_are_refused(folder: Path, naming: dict[str, object], said: str) -> None:
    path = folder / f"{STAGE}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | {"naming": naming}), encoding="utf-8")
    refused(folder, f"{STAGE}.json", said)


def test_a_naming_parameter_that_a_spec_leaves_out_has_its_default(spec: StageSpec) -> None:
    said = dataclasses.replace(spec, naming=spec.naming | {"costs": {"possible": 2.5}}).naming_parameters
    assert said == dataclasses.replace(spec.naming_parameters, costs=CostParameters(possible=2.5))
    assert dataclasses.replace(spec, naming={}).naming_parameters == NamingParameters()
    assert dataclasses.replace(spec, naming=said.to_json()).naming_parameters == said


def test_saving_twice_gives_equal_bytes(tmp_path: Path, spec: StageSpec) -> None:
    network = build_network(spec)
    for name in ("a", "b"):
        save_checkpoint(network, spec, tmp_path / name)
    for suffix in (".json", ".safetensors"):
        assert (tmp_path / "a" / (STAGE + suffix)).read_bytes() == (tmp_path / "b" / (STAGE + suffix)).read_bytes()


def test_a_spec_survives_json(spec: StageSpec) -> None:
    again = StageSpec.from_json(spec.to_json())
    assert again == spec
    assert isinstance(again.spacing_mm, tuple)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_named(folder: Path, suffix: str) -> None:
    (folder / (STAGE + suffix)).unlink()
    refused(folder, STAGE + suffix, "expected a checkpoint file here; there is none")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", f"{STAGE}.json", "there is none")


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_truncated_weights_are_named(folder: Path, kept: int) -> None:
    path = folder / f"{STAGE}.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    refused(folder, path.name, r"expected sha256 [0-9a-f]{12}\.\.\., found .* truncated or altered; restore it from the release")


def test_one_altered_bit_is_noticed(folder: Path) -> None:
    path = folder / f"{STAGE}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(folder, path.name, "altered")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"text"', "{}", '{"format": 1}', '{"format": 99, "stage": "stage1_spine"}', '{"format": 1, "stage": "x"}'],
)
def test_a_spec_that_is_no_spec_is_named(folder: Path, text: str) -> None:
    (folder / f"{STAGE}.json").write_text(text)
    refused(folder, f"{STAGE}.json", "expected a StageSpec in JSON")


@pytest.mark.parametrize("change", [{"colour": "blue"}, {"normalisation": {"middle": 1}}, {"spacing_mm": 3}, {"classes": None}])
def test_a_spec_with_other_fields_is_named(folder: Path, change: dict[str, object]) -> None:
    path = folder / f"{STAGE}.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change))
    refused(folder, path.name, "expected a StageSpec in JSON")


def test_a_spec_that_is_not_text_is_named(folder: Path) -> None:
    (folder / f"{STAGE}.json").write_bytes(bytes(range(256)))
    refused(folder, f"{STAGE}.json", "expected a StageSpec in JSON")


def test_weights_of_another_network_are_named(folder: Path) -> None:
    path = folder / f"{STAGE}.json"
    spec = StageSpec.from_json(path.read_text(encoding="utf-8"))
    path.write_text(dataclasses.replace(spec, network_arguments={**spec.network_arguments, "channels": [5]}).to_json(), encoding="utf-8")
    refused(folder, f"{STAGE}.safetensors", "do not fit the network")


@pytest.mark.parametrize("change", [{"network": "NoSuchNet"}, {"network_arguments": {"depth": 3}}])
def test_a_network_that_cannot_be_built_is_a_checkpoint_error(spec: StageSpec, change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="expected arguments that"):
        build_network(dataclasses.replace(spec, **change))  # type: ignore[arg-type]


def test_the_recipes_name_networks_that_can_be_built() -> None:
    import cascade.stage1_spine as one
    import cascade.stage2_levels as two

    for package in (one, two):
        recipe = json.loads(Path(str(package.__file__)).with_name("recipe.json").read_text(encoding="utf-8"))
        spec = StageSpec.from_json(json.dumps(recipe["spec"]))
        smallest = patch_shape_for((1, 1, 1), spec)
        assert build_network(spec)(torch.zeros(1, 1, *smallest)).shape == (1, len(spec.classes), *smallest)


def test_a_device_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(CascadeError, match=r"device 'abacus': expected one that is there: auto, cpu"):
        choose_device("abacus")


def test_the_packaged_weights_are_found_whatever_is_installed() -> None:
    assert (packaged_weights() / "__init__.py").is_file()


@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("stage", CASCADE_STAGES)
def test_the_packaged_weights_are_whole(stage: str) -> None:
    checkpoint = load_checkpoint(stage)
    assert checkpoint.spec.stage == stage
    assert checkpoint.spec.training["cases"]

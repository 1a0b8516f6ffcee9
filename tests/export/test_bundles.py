"""What is in a bundle, and what MONAI's own checks say of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import monai
import numpy as np
import pytest
import torch
from monai.bundle import verify_metadata, verify_net_in_out

import cascade
from cascade.export.bundles import licence
from cascade.export.networks import torch_runner, torchscript_runner
from cascade.export.plans import CASCADE, LEVELS, PLANS, SPINE
from cascade.networks.checkpoint import build_network, load_checkpoint
from tests.bundles import workflow

NAMES = [plan.name for plan in PLANS]
FILES = {
    "LICENSE",
    "configs/evaluate.json",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/metadata_schema.json",
    "configs/train.json",
    "docs/README.md",
    "models/model.json",
    "models/model.pt",
    "models/model.ts",
}


def metadata(bundle: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_holds_what_the_specification_asks_for_and_nothing_else(bundles: Path, name: str) -> None:
    found = {path.relative_to(bundles / name).as_posix() for path in (bundles / name).rglob("*") if path.is_file()}
    second = {f"models/spine.{suffix}" for suffix in ("pt", "ts", "json")} if name == CASCADE.name else set()
    assert found == FILES | second
    assert (bundles / name / "LICENSE").read_text(encoding="utf-8") == licence()
    assert "Apache License" in licence()


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_the_weights_are_a_plain_state_dict_equal_to_the_checkpoints(bundles: Path, oracle_weights: Path, plan: object) -> None:
    for model, stage in plan.models.items():  # type: ignore[attr-defined]
        state = torch.load(bundles / plan.name / "models" / f"{model}.pt", weights_only=True)  # type: ignore[attr-defined]
        original = load_checkpoint(stage, oracle_weights).network.state_dict()
        assert state.keys() == original.keys()
        assert all(torch.equal(state[name], original[name]) for name in original)


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_weights_and_config_give_the_same_network(bundles: Path, name: str) -> None:
    network = workflow(bundles / name, "inference", dataset_dir=bundles).network_def
    image = np.random.default_rng(5).normal(size=(1, 1, 8, 12, 16)).astype(np.float32)
    expected = torch_runner(network)(image)
    np.testing.assert_allclose(torchscript_runner(bundles / name / "models" / "model.ts")(image), expected, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_monais_checks_pass_without_network(bundles: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr("monai.apps.utils._download_with_progress", refuse)
    configs = bundles / name / "configs"
    verify_metadata(meta_file=str(configs / "metadata.json"), filepath=str(configs / "metadata_schema.json"))
    for n in (1, 2):
        files = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
        verify_net_in_out("network_def", **files, device="cpu", n=n)


@pytest.mark.parametrize("field", ["version", "monai_version", "pytorch_version", "numpy_version", "network_data_format", "task"])
def test_the_schema_notices_what_is_missing(bundles: Path, field: str) -> None:
    bundle = bundles / SPINE.name
    schema = json.loads((bundle / "configs" / "metadata_schema.json").read_text(encoding="utf-8"))
    content = metadata(bundle)
    jsonschema.validate(content, schema)
    del content[field]
    with pytest.raises(jsonschema.ValidationError, match=field):
        jsonschema.validate(content, schema)


def test_the_schema_notices_a_wrong_channel_count_and_a_shape_that_is_no_pattern(bundles: Path) -> None:
    schema = json.loads((bundles / SPINE.name / "configs" / "metadata_schema.json").read_text(encoding="utf-8"))
    for field, value in (("num_channels", 0), ("spatial_shape", ["8*n", "16*n", "wide"]), ("dtype", "float64")):
        content = metadata(bundles / SPINE.name)
        content["network_data_format"]["inputs"]["image"][field] = value  # type: ignore[index]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content, schema)


@pytest.mark.parametrize("name", NAMES)
def test_the_metadata_states_the_versions_that_wrote_it(bundles: Path, name: str) -> None:
    content = metadata(bundles / name)
    assert content["version"] == cascade.__version__
    assert content["monai_version"] == monai.__version__
    assert str(torch.__version__).startswith(str(content["pytorch_version"]))
    assert content["numpy_version"] == np.__version__


def test_the_workflow_describes_both_networks(bundles: Path) -> None:
    content = metadata(bundles / CASCADE.name)
    assert content["network_data_format"] == metadata(bundles / LEVELS.name)["network_data_format"]
    assert content["spine_data_format"] == metadata(bundles / SPINE.name)["network_data_format"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("config", ["inference", "evaluate", "train"])
def test_every_property_that_monai_expects_of_a_workflow_is_there(
    bundles: Path, name: str, config: str, labelled: Path, tmp_path: Path, recipes: dict[str, Path]
) -> None:
    entries = {"recipe_file": recipes[name], "label_scheme": "verse"} if config == "train" else {}
    made = workflow(bundles / name, config, dataset_dir=labelled, output_dir=tmp_path, **entries)
    assert made.check_properties() == []


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_says_how_to_run_it_and_leaves_no_placeholder(bundles: Path, name: str) -> None:
    text = (bundles / name / "docs" / "README.md").read_text(encoding="utf-8")
    assert f"cd {name}" in text
    assert "python -m monai.bundle run --config_file configs/inference.json" in text
    assert "$" not in text


def test_the_model_card_of_the_weights_comes_along(oracle_weights: Path, tmp_path: Path) -> None:
    from cascade.export.bundles import export_bundles

    weights = Path(shutil.copytree(oracle_weights, tmp_path / "weights"))
    (weights / "README.md").write_text("# Model card", encoding="utf-8")
    folder = next(export_bundles(tmp_path / "out", weights))
    assert (folder / "docs" / "model_card.md").read_text(encoding="utf-8") == "# Model card"


def test_the_metadata_tells_the_checkpoints(bundles: Path, oracle_weights: Path) -> None:
    told = str(metadata(bundles / CASCADE.name)["changelog"])
    assert all(load_checkpoint(stage, oracle_weights).spec.checkpoint_sha256 in told for stage in ("stage1_spine", "stage2_levels"))


def test_a_bundle_without_recorded_training_says_so(bundles: Path) -> None:
    assert metadata(bundles / SPINE.name)["data_source"] == "not recorded"


def test_the_configs_name_networks_that_can_be_built(bundles: Path, oracle_weights: Path) -> None:
    for plan in PLANS:
        config = json.loads((bundles / plan.name / "configs" / "inference.json").read_text(encoding="utf-8"))
        spec = load_checkpoint(plan.stage, oracle_weights).spec
        assert config["network_def"]["_target_"] == f"monai.networks.nets.{type(build_network(spec)).__name__}"

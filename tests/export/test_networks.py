"""TorchScript and ONNX files compute what torch computes, at every input shape that the StageSpec allows."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade.errors import ExportError, MissingExtraError
from cascade.export import networks
from cascade.export.networks import compare, export_networks, onnx_runner, torch_runner, torchscript_runner, write_onnx
from cascade.export.networks import write_torchscript as write_ts
from cascade.networks.checkpoint import Checkpoint, build_network, load_checkpoint, packaged_weights
from cascade.networks.spec import StageSpec
from tests.synthetic import tiny_spec

WRITERS = {".onnx": (write_onnx, onnx_runner), ".ts": (write_ts, torchscript_runner)}


def small_unet(**changes: object) -> Checkpoint:
    """A network as the shipped ones are, but small, with weights that nobody trained."""
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": 3, "channels": [4, 8, 8], "strides": [[1, 2, 2], 2]}
    spec = tiny_spec(
        "stage2_levels",
        ("background", "body", "disc"),
        (2.0, 1.0, 1.0),
        network="UNet",
        network_arguments=arguments | {"num_res_units": 2, "norm": "instance"},
        stride=(2, 4, 4),
        patch_shape=(10, 20, 24),
        **changes,
    )
    torch.manual_seed(3)
    return Checkpoint(spec, build_network(spec).eval())


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return small_unet()


@pytest.fixture(scope="module", params=WRITERS)
def exported(request: pytest.FixtureRequest, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> networks.Runner:
    """An exported network, read again."""
    write, read = WRITERS[request.param]
    path = tmp_path_factory.mktemp("exported") / f"network{request.param}"
    write(checkpoint, path)
    return read(path)


@pytest.mark.parametrize("shape", [(1, 2, 4, 8), (3, 2, 4, 8), (1, 6, 20, 12), (1, 10, 20, 24), (2, 12, 32, 40)])
def test_every_allowed_input_shape_gives_torchs_logits(exported: networks.Runner, checkpoint: Checkpoint, shape: tuple[int, ...]) -> None:
    batch, *lengths = shape
    image = np.random.default_rng(1).normal(size=(batch, 1, *lengths)).astype(np.float32)
    expected = torch_runner(checkpoint.network)(image)
    found = exported(image)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (batch, 3, *lengths)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, atol=networks.TOLERANCE, rtol=0)


def test_a_network_that_differs_is_an_error_that_names_the_file(checkpoint: Checkpoint, tmp_path: Path) -> None:
    run = torch_runner(checkpoint.network)
    assert compare(checkpoint, run, tmp_path / "x.onnx") == 0.0
    with pytest.raises(
        ExportError, match=r"x\.onnx: expected logits within 0\.01 of torch's; found a difference of 0\.01\d+ at input shape"
    ):
        compare(checkpoint, lambda image: run(image) + np.float32(0.015), tmp_path / "x.onnx")
    with pytest.raises(ExportError, match="found a difference of nan"):
        compare(checkpoint, lambda image: run(image) * np.float32(np.nan), tmp_path / "x.onnx")


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_network_that_differs_leaves_no_file(
    suffix: str, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "TOLERANCE", -1.0)
    with pytest.raises(ExportError):
        WRITERS[suffix][0](checkpoint, tmp_path / f"network{suffix}")
    assert not list(tmp_path.iterdir())


def test_the_smallest_and_the_largest_input_are_compared() -> None:
    spec = small_unet().spec
    assert networks.shapes_to_check(spec) == ((2, (2, 4, 8)), (1, (10, 20, 24)))


def test_the_spec_travels_inside_the_files(checkpoint: Checkpoint, tmp_path: Path) -> None:
    import onnx
    from monai.data.torchscript_utils import load_net_with_metadata

    write_onnx(checkpoint, tmp_path / "network.onnx")
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "network.onnx").metadata_props}
    assert StageSpec.from_json(properties["cascade_spec"]) == checkpoint.spec
    write_ts(checkpoint, tmp_path / "network.ts")
    with networks._without_torchs_notes():
        _, _, files = load_net_with_metadata(str(tmp_path / "network.ts"), more_extra_files=["spec.json"])
    assert StageSpec.from_json(files["spec.json"].decode()) == checkpoint.spec


def test_both_networks_are_exported_with_their_specs(oracle_weights: Path, tmp_path: Path) -> None:
    done = [(path.name, spec.stage) for path, spec in export_networks(write_ts, ".ts", tmp_path, oracle_weights)]
    assert done == [("stage1_spine.ts", "stage1_spine"), ("stage2_levels.ts", "stage2_levels")]
    for name, stage in done:
        spec = StageSpec.from_json((tmp_path / name).with_suffix(".json").read_text(encoding="utf-8"))
        assert spec == load_checkpoint(stage, oracle_weights).spec


def test_without_onnx_the_error_names_the_extra(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"network\.onnx: expected the package onnx.*\.\[onnx\]"):
        write_onnx(checkpoint, tmp_path / "network.onnx")


@pytest.mark.full
@pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
@pytest.mark.parametrize("suffix", WRITERS)
def test_the_shipped_networks_agree_with_torch(suffix: str, tmp_path: Path) -> None:
    for path, spec in export_networks(WRITERS[suffix][0], suffix, tmp_path):
        checkpoint = load_checkpoint(spec.stage)
        patch = dataclasses.replace(spec, patch_shape=tuple(3 * n for n in spec.stride))
        assert compare(Checkpoint(patch, checkpoint.network), WRITERS[suffix][1](path), path) <= networks.TOLERANCE
        assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["checkpoint_sha256"] == spec.checkpoint_sha256

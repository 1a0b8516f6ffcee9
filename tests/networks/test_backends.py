"""Torch and ONNX Runtime: chosen by what is expected first, from one file of weights, with the same names and, but for rounding, labels."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cascade.cohorts.job import MANIFEST, Job
from cascade.cohorts.manifest import Manifest, Outcome, digest_of
from cascade.cohorts.run import Task
from cascade.errors import CascadeError, CheckpointError, MissingExtraError
from cascade.io.cases import read_cases
from cascade.networks import backends
from cascade.networks.backends import MANY_SCANS, OnnxCheckpoint, choose_backend, load_networks
from cascade.networks.checkpoint import build_network, load_checkpoint, packaged_weights, save_checkpoint
from cascade.networks.spec import StageSpec
from cascade.phantom import PhantomSpec, render
from cascade.pipeline import Segmenter
from cascade.segmentation import Segmentation
from tests.networks.test_checkpoint import STAGE
from tests.networks.test_unet import SPEC

needs_weights = pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")
Hide = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a plain UNet as stage 1."""
    torch.manual_seed(0)
    save_checkpoint(build_network(SPEC), SPEC, tmp_path)
    return tmp_path


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Call with the names of packages that are not to be found, or have not been imported yet."""

    def act(*missing: str, unloaded: str = "torch") -> None:
        real = backends.find_spec
        monkeypatch.setattr(backends, "find_spec", lambda name: None if name in missing else real(name))
        monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != unloaded})
        monkeypatch.setattr(backends, "DRIVERS", ())

    return act


class TestChoice:
    def test_one_scan_starts_sooner_without_torch(self, hide: Hide) -> None:
        hide()
        assert choose_backend(device="cpu") == "onnx"

    def test_for_many_scans_torch_is_worth_its_start(self, hide: Hide) -> None:
        hide()
        assert choose_backend(device="cpu", scans=MANY_SCANS) == "torch"

    def test_where_torch_is_loaded_it_is_taken(self, hide: Hide) -> None:
        hide(unloaded="nothing")
        assert choose_backend(device="cpu") == "torch"

    def test_a_gpu_is_torchs(self, hide: Hide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        hide()
        assert choose_backend(device="cuda") == "torch"
        monkeypatch.setattr(backends, "DRIVERS", (str(tmp_path),))
        assert choose_backend() == "torch"
        assert choose_backend(device="cpu") == "onnx"

    def test_what_is_not_installed_is_not_chosen(self, hide: Hide) -> None:
        hide("torch")
        assert choose_backend(scans=MANY_SCANS) == "onnx"
        hide("onnxruntime")
        with pytest.raises(
            MissingExtraError, match="backend onnx: expected the package onnxruntime; it is not installed; pip install onnxr"
        ):
            choose_backend()

    def test_without_onnx_runtime_everything_is_as_it_was(self, hide: Hide) -> None:
        hide("onnxruntime")
        assert choose_backend(device="cpu") == "torch"

    def test_what_was_asked_for_and_is_not_installed_is_named(self, hide: Hide) -> None:
        hide("torch", "onnxruntime")
        for wanted, said in (
            ("torch", "package torch; .* pip install torch monai"),
            ("onnx", "package onnxruntime; .* pip install onnxruntime"),
        ):
            with pytest.raises(MissingExtraError, match=said):
                choose_backend(wanted)

    def test_a_device_that_it_does_not_know_is_an_error(self) -> None:
        with pytest.raises(CascadeError, match="device 'cuda': expected auto or cpu with the backend onnx"):
            choose_backend("onnx", "cuda")
        with pytest.raises(CascadeError, match="backend 'abacus': expected one of auto, torch, onnx"):
            choose_backend("abacus")

    def test_networks_of_monai_fall_back_to_torch_with_one_line(self, oracle_weights: Path) -> None:
        code = f"""
from pathlib import Path
from cascade.networks.backends import choose_backend
print(choose_backend(device="cpu", folder=Path({str(oracle_weights)!r})))
"""
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
        assert process.stdout == "torch\n"
        (line,) = process.stderr.splitlines()
        assert line.startswith(f"cascade: {oracle_weights / STAGE}.json: its AutoEncoder runs in torch")


class TestLoading:
    def test_it_answers_as_torch_does(self, folder: Path) -> None:
        patch = np.random.default_rng(0).standard_normal((8, 16, 24), dtype=np.float32)
        expected = load_checkpoint(STAGE, folder).probabilities(patch)
        found = OnnxCheckpoint.load(STAGE, folder).probabilities(patch)
        assert found.shape == expected.shape == (2, 8, 16, 24)
        assert np.ptp(expected) > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-4)

    @pytest.mark.parametrize("threads", [1, 2, 5])
    def test_patches_that_are_worked_at_together_are_answered_in_their_order(
        self, threads: int, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        patches = [np.random.default_rng(n).standard_normal((8, 16, 24), dtype=np.float32) for n in range(5)]
        checkpoint = OnnxCheckpoint.load(STAGE, folder)
        expected = [checkpoint.probabilities(patch) for patch in patches]
        monkeypatch.setattr(backends, "thread_count", lambda: threads)
        found = list(checkpoint.each(iter(patches), len(patches)))
        assert len(found) == len(expected)
        for answer, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(answer, right, atol=1e-5)

    @pytest.mark.parametrize("kept", [0, 100, -1])
    def test_truncated_weights_are_refused(self, kept: int, folder: Path) -> None:
        path = folder / f"{STAGE}.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(CheckpointError, match=r"safetensors: expected sha256 .* truncated or altered"):
            OnnxCheckpoint.load(STAGE, folder)

    def test_weights_of_another_network_are_refused_as_torch_refuses_them(self, folder: Path) -> None:
        path = folder / f"{STAGE}.json"
        spec = StageSpec.from_json(path.read_text(encoding="utf-8"))
        other = dataclasses.replace(spec, network_arguments={**spec.network_arguments, "channels": [2, 4, 5]})
        path.write_text(other.to_json(), encoding="utf-8")
        for load in (load_checkpoint, OnnxCheckpoint.load):
            with pytest.raises(
                CheckpointError, match=r"safetensors: expected the weights of stage1_spine\.json; they do not fit the network"
            ):
                load(STAGE, folder)

    def test_weights_that_are_no_numbers_are_refused(self, folder: Path) -> None:
        network = load_checkpoint(STAGE, folder).network
        with torch.no_grad():
            next(network.parameters()).view(-1)[0] = torch.nan
        save_checkpoint(network, SPEC, folder)
        with pytest.raises(CheckpointError, match=r"safetensors: expected finite weights"):
            OnnxCheckpoint.load(STAGE, folder)

    def test_a_network_without_a_graph_is_refused(self, oracle_weights: Path) -> None:
        with pytest.raises(CheckpointError, match=r"expected a plain UNet for the backend onnx; found AutoEncoder; take torch"):
            load_networks("cpu", oracle_weights, "onnx")

    def test_it_pickles_to_its_name_and_is_loaded_once(self, folder: Path) -> None:
        text = pickle.dumps(OnnxCheckpoint.load(STAGE, folder))
        assert len(text) < 1000
        assert pickle.loads(text) is pickle.loads(text)

    def test_another_processes_weights_must_be_the_same(self, folder: Path) -> None:
        text = pickle.dumps(OnnxCheckpoint.load(STAGE, folder))
        torch.manual_seed(1)
        save_checkpoint(build_network(SPEC), SPEC, folder)
        with pytest.raises(CheckpointError, match="give all workers the same checkpoint"):
            pickle.loads(text)


@pytest.fixture(scope="module")
def both() -> tuple[Segmentation, Segmentation]:
    """What torch and ONNX Runtime make of a phantom."""
    scan, _ = render(PhantomSpec(shape=(9, 160, 190), spacing_mm=(5.0, 1.6, 1.6)))
    torchs, onnxs = (Segmenter.from_pretrained("cpu", backend=backend).segment(scan, scheme="verse") for backend in ("torch", "onnx"))
    return torchs, onnxs


@needs_weights
class TestLabels:
    def test_names_order_and_warnings_are_the_same(self, both: tuple[Segmentation, Segmentation]) -> None:
        torchs, onnxs = both
        assert len(torchs.levels) > 9
        assert [level.name for level in onnxs.levels] == [level.name for level in torchs.levels]
        assert onnxs.warnings == torchs.warnings
        assert onnxs.numbering.second_best == torchs.numbering.second_best

    def test_labels_differ_by_rounding_only(self, both: tuple[Segmentation, Segmentation]) -> None:
        torchs, onnxs = both
        different = np.count_nonzero(torchs.labels.data != onnxs.labels.data)
        assert different <= 1e-3 * np.count_nonzero(torchs.labels.data)

    def test_the_result_tells_what_made_it(self, both: tuple[Segmentation, Segmentation]) -> None:
        assert [result.provenance["backend"] for result in both] == ["torch", "onnx"]
        assert both[0].provenance["checkpoint_sha256"] == both[1].provenance["checkpoint_sha256"]

    def test_a_resumed_run_does_again_what_the_other_made(self, tmp_path: Path) -> None:
        (tmp_path / "scan.nii").write_text("voxels")
        job = Job(tmp_path / "scan.nii", tmp_path / "out" / "scan.nii.gz")
        job.output.parent.mkdir()
        job.output.write_text("labels")
        made_by = {backend: Task(Segmenter.from_pretrained("cpu", backend=backend)).made_with() for backend in ("torch", "onnx")}
        with Manifest(tmp_path / "out" / MANIFEST, made_by["onnx"]) as manifest:
            manifest.add(job, Outcome("done", input_sha256=digest_of(job.image)))
        with Manifest(tmp_path / "out" / MANIFEST, made_by["onnx"]) as manifest:
            assert manifest.known(job)
        with Manifest(tmp_path / "out" / MANIFEST, made_by["torch"]) as manifest:
            assert manifest.known(job) is None

    @pytest.mark.full
    @pytest.mark.data
    def test_real_scans_keep_their_names_and_nearly_all_voxels(self, data_folder: Path) -> None:
        segmenters = [Segmenter.from_pretrained("cpu", backend=backend) for backend in ("torch", "onnx")]
        for case in read_cases(data_folder, "val"):
            torchs, onnxs = (segmenter.segment(case.load()[0], scheme="verse") for segmenter in segmenters)
            assert [level.name for level in onnxs.levels] == [level.name for level in torchs.levels], case.name
            assert [notice.code for notice in onnxs.warnings] == [notice.code for notice in torchs.warnings], case.name
            assert np.count_nonzero(torchs.labels.data != onnxs.labels.data) <= 1e-3 * np.count_nonzero(torchs.labels.data), case.name

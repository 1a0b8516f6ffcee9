"""Trained networks on disk: a StageSpec (JSON) beside safetensors weights, found, verified and loaded.

Nothing about a checkpoint lives in code: spacing, normalisation, classes, network and naming parameters travel in
the JSON. Weights are never unpickled, and are used only if their sha256 is the one that the JSON states.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cascade.errors import CascadeError, CheckpointError

if TYPE_CHECKING:
    import torch

STAGES = ("stage1_spine", "stage2_levels")
FORMAT = 1


@dataclass(frozen=True)
class Normalisation:
    """How intensities are brought to one scale: clip to percentiles of the voxels above air, then mean 0, deviation 1."""

    low_percentile: float = 1.0
    high_percentile: float = 99.0


@dataclass(frozen=True)
class StageSpec:
    """Everything that is needed to use a checkpoint.

    Parameters
    ----------
    stage : str
        ``"stage1_spine"`` or ``"stage2_levels"``.
    network : str
        Name of a class in `monai.networks.nets`.
    network_arguments : mapping
        Its keyword arguments.
    classes : tuple of str
        The output channels; the first is background.
    spacing_mm : (3,) tuple of float
        Voxel spacing that the network works at, along `axcodes`.
    patch_shape : (3,) tuple of int
        Largest input in voxels.
    axcodes : str
        Orientation that the network works in.
    stride : (3,) tuple of int
        Every input length must be a multiple of this.
    normalisation : Normalisation
    naming : mapping
        Parameters of `cascade.postproc` that were fitted to this checkpoint.
    training : mapping
        Where the weights come from: data sets, recipe, steps, seeds.
    weights_sha256 : str
        Of the safetensors file beside the JSON.
    """

    stage: str
    network: str
    network_arguments: Mapping[str, Any]
    classes: tuple[str, ...]
    spacing_mm: tuple[float, float, float]
    patch_shape: tuple[int, int, int]
    stride: tuple[int, int, int]
    axcodes: str = "RAS"
    normalisation: Normalisation = field(default_factory=Normalisation)
    naming: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""

    def to_json(self) -> str:
        """Return the JSON text of the spec."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "StageSpec") -> StageSpec:
        """Parse the JSON text of a spec.

        Raises
        ------
        CheckpointError
            The text is not a StageSpec of this format; `source` is named.
        """
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT or content["stage"] not in STAGES:
                raise ValueError(f"expected format {FORMAT} and a stage of {', '.join(STAGES)}")
            for name in ("classes", "spacing_mm", "patch_shape", "stride"):
                content[name] = tuple(content[name])
            content["normalisation"] = Normalisation(**content["normalisation"])
            return cls(**content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{source}: expected a StageSpec in JSON ({error}); restore the file from the release") from error


@dataclass(frozen=True)
class Checkpoint:
    """A spec with its network, ready to run."""

    spec: StageSpec
    network: torch.nn.Module


def packaged_weights() -> Path:
    """Return the folder of the weights that come with `cascade`: inside the installed package, beside it in a source tree."""
    inside = Path(__file__).with_name("weights")
    return inside if inside.is_dir() else Path(__file__).parents[1] / "weights"


def load_checkpoint(stage: str, folder: Path | None = None, device: str = "cpu") -> Checkpoint:
    """Load ``<stage>.json`` and ``<stage>.safetensors`` from a folder (by default the packaged one).

    Raises
    ------
    CheckpointError
        A file is missing, truncated or altered; the message names it.
    """
    folder = folder or packaged_weights()
    spec_path, weights_path = folder / f"{stage}.json", folder / f"{stage}.safetensors"
    for path in (spec_path, weights_path):
        if not path.is_file():
            raise CheckpointError(f"{path}: expected a checkpoint file here; there is none; reinstall cascade or give the right folder")
    spec = StageSpec.from_json(spec_path.read_text(encoding="utf-8", errors="replace"), str(spec_path))
    content = weights_path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != spec.weights_sha256:
        raise CheckpointError(
            f"{weights_path}: expected sha256 {spec.weights_sha256[:12]}..., found {found[:12]}...; "
            "the file is truncated or altered; restore it from the release"
        )
    return Checkpoint(spec, _filled_network(spec, content, weights_path).to(device).eval())


def save_checkpoint(network: torch.nn.Module, spec: StageSpec, folder: Path) -> StageSpec:
    """Write the weights as float16 safetensors and the spec, with the weights' sha256, beside them."""
    import dataclasses

    import torch
    from safetensors.torch import save

    from cascade.nifti import replacing

    tensors = {name: (t.to(torch.float16) if t.is_floating_point() else t).contiguous() for name, t in network.state_dict().items()}
    content = save(tensors)
    spec = dataclasses.replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    for suffix, payload in ((".safetensors", content), (".json", spec.to_json().encode())):
        with replacing(folder / f"{spec.stage}{suffix}") as temporary:
            temporary.write_bytes(payload)
    return spec


def build_network(spec: StageSpec) -> torch.nn.Module:
    """Build the MONAI network that a spec names, with untrained weights.

    Raises
    ------
    CheckpointError
        MONAI has no such network, or does not take these arguments.
    """
    from monai.networks import nets

    try:
        network: torch.nn.Module = getattr(nets, spec.network)(**spec.network_arguments)
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{spec.stage}: cannot build network {spec.network!r} ({error})") from error
    return network


def _filled_network(spec: StageSpec, content: bytes, path: Path) -> torch.nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load

    network = build_network(spec)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in load(content).items()})
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the weights do not fit the network that {spec.stage}.json describes ({error})") from error
    return network


def choose_device(wanted: str) -> str:
    """Resolve ``"auto"``, and check that another device is there.

    Raises
    ------
    CascadeError
        It is not.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there.get(wanted.split(":")[0], False):
        raise CascadeError(f"device {wanted!r}: expected one that is there: auto, {', '.join(k for k, v in there.items() if v)}")
    return wanted

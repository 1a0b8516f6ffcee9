"""Trained networks on disk: a StageSpec (JSON) beside safetensors weights, found, verified and loaded.

Nothing about a checkpoint lives in code: spacing, normalisation, classes, network and naming parameters travel in the JSON. A checkpoint
has one identity, a sha256 over weights and spec (`StageSpec.checkpoint_sha256`), which is verified whenever it is loaded. Weights are never
unpickled. A spec may come from anybody: it is checked field by field, it names a network of a short list, and what it can ask for is
bounded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cascade.errors import CascadeError, CheckpointError, first_line
from cascade.io import schema
from cascade.networks.limits import check_arguments
from cascade.networks.spec import NETWORKS, StageSpec

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

MAX_WEIGHTS_BYTES = 2 << 30
MAX_PARAMETERS = 1 << 29


@dataclass(frozen=True)
class Checkpoint:
    """A spec with its network, ready to run in torch.

    One that was loaded from a folder is pickled as the folder's name and its identity: whoever unpickles it loads the same checkpoint
    there, once a process, or refuses.

    Parameters
    ----------
    spec : StageSpec
    network : torch.nn.Module
    folder : Path, optional
        Where it was loaded from.
    """

    spec: StageSpec
    network: torch.nn.Module
    folder: Path | None = None
    backend: ClassVar[Literal["torch"]] = "torch"

    def probabilities(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities (classes, x, y, z) of a patch of normalised intensities (x, y, z)."""
        from cascade.networks.kernels import probabilities

        return probabilities(self.network, patch)

    def each(self, patches: Iterable[NDArray[np.float32]], _count: int, /) -> Iterator[NDArray[np.float32]]:
        """`probabilities` of patches, one after the other."""
        return map(self.probabilities, patches)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is None:
            return type(self), (self.spec, self.network)
        device = str(next(self.network.parameters()).device)
        return _loaded_once, (self.spec.stage, folder_for_others(self.folder), device, self.spec.checkpoint_sha256)


def packaged_weights() -> Path:
    """Return the folder of the weights that come with `cascade`: inside the installed package, beside it in a source tree."""
    inside = Path(__file__).parents[1] / "weights"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "weights"


def load_checkpoint(stage: str, folder: Path | None = None, device: str = "cpu") -> Checkpoint:
    """Load ``<stage>.json`` and ``<stage>.safetensors`` from a folder (by default the packaged one).

    Parameters
    ----------
    stage : str
    folder : Path, optional
    device : str

    Raises
    ------
    CheckpointError
        A file is missing, truncated or altered; the message names it.
    """
    spec, content, folder = read_checkpoint(stage, folder)
    network = _filled(_skeleton(spec), spec, content, folder / f"{stage}.safetensors").to(device).eval()
    return Checkpoint(spec, network, folder)


def read_checkpoint(stage: str, folder: Path | None = None) -> tuple[StageSpec, bytes, Path]:
    """Read a checkpoint without building its network; the parameters and errors are those of `load_checkpoint`.

    Returns
    -------
    spec : StageSpec
    content : bytes
        Of the safetensors file, verified.
    folder : Path
    """
    folder = folder or packaged_weights()
    spec_path, weights_path = folder / f"{stage}.json", folder / f"{stage}.safetensors"
    for path in (spec_path, weights_path):
        if not path.is_file():
            raise CheckpointError(f"{path}: expected a checkpoint file here; there is none; reinstall cascade or give the right folder")
    spec = read_spec(spec_path)
    if spec.stage != stage:
        raise CheckpointError(f"{spec_path}: expected the spec of {stage}; found that of {spec.stage}; restore the file from the release")
    return spec, verified_weights(weights_path, spec), folder


def folder_for_others(folder: Path) -> Path | None:
    """The name of a checkpoint's folder for other processes; None for the packaged one, wherever that lies for them."""
    return None if folder == packaged_weights() else folder.absolute()


@cache
def _loaded_once(stage: str, folder: Path | None, device: str, sha256: str) -> Checkpoint:
    """Load a checkpoint that another process has pickled, and make sure that it is the same."""
    checkpoint = load_checkpoint(stage, folder, device)
    check_same(checkpoint.spec, checkpoint.folder, sha256)
    return checkpoint


def check_same(spec: StageSpec, folder: Path | None, sha256: str) -> None:
    """Refuse another checkpoint than the one that this process was told of.

    Raises
    ------
    CheckpointError
        `spec` has another identity.
    """
    if spec.checkpoint_sha256 != sha256:
        raise CheckpointError(
            f"{folder}: expected {spec.stage} with sha256 {sha256[:12]}..., found {spec.checkpoint_sha256[:12]}...; "
            "give all workers the same checkpoint"
        )


def read_spec(path: Path, *, identified: bool = True) -> StageSpec:
    """Read the JSON of a StageSpec; the parameters and errors are those of `StageSpec.from_json`."""
    try:
        text = schema.read_text(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a StageSpec in JSON ({error}); restore the file from the release") from error
    return StageSpec.from_json(text, str(path), identified=identified)


def verified_weights(path: Path, spec: StageSpec) -> bytes:
    """Read the weights of a spec.

    Raises
    ------
    CheckpointError
        The file cannot be read, is too large, or not the one that belongs to the spec.
    """
    try:
        if path.stat().st_size > MAX_WEIGHTS_BYTES:
            raise CheckpointError(f"{path}: expected at most {MAX_WEIGHTS_BYTES >> 30} GiB of weights; the file is larger")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a readable file ({error.strerror or error}); check its permissions") from error
    found = hashlib.sha256(content).hexdigest()
    if found != spec.weights_sha256:
        raise CheckpointError(
            f"{path}: expected sha256 {spec.weights_sha256[:12]}..., found {found[:12]}...; "
            "the file is truncated or altered; restore it from the release"
        )
    return content


def convert_checkpoint(spec_path: Path) -> StageSpec:
    """Give a checkpoint without an identity its own; one that has it stays as it is.

    Naming parameters that an older spec left to the code are written into it, so that the identity covers them.

    Raises
    ------
    CheckpointError
        The JSON is no StageSpec, was altered, or the weights beside it are not its own.
    """
    from cascade.io.files import replacing

    spec = read_spec(spec_path, identified=False)
    verified_weights(spec_path.with_suffix(".safetensors"), spec)
    if spec.naming and "checkpoint_sha256" not in schema.load(schema.read_text(spec_path)):
        spec = dataclasses.replace(spec, naming=spec.naming_parameters.to_json())
    with replacing(spec_path) as temporary:
        temporary.write_text(spec.to_json(), encoding="utf-8")
    spec_path.with_suffix(".layers.json").unlink(missing_ok=True)
    return spec


def save_checkpoint(network: torch.nn.Module, spec: StageSpec, folder: Path) -> StageSpec:
    """Write the weights as float16 safetensors, and beside them the spec, with the checkpoint's identity."""
    import torch
    from safetensors.torch import save

    from cascade.io.files import replacing

    tensors = {name: (t.to(torch.float16) if t.is_floating_point() else t).contiguous() for name, t in network.state_dict().items()}
    content = save(tensors)
    spec = dataclasses.replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    for suffix, payload in ((".safetensors", content), (".json", spec.to_json().encode())):
        with replacing(folder / f"{spec.stage}{suffix}") as temporary:
            temporary.write_bytes(payload)
    return spec


def build_network(spec: StageSpec) -> torch.nn.Module:
    """Build the network that a spec names, with untrained weights.

    A plain UNet is that of `cascade.networks.unet`, everything else MONAI's.

    Raises
    ------
    CheckpointError
        It is none of `NETWORKS`, does not take these arguments, or has more than `MAX_PARAMETERS`.
    """
    network = _skeleton(spec)
    parameters = sum(tensor.numel() for tensor in itertools.chain(network.parameters(), network.buffers()))
    if parameters > MAX_PARAMETERS:
        raise CheckpointError(f"{spec.stage}: expected a network of at most {MAX_PARAMETERS:,} parameters; found {parameters:,}")
    return _construct(spec)


def _skeleton(spec: StageSpec) -> torch.nn.Module:
    """The network without memory for its weights."""
    import torch

    with torch.device("meta"):
        return _construct(spec)


def _construct(spec: StageSpec) -> torch.nn.Module:
    from cascade.networks.unet import plain_unet

    try:
        check_arguments(spec.network_arguments, "network_arguments")
        if spec.network not in NETWORKS:
            raise ValueError(f"expected one of {', '.join(NETWORKS)}")
        return plain_unet(spec.network, spec.network_arguments) or _from_monai(spec)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{spec.stage}: expected arguments that {spec.network} can be built with ({error})") from error


def _from_monai(spec: StageSpec) -> torch.nn.Module:
    from monai.networks import nets  # takes as long as all the networks' work on a clinical scan

    network: torch.nn.Module = getattr(nets, spec.network)(**spec.network_arguments)
    return network


def _filled(network: torch.nn.Module, spec: StageSpec, content: bytes, path: Path) -> torch.nn.Module:
    """The network with the weights of a file; what it allocates is bounded by the file's size, whatever the spec says."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in load(content).items()}
        network.load_state_dict(tensors, assign=True)
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise misfit(path, spec, error) from error
    if any(tensor.is_meta for tensor in itertools.chain(network.parameters(), network.buffers())):
        raise CheckpointError(f"{path}: expected all weights of the network that {spec.stage}.json describes; some are missing")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise not_finite(path)
    return network


def misfit(path: Path, spec: StageSpec, error: Exception) -> CheckpointError:
    """The error about weights that are not those of the spec's network."""
    return CheckpointError(
        f"{path}: expected the weights of {spec.stage}.json; they do not fit the network that it describes ({first_line(error)}); "
        "restore both files from the release"
    )


def not_finite(path: Path) -> CheckpointError:
    """The error about weights that are no numbers."""
    return CheckpointError(f"{path}: expected finite weights; some are NaN or infinite; train again")


def choose_device(wanted: object) -> str:
    """Resolve ``"auto"``, and check that another device (a name, or a `torch.device`) is there.

    Raises
    ------
    CascadeError
        It is not.
    """
    import torch

    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    wanted = str(wanted)
    if wanted == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there.get(wanted.split(":")[0], False):
        raise CascadeError(f"device {wanted!r}: expected one that is there: auto, {', '.join(k for k, v in there.items() if v)}")
    try:
        torch.empty(0, device=wanted)
    except RuntimeError as error:
        raise CascadeError(f"device {wanted!r}: expected one that can be used; {first_line(error)}; choose another") from error
    return wanted

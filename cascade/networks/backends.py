"""What runs the networks: torch or ONNX Runtime, from the same weights."""

from __future__ import annotations

import logging
import platform
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from cascade.errors import CascadeError, CheckpointError, MissingExtraError
from cascade.io.extras import extra
from cascade.networks import BACKENDS
from cascade.networks.checkpoint import (
    check_same,
    choose_device,
    folder_for_others,
    load_checkpoint,
    misfit,
    not_finite,
    packaged_weights,
    read_checkpoint,
    read_spec,
)
from cascade.networks.patches import Network
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.networks.threads import thread_count
from cascade.networks.unet_graph import IMAGE, LOGITS, Graph, plain_sizes, unet_graph

Backend = Literal["torch", "onnx"]
#: From so many scans in one process the seconds that torch takes to start are less than what its networks save.
MANY_SCANS = 50
#: Where a driver shows that there may be a GPU for torch, which alone can tell.
DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "C:/Windows/System32/nvcuda.dll")
_PACKAGES = {"torch": ("torch", "torch monai"), "onnx": ("onnxruntime", "onnxruntime")}
#: Patches at a time: two threads with a patch each are sooner done than with one together, and each patch takes some 150 MB.
_LANES = 2
_LOG = logging.getLogger(__name__)

_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class OnnxCheckpoint:
    """A spec with its network, ready to run in ONNX Runtime on the CPU.

    Pickled and unpickled as `cascade.networks.checkpoint.Checkpoint` is.

    Parameters
    ----------
    spec : StageSpec
    graph : Graph
    folder : Path
        Where it was loaded from.
    """

    spec: StageSpec
    graph: Graph = field(repr=False)
    folder: Path
    backend: ClassVar[Literal["onnx"]] = "onnx"
    _sessions: dict[int, _Run] = field(default_factory=dict, repr=False)
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(cls, stage: str, folder: Path | None = None) -> OnnxCheckpoint:
        """Load a checkpoint as `load_checkpoint` does.

        Raises
        ------
        CheckpointError
            As there, or the network is none of those that have a graph.
        MissingExtraError
            ONNX Runtime is not installed.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        spec, content, folder = read_checkpoint(stage, folder)
        sizes = plain_sizes(spec.network, spec.network_arguments)
        if sizes is None:
            raise CheckpointError(f"{folder / stage}.json: expected a plain UNet for the backend onnx; found {spec.network}; take torch")
        path = folder / f"{stage}.safetensors"
        try:
            weights = {name: np.asarray(array, dtype=np.float32) for name, array in load(content).items()}
            graph = unet_graph(sizes, weights)
        except (SafetensorError, LookupError, TypeError, ValueError) as error:
            raise misfit(path, spec, error) from error
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise not_finite(path)
        return cls(spec, graph, folder)

    def probabilities(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities (classes, x, y, z) of a patch of normalised intensities (x, y, z)."""
        return self._answer(patch, thread_count())

    def each(self, patches: Iterable[NDArray[np.float32]], count: int, /) -> Iterator[NDArray[np.float32]]:
        """`probabilities` of `count` patches, in their order; up to `_LANES` are worked at at the same time."""
        lanes = min(_LANES, count, thread_count())
        if lanes < 2:
            yield from map(self.probabilities, patches)
            return
        working: deque[Future[NDArray[np.float32]]] = deque()
        with ThreadPoolExecutor(lanes) as pool:
            for patch in patches:
                working.append(pool.submit(self._answer, patch, thread_count() // lanes))
                if len(working) > lanes:
                    yield working.popleft().result()
            while working:
                yield working.popleft().result()

    def _answer(self, patch: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
        with self._making:
            if threads not in self._sessions:
                self._sessions[threads] = _session(self.graph, threads)
        logits: NDArray[np.float32] = self._sessions[threads](patch[None, None])[0]
        logits -= logits.max(axis=0)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=0)
        return logits

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded_once, (self.spec.stage, folder_for_others(self.folder), self.spec.checkpoint_sha256)


@cache
def _loaded_once(stage: str, folder: Path | None, sha256: str) -> OnnxCheckpoint:
    """Load a checkpoint that another process has pickled, and make sure that it is the same."""
    checkpoint = OnnxCheckpoint.load(stage, folder)
    check_same(checkpoint.spec, checkpoint.folder, sha256)
    return checkpoint


def _session(graph: Graph, threads: int) -> _Run:
    with extra("onnx", "the backend onnx"):
        import onnxruntime

    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # it would plan a second room for what the first patch left
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a thread that waits leaves its core to others
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in graph.weights.items()}
    options.add_external_initializers(list(values), list(values.values()))
    session = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])

    def run(image: NDArray[np.float32], _kept: object = values) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run([LOGITS], {IMAGE: image})[0]
        return logits

    return run


@cache
def _share_memory() -> None:
    """Let all sessions of this process work in the same memory: one network is at work at a time."""
    import onnxruntime

    cpu = onnxruntime.OrtMemoryInfo("Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    with suppress(RuntimeError):  # whoever uses ONNX Runtime in this process has done so already
        onnxruntime.create_and_register_allocator(cpu, onnxruntime.OrtArenaCfg({}))


def load_networks(device: object = "auto", folder: Path | None = None, backend: str = "auto") -> tuple[Network, Network, str]:
    """Load both stages for one backend.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"} or torch.device
    folder : Path, optional
        By default that of the packaged weights.
    backend : {"auto", "torch", "onnx"}

    Returns
    -------
    stage1, stage2 : Network
    device : str
        The one they are on.

    Raises
    ------
    CheckpointError
        A file is missing or altered.
    CascadeError
        The device is not there, or not for this backend.
    MissingExtraError
        The backend is not installed.
    """
    stage1, stage2 = CASCADE_STAGES
    if choose_backend(backend, str(device), folder) == "onnx":
        return OnnxCheckpoint.load(stage1, folder), OnnxCheckpoint.load(stage2, folder), "cpu"
    chosen = choose_device(device)
    return load_checkpoint(stage1, folder, chosen), load_checkpoint(stage2, folder, chosen), chosen


def choose_backend(wanted: str = "auto", device: str = "auto", folder: Path | None = None, *, scans: float = 1) -> Backend:
    """Choose what is expected to have `scans` scans done first, start-up included.

    ONNX Runtime starts in a tenth of torch's time and works on the CPU, with plain UNets. Torch is taken where it is loaded already, where
    a GPU may be there, for many scans, and for any other network.

    Parameters
    ----------
    wanted : {"auto", "torch", "onnx"}
    device : {"auto", "cpu", "cuda", "mps"}
    folder : Path, optional
        Of the weights; by default the packaged ones.
    scans : float
        How many one process segments; inf if nobody knows.

    Raises
    ------
    CascadeError
        There is no such backend, or it does not know the device.
    MissingExtraError
        It is not installed.
    """
    if wanted not in BACKENDS:
        raise CascadeError(f"backend {wanted!r}: expected one of {', '.join(BACKENDS)}")
    if wanted == "onnx" and device not in ("auto", "cpu"):
        raise CascadeError(f"device {device!r}: expected auto or cpu with the backend onnx; take the backend torch for it")
    chosen: Backend = _expected_first(device, folder, scans) if wanted == "auto" else "onnx" if wanted == "onnx" else "torch"
    if not _installed(chosen):
        package, packages = _PACKAGES[chosen]
        raise MissingExtraError(f"backend {chosen}: expected the package {package}; it is not installed; pip install {packages}")
    return chosen


def _expected_first(device: str, folder: Path | None, scans: float) -> Backend:
    if not _installed("torch"):
        return "onnx"
    gpu = device not in ("auto", "cpu") or (device == "auto" and _may_have_gpu())
    if gpu or "torch" in sys.modules or scans >= MANY_SCANS or not _installed("onnx"):
        return "torch"
    return "onnx" if _have_graphs(folder or packaged_weights()) else "torch"


def _installed(backend: Backend) -> bool:
    return find_spec(_PACKAGES[backend][0]) is not None


def _may_have_gpu() -> bool:
    return (sys.platform, platform.machine()) == ("darwin", "arm64") or any(Path(driver).exists() for driver in DRIVERS)


def _have_graphs(folder: Path) -> bool:
    """Tell whether ONNX Runtime can run both networks of a folder; what is wrong with a spec is for loading to say."""
    for stage in CASCADE_STAGES:
        try:
            spec = read_spec(folder / f"{stage}.json")
        except CheckpointError:
            continue
        if not plain_sizes(spec.network, spec.network_arguments):
            _LOG.warning(
                "cascade: %s.json: its %s runs in torch; ONNX Runtime would start sooner, with a plain UNet", folder / stage, spec.network
            )
            return False
    return True

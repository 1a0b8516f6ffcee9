"""Networks as TorchScript and ONNX files, compared with torch before anyone gets to see them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cascade.errors import ExportError
from cascade.io.extras import extra
from cascade.io.files import replacing
from cascade.networks.checkpoint import Checkpoint, load_checkpoint
from cascade.networks.patches import patch_shape_for
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.volume import Shape

#: Largest difference of a logit from torch's. The sums behind instance normalisation run over all voxels (7 million at stage 1's largest
#: input) in float32, and other programs add them in another order: 0.0025 was found there with ONNX Runtime, 0.00002 with torch, against
#: float64. A logit that is off by d moves a probability by at most d / 2 (the slope of the logistic function, twice), so by 0.005 here,
#: and changes the class of a voxel only where two are that close to equally likely.
TOLERANCE = 1e-2
#: Names of the one input and the one output, and of their axes that may have any length that the StageSpec allows.
INPUT, OUTPUT, AXES = "image", "logits", {0: "batch", 2: "x", 3: "y", 4: "z"}

#: Runs an exported network: normalised intensities (batch, 1, x, y, z) to logits (batch, classes, x, y, z), both float32.
Runner = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def export_networks(
    write: Callable[[Checkpoint, Path], None], suffix: str, out: Path, weights: Path | None = None
) -> Iterator[tuple[Path, StageSpec]]:
    """Write both networks with `write`, each with its StageSpec (spacing, normalisation, classes, sizes) in the JSON beside it.

    Parameters
    ----------
    write : callable
        `write_onnx` or `write_torchscript`.
    suffix : str
        Of the files, with its dot.
    out : Path
        Folder.
    weights : Path, optional
        Folder of the checkpoints; by default the packaged one.

    Yields
    ------
    path : Path
        What was written.
    spec : StageSpec
    """
    for stage in CASCADE_STAGES:
        checkpoint = load_checkpoint(stage, weights)
        path = out / f"{stage}{suffix}"
        write(checkpoint, path)
        with replacing(path.with_suffix(".json")) as temporary:
            temporary.write_text(checkpoint.spec.to_json(), encoding="utf-8")
        yield path, checkpoint.spec


def write_torchscript(checkpoint: Checkpoint, path: Path, files: Mapping[str, bytes] | None = None) -> None:
    """Write a scripted network that takes every input shape the StageSpec allows.

    Parameters
    ----------
    checkpoint : Checkpoint
        On the CPU.
    path : Path
    files : mapping of str to bytes, optional
        Further files for the archive, as MONAI bundles keep their configs in it; by default ``spec.json``.

    Raises
    ------
    ExportError
        The file, read again, differs from torch by more than `TOLERANCE`.
    """
    from monai.data.torchscript_utils import save_net_with_metadata

    with _without_torchs_notes(), replacing(path, ".ts") as temporary:
        save_net_with_metadata(
            torch.jit.script(checkpoint.network),
            str(temporary),
            include_config_vals=False,
            more_extra_files=files or {"spec.json": checkpoint.spec.to_json().encode()},
        )
        compare(checkpoint, torchscript_runner(temporary), path)


def write_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write an ONNX model that takes every input shape the StageSpec allows, with the spec in its metadata.

    torch's older exporter is asked: it follows the free axes of these networks, and needs no further package.

    Raises
    ------
    ExportError
        ONNX Runtime differs from torch by more than `TOLERANCE`.
    MissingExtraError
        The extra ``onnx`` is not installed.
    """
    with extra("onnx", str(path)):
        import onnx
    image = torch.zeros(1, 1, *patch_shape_for((1, 1, 1), checkpoint.spec))
    with _without_torchs_notes(), replacing(path, ".onnx") as temporary:
        torch.onnx.export(
            checkpoint.network,
            (image,),
            str(temporary),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: AXES, OUTPUT: AXES},
            dynamo=False,
        )
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {"cascade_spec": checkpoint.spec.to_json()})
        onnx.checker.check_model(model)
        onnx.save(model, temporary)
        compare(checkpoint, onnx_runner(temporary), path)


def onnx_runner(path: Path) -> Runner:
    """Load an ONNX model into ONNX Runtime on the CPU."""
    with extra("onnx", str(path)):
        import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda image: np.asarray(session.run([OUTPUT], {INPUT: image})[0])


def torchscript_runner(path: Path) -> Runner:
    """Load a TorchScript file on the CPU."""
    with _without_torchs_notes():
        return torch_runner(torch.jit.load(str(path), map_location="cpu"))


def torch_runner(network: torch.nn.Module) -> Runner:
    """Run a network of torch, on the CPU."""

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(image)).numpy()
        return logits

    return run


def shapes_to_check(spec: StageSpec) -> tuple[tuple[int, Shape], ...]:
    """Batch sizes and the smallest and the largest input shape that a StageSpec allows."""
    return (2, patch_shape_for((1, 1, 1), spec)), (1, patch_shape_for(spec.patch_shape, spec))


def compare(checkpoint: Checkpoint, run: Runner, path: Path) -> float:
    """Compare an exported network with torch on noise, at the smallest and the largest input shape.

    Returns
    -------
    float
        The largest difference of a logit.

    Raises
    ------
    ExportError
        It is larger than `TOLERANCE`; `path` is named.
    """
    rng = np.random.default_rng(0)
    network, worst = torch_runner(checkpoint.network), 0.0
    for batch, shape in shapes_to_check(checkpoint.spec):
        image = rng.standard_normal((batch, 1, *shape), dtype=np.float32)
        difference = float(np.abs(run(image) - network(image)).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"{path}: expected logits within {TOLERANCE} of torch's; found a difference of {difference:.2g} at input shape {shape}; "
                "try other versions of torch and onnxruntime (constraints.txt has those that agree)"
            )
        worst = max(worst, difference)
    return worst


@contextmanager
def _without_torchs_notes() -> Iterator[None]:
    """Keep torch's notes on TorchScript, and on the ONNX exporter built on it, from those who use `cascade`.

    They say that both have successors, and that checks of sizes are traced once: `compare` tries the sizes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="Converting a tensor to a Python")
        warnings.filterwarnings("ignore", message="ONNX export mode is set to TrainingMode.EVAL, but operator 'instance_norm'")
        yield

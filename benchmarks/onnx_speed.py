"""Compare the speed of ONNX Runtime and torch on the CPU, on the patches that scans are really cut into, in one run.

    python benchmarks/onnx_speed.py [--threads N] [--repeats N] [--weights DIR]

The two take turns; the fastest of the repeats counts. With one thread CPU time is measured, which other programs on the machine
hardly disturb; with more, the time on the wall. A ratio above 1 says that ONNX Runtime is faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from cascade.export.networks import onnx_runner, write_onnx
from cascade.networks.checkpoint import Checkpoint, load_checkpoint
from cascade.networks.kernels import quick_inference
from cascade.networks.patches import patch_shape_for
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.stage2_levels.classify import HALF_WIDTH_MM
from cascade.volume import Shape

#: Fields of view (left-right, front-back, head-foot) in mm.
FIELDS_MM = {"thin sagittal slab": (30.0, 280.0, 280.0), "clinical sagittal": (70.0, 312.0, 312.0), "whole trunk": (180.0, 400.0, 400.0)}


def main() -> None:
    """Measure every network on every patch, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    print(f"threads: {options.threads}\n")
    print("| network | field of view | input | torch | ONNX Runtime | ratio |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for stage in CASCADE_STAGES:
            checkpoint = load_checkpoint(stage, options.weights)
            path = Path(folder) / f"{stage}.onnx"
            write_onnx(checkpoint, path)
            runners = (as_cascade_runs_it(checkpoint), onnx_runner(path, options.threads))
            for field, shape in patches(checkpoint.spec):
                seconds = fastest(runners, shape, options.repeats, clock)
                size = " x ".join(map(str, shape))
                ratio = seconds[0] / seconds[1]
                print(f"| `{stage}` | {field} | {size} | {seconds[0]:.2f} s | {seconds[1]:.2f} s | {ratio:.2f} |", flush=True)


def patches(spec: StageSpec) -> Iterator[tuple[str, Shape]]:
    """The patch of each field of view; stage 2 sees no more than it needs to the left and right of the spine."""
    for name, (x, y, z) in FIELDS_MM.items():
        extent = (min(x, 2 * HALF_WIDTH_MM) if spec.stage == "stage2_levels" else x, y, z)
        i, j, k = (int(np.ceil(mm / spacing)) for mm, spacing in zip(extent, spec.spacing_mm, strict=True))
        yield name, patch_shape_for((i, j, k), spec)


def as_cascade_runs_it(checkpoint: Checkpoint) -> Callable[[np.ndarray], np.ndarray]:
    """The network in torch, with the memory layout and the kernels of `cascade.networks.patches`."""
    network = checkpoint.network.to(memory_format=torch.channels_last_3d)

    def run(image: np.ndarray) -> np.ndarray:
        with quick_inference(torch.device("cpu")):
            return network(torch.from_numpy(image).to(memory_format=torch.channels_last_3d)).numpy()

    return run


def fastest(runners: tuple[Callable[[np.ndarray], np.ndarray], ...], shape: Shape, repeats: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of each runner, best of `repeats` turns after one to warm up."""
    image = np.random.default_rng(0).standard_normal((1, 1, *shape), dtype=np.float32)
    seconds = [[] for _ in runners]
    for turn in range(repeats + 1):
        for times, run in zip(seconds, runners, strict=True):
            start = clock()
            run(image)
            if turn:
                times.append(clock() - start)
    return [min(times) for times in seconds]


if __name__ == "__main__":
    main()

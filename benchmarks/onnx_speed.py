"""Compare the speed of ONNX Runtime and torch on the CPU, on the patches that scans are really cut into, in one run.

    python benchmarks/onnx_speed.py [--threads N ...] [--repeats N] [--weights DIR]

Both run as the commands run them. The two take turns; the fastest of the repeats counts. With one thread CPU time is measured, which other
programs on the machine disturb less; with more, the time on the wall. A ratio above 1 says that ONNX Runtime is faster.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cascade.networks.backends import OnnxCheckpoint
from cascade.networks.checkpoint import load_checkpoint
from cascade.networks.patches import Network, patch_shape_for
from cascade.networks.spec import CASCADE_STAGES, StageSpec
from cascade.networks.threads import set_threads
from cascade.stage2_levels.classify import HALF_WIDTH_MM
from cascade.volume import Shape

#: Fields of view (left-right, front-back, head-foot) in mm.
FIELDS_MM = {"thin sagittal slab": (30.0, 280.0, 280.0), "clinical sagittal": (70.0, 312.0, 312.0), "whole trunk": (180.0, 400.0, 400.0)}


def main() -> None:
    """Measure every network on every patch, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do
    networks = [(load_checkpoint(stage, options.weights), OnnxCheckpoint.load(stage, options.weights)) for stage in CASCADE_STAGES]
    print("| threads | network | field of view | input | torch | ONNX Runtime | ratio |\n|---|---|---|---|---|---|---|")
    for threads in options.threads:
        set_threads(threads)
        for both in networks:
            for field, shape in patches(both[0].spec):
                seconds = fastest(both, shape, options.repeats, time.process_time if threads == 1 else time.perf_counter)
                size = " x ".join(map(str, shape))
                told = f"`{both[0].spec.stage}` | {field} | {size} | {seconds[0]:.2f} s | {seconds[1]:.2f} s"
                print(f"| {threads} | {told} | {seconds[0] / seconds[1]:.2f} |", flush=True)


def patches(spec: StageSpec) -> Iterator[tuple[str, Shape]]:
    """The patch of each field of view; stage 2 sees no more than it needs to the left and right of the spine."""
    for name, (x, y, z) in FIELDS_MM.items():
        extent = (min(x, 2 * HALF_WIDTH_MM) if spec.stage == "stage2_levels" else x, y, z)
        i, j, k = (int(np.ceil(mm / spacing)) for mm, spacing in zip(extent, spec.spacing_mm, strict=True))
        yield name, patch_shape_for((i, j, k), spec)


def fastest(networks: tuple[Network, ...], shape: Shape, repeats: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of each network, best of `repeats` turns after one to warm up."""
    patch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    seconds: list[list[float]] = [[] for _ in networks]
    for turn in range(repeats + 1):
        for times, network in zip(seconds, networks, strict=True):
            start = clock()
            network.probabilities(patch)
            if turn:
                times.append(clock() - start)
    return [min(times) for times in seconds]


if __name__ == "__main__":
    main()

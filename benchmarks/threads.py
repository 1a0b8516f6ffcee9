"""Measure the default number of threads against one and all, while other processes keep cores busy.

    python benchmarks/threads.py [--busy 0 1] [--rounds 5] [--backends onnx torch] [--scan FILE] [--page docs/speed.md]

The whole command on a phantom of 16 x 400 x 400 (or on FILE), taking turns: ``--threads 1``, ``--threads`` with all cores, and without the
option. The median of the rounds counts, by the clock and of the processors; the last column is the default's time over the better of the
two others. The busy processes do nothing but count.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from speed import Run, render_scan, write_between

from cascade.networks.threads import usable_cores

_COUNT = "while True: pass"


def main() -> None:
    """Measure, and print a line for each backend and number of busy processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", nargs="+", default=["onnx", "torch"])
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--page", type=Path, help="page whose table is replaced, between <!-- threads --> and its end")
    options = parser.parse_args()
    cores = usable_cores()
    lines = [
        f"| backend | busy processes | 1 thread | its processors | {cores} threads | its processors | default | its processors | ratio |"
    ]
    lines.append(f"|{'---|' * 9}")
    print(*lines, sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        scan = options.scan or render_scan("16 x 400 x 400", Path(folder))
        for backend in options.backends:
            command = [
                sys.executable,
                "-m",
                "cascade.cli.segment",
                str(scan),
                "-o",
                f"{folder}/l.nii.gz",
                "--device",
                "cpu",
                "--backend",
                backend,
            ]
            for busy in options.busy:
                with working(busy):
                    wall, cpu = medians(command, cores, options.rounds)
                told = (f"{value:.1f} s" for pair in zip(wall, cpu, strict=True) for value in pair)
                lines.append(f"| {backend} | {busy} | {' | '.join(told)} | {wall[2] / min(wall[:2]):.2f} |")
                print(lines[-1], flush=True)
    if options.page:
        write_between(options.page, "threads", "\n".join(lines))


@contextmanager
def working(count: int) -> Iterator[None]:
    """Processes that keep a core busy each."""
    processes = [subprocess.Popen([sys.executable, "-c", _COUNT]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def medians(command: list[str], cores: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock and of the processors: of one thread, of all, and of the default."""
    ways = (["--threads", "1"], ["--threads", str(cores)], [])
    runs = [[Run.of(*command, *way) for way in ways] for _ in range(rounds)]
    columns = list(zip(*runs, strict=True))
    return (
        [statistics.median(run.wall_s for run in column) for column in columns],
        [statistics.median(run.cpu_s for run in column) for column in columns],
    )


if __name__ == "__main__":
    main()

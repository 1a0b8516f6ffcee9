"""Measure what the command imports before it sees the first voxel of a scan: seconds of the processor by package.

    python benchmarks/imports.py [--repeats 5] [--largest 12]

for ``--help``, for a NIfTI file and for a DICOM series (with the extra [dicom]), with each backend that is installed. Every run is a new
process on a scan of too few slices, which is refused as soon as it is read. A package's share is Python's own measurement
(``-X importtime``), by the clock, of the quickest run.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cascade.io.nifti import write_volume
from cascade.volume import Grid, Volume

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\w+)")


def main() -> None:
    """Measure, and print a table for each kind of run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, words in commands(Path(folder)).items():
            total, shares = min((measured(words) for _ in range(options.repeats)), key=lambda run: run[0])
            told = ", ".join(f"{package} {seconds:.2f}" for package, seconds in shares.most_common(options.largest))
            print(f"{name}: {total:.2f} s\n    {told}", flush=True)


def commands(folder: Path) -> dict[str, list[str]]:
    """The words of the command for each kind of run."""
    scan = Volume(np.ones((4, 40, 40), np.float32), Grid((4, 40, 40), np.diag([4.0, 2.0, 2.0, 1.0])))
    write_volume(scan, folder / "small.nii.gz")
    inputs = {"NIfTI": folder / "small.nii.gz"}
    if find_spec("highdicom"):
        inputs["DICOM"] = _dicom(folder)
    backends = [name for name, package in (("onnx", "onnxruntime"), ("torch", "torch")) if find_spec(package)]
    return {"--help": ["--help"]} | {
        f"{kind}, {backend}": [str(path), "-o", str(folder / "out.nii.gz"), "--device", "cpu", "--backend", backend]
        for kind, path in inputs.items()
        for backend in backends
    }


def _dicom(folder: Path) -> Path:
    """The same scan, one file a slice."""
    from tests.dicom_files import slices, write_series

    grid = Grid((40, 40, 4), np.diag([2.0, 2.0, 4.0, 1.0]))
    return write_series(slices(Volume(np.ones((40, 40, 4), np.float32), grid)), folder / "series")


def measured(words: list[str]) -> tuple[float, Counter[str]]:
    """Seconds of one run's imports, all of them and by package."""
    command = [sys.executable, "-X", "importtime", "-m", "cascade.cli.segment", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    shares = Counter[str]()
    for line in done.stderr.splitlines():
        if found := _LINE.match(line):
            shares[found[2]] += int(found[1]) / 1e6
    if not shares["cascade"]:
        raise SystemExit(done.stderr)
    return shares.total(), shares


if __name__ == "__main__":
    main()

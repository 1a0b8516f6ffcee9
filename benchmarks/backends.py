"""Compare what torch and ONNX Runtime make of labelled scans, from the same weights: labels, names, warnings, seconds of the networks.

    python benchmarks/backends.py DATA [--split val] [--weights DIR] [--threads N] [--json FILE]

DATA is a folder with cases.tsv. The backends take turns at every case, in one process, so the seconds are those of the networks with
everything loaded; with one thread seconds of the processor are told too, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from cascade import Segmentation, Segmenter
from cascade.io.cases import read_cases
from cascade.networks.threads import set_threads, thread_count

BACKENDS = ("torch", "onnx")


def main() -> None:
    """Segment every case with both, and print a line for each and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    segmenters = [Segmenter.from_pretrained("cpu", options.weights, backend=backend) for backend in BACKENDS]
    set_threads(options.threads or thread_count())
    print("| case | voxels that differ | of | names | warnings | torch, s | its processors | ONNX Runtime, s | its processors |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for case in read_cases(options.data, options.split):
        scan, _ = case.load()
        rows.append(row_of(f"{case.dataset} {case.name}", *(timed(segmenter, scan) for segmenter in segmenters)))
        print(f"| {' | '.join(str(value) for value in rows[-1].values())} |", flush=True)
    print("\n" + ", ".join(f"{name}: {sum(row[name] for row in rows):.4g}" for name in ("differ", "of", *_seconds())))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def timed(segmenter: Segmenter, scan: Any) -> tuple[Segmentation, float, float]:
    """The result, and seconds by the clock and of the processors from the scan to its labels."""
    start, start_cpu = time.perf_counter(), time.process_time()
    result = segmenter.segment(scan, scheme="verse")
    return result, time.perf_counter() - start, time.process_time() - start_cpu


def row_of(name: str, torchs: tuple[Segmentation, float, float], onnxs: tuple[Segmentation, float, float]) -> dict[str, Any]:
    """What is told about a case."""
    a, b = torchs[0], onnxs[0]
    same_names = [level.name for level in a.levels] == [level.name for level in b.levels]
    seconds = dict(zip(_seconds(), (round(value, 2) for value in (*torchs[1:], *onnxs[1:])), strict=True))
    return {
        "case": name,
        "differ": int(np.count_nonzero(a.labels.data != b.labels.data)),
        "of": int(np.count_nonzero(a.labels.data)),
        "names": "same" if same_names else "differ",
        "warnings": "same" if a.warnings == b.warnings else "differ",
    } | seconds


def _seconds() -> tuple[str, ...]:
    return tuple(f"{backend}_{what}" for backend in BACKENDS for what in ("s", "cpu_s"))


if __name__ == "__main__":
    main()

"""How many scans of 16 x 400 x 400 a cohort does in an hour, what each costs, and what limits that.

    python benchmarks/throughput.py [DATA] [--scans 300] [--backends onnx torch] [--jobs 1 2] [--json FILE] [--page docs/speed.md]

DATA is a folder of cases, whose validation scans begin the cohort; phantoms fill it up. For each backend:

- the seconds of the processor of each part of a scan, on one thread, of the first `--costs` scans;
- what the networks of a scan multiply, how long that would take at the speed at which this machine multiplies matrices, and so the scans in
  an hour if nothing else took time;
- the whole command with each number of ``--jobs`` (with 1, two threads take turns at the networks): scans in an hour, seconds of the
  processors, how busy the cores were, and memory over time. Where other work shares the machine, only the seconds of the processors can be
  believed;
- for ``--jobs 1`` also how long nobody had the networks, and how long a scan waited for them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cohort import make_cohort
from numpy.typing import NDArray
from speed import write_between

from cascade import Segmenter, pipeline
from cascade.io.scan import read_scan
from cascade.networks.patches import Network
from cascade.networks.threads import set_threads, usable_cores
from cascade.postproc.identify import Evidence
from cascade.segmentation import Perception

FULL_SIZE = {"shape": (16, 400, 400), "spacing_mm": (4.0, 0.78, 0.78)}
PARTS = ("read", "stage 1", "stage 2", "naming", "write")
SECONDS_AN_HOUR = 3600


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the commands do
    if options.inside:
        print(json.dumps(INSIDE[options.inside](*options.arguments)))
        return
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = Path(work)
        count = make_cohort(folder / "scans", options.data, options.scans, FULL_SIZE)
        scans = sorted(map(str, (folder / "scans").iterdir()))
        report: dict[str, Any] = {
            "scans": count,
            "cores": usable_cores(),
            "multiplied_a_s": usable_cores() * _inside("multiplied"),
            "load": os.getloadavg()[0],
        }
        for backend in options.backends:
            report[backend] = {"cost": _inside("cost", backend, str(folder), *scans[:: max(1, count // options.costs)][: options.costs])}
            report[backend]["turns"] = _inside("turns", backend, str(folder), *scans[: options.costs])
            report[backend]["runs"] = [cohort(folder, backend, jobs, count) for jobs in options.jobs]
    text = told(report, options.backends)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.page:
        write_between(options.page, "throughput", text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--scans", type=int, default=300)
    parser.add_argument("--costs", type=int, default=8, help="scans whose parts are measured")
    parser.add_argument("--backends", nargs="+", choices=("onnx", "torch"), default=["onnx", "torch"])
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--work", type=Path, help="folder for scans and results")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="page whose tables are replaced, between <!-- throughput --> and its end")
    parser.add_argument("--inside", choices=INSIDE, help=argparse.SUPPRESS)
    parser.add_argument("--arguments", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def _inside(what: str, *arguments: str) -> Any:
    """Run a part of this file in a process of its own."""
    command = [sys.executable, __file__, "--inside", what, "--arguments", *arguments]
    one = os.environ | {"OPENBLAS_NUM_THREADS": "1"} if what == "multiplied" else None
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=one).stdout.splitlines()[-1])


def multiplied() -> float:
    """Multiplications and additions that a core makes in a second of its time, in float32: the best of ten products of matrices."""
    a, b = np.random.default_rng(0).standard_normal((2, 2048, 2048), dtype=np.float32)
    times = []
    for _ in range(10):
        start = time.process_time()
        a @ b
        times.append(time.process_time() - start)
    return float(2048**3 / min(times))


@dataclass
class Counting:
    """A network that remembers what it was given."""

    network: Network
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def each(self, patches: Iterable[NDArray[np.float32]], count: int) -> Iterator[NDArray[np.float32]]:
        """As the network, patch by patch."""
        return self.network.each(map(self._seen, patches), count)

    def _seen(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.shapes.append(patch.shape)
        return patch


def cost(backend: str, folder: str, *scans: str) -> dict[str, Any]:
    """Seconds of the processor of each part, mean of the scans, and what the networks multiply in one."""
    plain = Segmenter.from_pretrained("cpu", backend=backend)
    set_threads(1)
    segmenter = Segmenter(*(Counting(network) for network in (plain.stage1, plain.stage2)))
    segmenter.segment(scans[0])  # makes the sessions
    for network in (segmenter.stage1, segmenter.stage2):
        network.shapes.clear()  # type: ignore[attr-defined]
    seconds = np.array([_parts(segmenter, scan, Path(folder) / "labels.nii.gz") for scan in scans])
    multiplied = sum(_multiplications(stage) for stage in (segmenter.stage1, segmenter.stage2))
    return dict(zip(PARTS, seconds.mean(axis=0).tolist(), strict=True)) | {"multiplied": multiplied / len(scans)}


def _parts(segmenter: Segmenter, scan: str, labels: Path) -> list[float]:
    clock = [time.process_time()]
    volume, source, notices = read_scan(scan)
    clock.append(time.process_time())
    spine = pipeline.locate(volume, segmenter.stage1)
    clock.append(time.process_time())
    (tissues, line_mm), spec = pipeline.classify_whole(volume, spine.centreline_mm, segmenter.stage2), segmenter.stage2.spec
    clock.append(time.process_time())
    grid = volume.grid.reoriented(spec.axcodes)
    evidence = Evidence(tissues.probabilities, tissues.classes, tissues.grid, line_mm, grid, spec.naming_parameters)
    result = segmenter.name(Perception(volume, spine, evidence, notices, {}, source))
    clock.append(time.process_time())
    result.save(labels)
    clock.append(time.process_time())
    return list(np.diff(clock))


def _multiplications(network: Any) -> float:
    """Of the convolutions on all patches: torch counts them without computing."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cascade.networks.checkpoint import build_network

    with torch.device("meta"):
        skeleton = build_network(network.spec)
    total = 0
    for shape in set(network.shapes):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            skeleton(torch.empty((1, 1, *shape), device="meta"))
        total += network.shapes.count(shape) * counter.get_total_flops() / 2
    return total


def turns(backend: str, folder: str, *scans: str) -> dict[str, float]:
    """Share of the time in which a scan had the networks, and seconds a scan waited for them, with two threads as the command has them."""
    segmenter = Segmenter.from_pretrained("cpu", backend=backend)
    segmenter.segment(scans[0])
    lock = pipeline._NETWORKS = _Watched()  # type: ignore[assignment]
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda scan: segmenter.segment(scan).save(f"{folder}/{Path(scan).name}.labels.nii.gz"), scans))
    return {"networks busy": lock.held_s / (time.perf_counter() - start), "waited_s": lock.waited_s / len(scans)}


class _Watched:
    """A lock that adds up how long it was held and waited for."""

    def __init__(self) -> None:
        self._lock, self.held_s, self.waited_s, self._since = threading.Lock(), 0.0, 0.0, 0.0

    def __enter__(self) -> None:
        asked = time.perf_counter()
        self._lock.acquire()
        self._since = time.perf_counter()
        self.waited_s += self._since - asked

    def __exit__(self, *_: object) -> None:
        self.held_s += time.perf_counter() - self._since
        self._lock.release()


def cohort(folder: Path, backend: str, jobs: int, count: int) -> dict[str, Any]:
    """The whole command on all scans."""
    out = folder / f"{backend}-{jobs}"
    words = ["-o", str(out), "--device", "cpu", "--backend", backend, "--jobs", str(jobs), "-q"]
    start, memory = time.perf_counter(), []
    process = subprocess.Popen([sys.executable, "-m", "cascade.cli.segment", str(folder / "scans"), *words])
    done = 0
    while not done:
        memory.append(_gigabytes(process.pid))
        time.sleep(0.5)
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
    wall_s, cpu_s = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    quarters = [max(part.tolist()) for part in np.array_split(np.array(memory), 4) if len(part)]
    rate = SECONDS_AN_HOUR * count / wall_s
    return {
        "jobs": jobs,
        "scans_an_hour": rate,
        "cpu_s": cpu_s / count,
        "busy": cpu_s / wall_s,
        "memory_gb": quarters,
        "status": process.returncode,
    }


def _gigabytes(root: int) -> float:
    """Memory of a process and those that it has started."""
    parents, pages = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            rest = entry.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            parents[int(entry.parent.name)], pages[int(entry.parent.name)] = int(rest[1]), int(rest[21])
    family, grown = {root}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(pages.get(member, 0) for member in family) * os.sysconf("SC_PAGE_SIZE") / 1e9


def told(report: dict[str, Any], backends: Iterable[str]) -> str:
    """The tables, as the page has them."""
    peak = report["multiplied_a_s"]
    lines = [f"{report['scans']} scans, {report['cores']} cores, load {report['load']:.1f} at the start:", ""]
    limited = f"s for the networks at {peak / 1e9:.0f} billion multiplications a second"
    lines += [f"| s of the processor | {' | '.join(PARTS)} | all | {limited} | scans an hour then |", f"|{'---|' * (len(PARTS) + 4)}"]
    for backend in backends:
        found = report[backend]["cost"]
        limit = found["multiplied"] / peak
        cells = [f"{found[part]:.2f}" for part in PARTS] + [f"{sum(found[part] for part in PARTS):.2f}"]
        lines.append(f"| {backend} | {' | '.join(cells)} | {limit:.2f} | {SECONDS_AN_HOUR / limit:.0f} |")
    lines += [
        "",
        "| | jobs | scans an hour | s of the processor a scan | cores busy | memory in each quarter of the time, GB |",
        f"|{'---|' * 6}",
    ]
    for backend in backends:
        for run in report[backend]["runs"]:
            memory = ", ".join(f"{value:.2f}" for value in run["memory_gb"])
            lines.append(f"| {backend} | {run['jobs']} | {run['scans_an_hour']:.0f} | {run['cpu_s']:.2f} | {run['busy']:.2f} | {memory} |")
    for backend in backends:
        seen = report[backend]["turns"]
        lines += [
            "",
            f"{backend}: a scan had the networks {seen['networks busy']:.0%} of the time, and waited {seen['waited_s']:.2f} s for them.",
        ]
    return "\n".join(lines)


INSIDE = {"cost": cost, "turns": turns, "multiplied": multiplied}

if __name__ == "__main__":
    main()

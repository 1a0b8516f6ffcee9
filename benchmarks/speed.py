"""Measure seconds and memory of the whole command, by part, and against the work that networks of the usual size would have.

    python benchmarks/speed.py [--json speed.json] [--plot docs/speed.svg] [--repeats 3] [--windows 1 | --all-windows]
                               [--backends onnx torch] [--scans "16 x 400 x 400" ...] [--history benchmarks/history.tsv]
                               [--page docs/speed.md]

needs the extras [benchmarks] and [onnx]. Three phantoms of usual sizes are segmented, with torch and with ONNX Runtime in turn, each run in
a process of its own:

- the whole command, from its start to the written labels (median of the runs), with its processor time and peak memory;
- its parts, in another run: start-up (interpreter and imports), loading the weights, reading, stage 1, stage 2, naming, writing;
- the peers' work, in the same session with as many threads: the residual encoder U-Net of nnU-Net (ResEnc M's features and blocks,
  random weights) over the whole scan at 1 mm in windows of 128^3 that overlap by half, no mirroring, and two such networks, as
  TotalSpineSeg has them. One window is measured and multiplied by the number of windows, unless --all-windows runs them all;
  neither its start-up, nor resampling, nor post-processing is counted, while all of that is for the command. Where other work
  shares the machine, the ratio of processor seconds says more than that of the clock's.

With --history a line for each scan and backend is appended to a table: when, which commit, on which machine, and the ratios. The work of
the peers is measured in the same run, so the ratios of two lines from one machine can be compared even if it was busy.

The plot shows how the time for one scan, with the weights loaded, grows with slices and field of view.
"""

from __future__ import annotations

import argparse
import compileall
import csv
import datetime
import importlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import cascade
from cascade.networks.threads import thread_count, usable_cores

#: Shape and spacing in mm of the scans: clinical sagittal T2, isotropic, high resolution.
SCANS = {
    "16 x 400 x 400": ((16, 400, 400), (4.0, 0.78, 0.78)),
    "80 x 300 x 300": ((80, 300, 300), (1.0, 0.94, 0.94)),
    "200 x 512 x 512": ((200, 512, 512), (1.0, 0.6, 0.6)),
}
#: What the plot varies: slices of 4 mm at 300 x 300 mm, and the side of the field of view in mm at 16 slices.
SLICES, SIDES_MM = (8, 16, 24, 32, 48), (200, 250, 300, 400, 500)
WINDOW, PEER_NETWORKS = 128, 2
COLUMNS = ("date", "commit", "machine", "threads", "load", "scan", "backend", "wall_s", "cpu_s", "peak_gb", "peer_s", "ratio", "cpu_ratio")
PARTS = ("start", "weights", "read", "stage1_spine", "stage2_levels", "postproc", "write")


@dataclass(frozen=True)
class Run:
    """What one process took: seconds by the clock and of the processors, peak memory in GB, and what it printed last.

    Linux starts a child's peak memory at its parent's, so whatever is large is imported in processes of its own.
    """

    wall_s: float
    cpu_s: float
    peak_gb: float
    said: str

    @classmethod
    def of(cls, *command: str) -> Run:
        """Run a command; its errors end the benchmark."""
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit status {process.returncode}")
        unit = 1 if sys.platform == "darwin" else 1024
        return cls(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e9, (said.splitlines() or [""])[-1])


def main() -> None:
    """Measure, print the tables, write JSON and plot."""
    options = _options()
    if options.inside:
        print(json.dumps(INSIDE[options.inside](*options.arguments)))
        return
    # As pip does when it installs: otherwise a source tree may be compiled anew at every start.
    compileall.compile_dir(Path(cascade.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        peer_window = _inside("peer", str(options.windows))
        results = {name: _measure_scan(name, Path(folder), peer_window, options) for name in options.scans}
        growth = json.loads(_inside("growth").said) if options.plot else {}
    report = {"machine": _machine(), "peer_window": vars(peer_window), "scans": results, "growth": growth}
    print(told(report))
    if options.page:
        write_between(options.page, "speed", told(report))
    if options.history:
        remember(report, options.history)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.plot:
        plot(growth, json.loads(peer_window.said)["wall_s"], options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="how the time grows with slices and field of view (.svg or .png)")
    parser.add_argument("--history", type=Path, metavar="FILE", help="table that the ratios are appended to")
    parser.add_argument("--page", type=Path, metavar="FILE", help="page whose tables are replaced, between <!-- speed --> and its end")
    parser.add_argument("--backends", nargs="+", choices=("onnx", "torch"), default=["onnx", "torch"])
    parser.add_argument("--scans", nargs="+", choices=SCANS, default=list(SCANS))
    parser.add_argument("--repeats", type=int, default=3, help="runs of the whole command (default: 3)")
    parser.add_argument("--windows", type=int, default=1, help="windows of the peers' network to measure (default: 1)")
    parser.add_argument("--all-windows", action="store_true", help="run all of the peers' windows; takes a quarter of an hour and more")
    parser.add_argument("--inside", choices=INSIDE, help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def _inside(what: str, *arguments: str) -> Run:
    """Run a part of this file in a process of its own."""
    return Run.of(sys.executable, __file__, "--inside", what, *arguments)


def render_scan(name: str, folder: Path) -> Path:
    """Render one of `SCANS` in a process of its own."""
    _inside("render", name, str(folder / "scan.nii.gz"))
    return folder / "scan.nii.gz"


def _measure_scan(name: str, folder: Path, peer_window: Run, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What each backend takes for a scan; they take turns."""
    scan, labels = render_scan(name, folder), folder / "labels.nii.gz"
    command = (sys.executable, "-m", "cascade.cli.segment", str(scan), "-o", str(labels), "--device", "cpu", "--backend")
    runs = [{backend: Run.of(*command, backend) for backend in options.backends} for _ in range(options.repeats)]
    windows = PEER_NETWORKS * peer_windows(*SCANS[name])
    peer = _inside("peer", str(windows)) if options.all_windows else peer_window
    measured = {}
    for backend in options.backends:
        parts = json.loads(_inside("parts", str(scan), str(labels), backend).said)
        measured[backend] = _row([run[backend] for run in runs], windows, peer) | {"parts_s": parts}
    return measured


def _row(runs: list[Run], windows: int, peer: Run) -> dict[str, Any]:
    wall_s, cpu_s = (statistics.median(getattr(run, what) for run in runs) for what in ("wall_s", "cpu_s"))
    window = json.loads(peer.said)
    return {
        "wall_s": wall_s,
        "wall_s_of_runs": [run.wall_s for run in runs],
        "cpu_s": cpu_s,
        "peak_gb": max(run.peak_gb for run in runs),
        "peer_windows": windows,
        "peer_s": windows * window["wall_s"],
        "peer_cpu_s": windows * window["cpu_s"],
        "peer_peak_gb": peer.peak_gb,
        "ratio": windows * window["wall_s"] / wall_s,
        "cpu_ratio": windows * window["cpu_s"] / cpu_s,
    }


def peer_windows(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> int:
    """Windows that cover a scan at 1 mm with half overlap, as nnU-Net places them.

    >>> peer_windows((16, 400, 400), (4.0, 0.78, 0.78))
    16
    """
    lengths = [max(round(n * s), WINDOW) for n, s in zip(shape, spacing_mm, strict=True)]
    return math.prod(math.ceil((length - WINDOW) / (WINDOW / 2)) + 1 for length in lengths)


def _render(name: str, path: str) -> None:
    from cascade.io.nifti import write_volume
    from cascade.phantom import PhantomSpec, render

    shape, spacing_mm = SCANS[name]
    write_volume(render(PhantomSpec(shape=shape, spacing_mm=spacing_mm, thoracic=3))[0], Path(path))


def _parts(scan: str, labels: str, backend: str) -> dict[str, float]:
    """Seconds of each part of one run."""
    laps = [time.perf_counter()]
    importlib.import_module({"onnx": "onnxruntime"}.get(backend, backend))
    from cascade.pipeline import Segmenter

    laps.append(time.perf_counter())
    segmenter = Segmenter.from_pretrained("cpu", backend=backend)
    laps.append(time.perf_counter())
    result = segmenter.segment(scan)
    laps.append(time.perf_counter())
    result.save(labels)
    write_s = time.perf_counter() - laps[-1]
    return {"start": laps[1] - laps[0], "weights": laps[2] - laps[1], **result.provenance["seconds"], "write": write_s}


def _peer(windows: str) -> dict[str, float]:
    """Seconds that a window of the peers' network takes, by the clock and of the processors, after one that is not counted."""
    import torch
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from torch import nn

    network = ResidualEncoderUNet(
        input_channels=1,
        n_stages=6,
        features_per_stage=(32, 64, 128, 256, 320, 320),
        conv_op=nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_blocks_per_stage=(1, 3, 4, 6, 6, 6),
        num_classes=50,
        n_conv_per_stage_decoder=(1, 1, 1, 1, 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    image = torch.randn(1, 1, WINDOW, WINDOW, WINDOW)
    with torch.inference_mode():
        network(image)
        start, start_cpu = time.perf_counter(), time.process_time()
        for _ in range(int(windows)):
            network(image)
    count = int(windows)
    return {"wall_s": (time.perf_counter() - start) / count, "cpu_s": (time.process_time() - start_cpu) / count}


def _growth() -> dict[str, list[dict[str, float]]]:
    """Seconds for one scan, with the weights loaded, by slices and by field of view."""
    shapes = {
        "slices": [(n, (n, 320, 320), (4.0, 0.94, 0.94)) for n in SLICES],
        "side_mm": [(side, (16, round(side / 0.94), round(side / 0.94)), (4.0, 0.94, 0.94)) for side in SIDES_MM],
    }
    return {what: [_one_size(value, shape, spacing) for value, shape, spacing in sizes] for what, sizes in shapes.items()}


def _one_size(value: float, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> dict[str, float]:
    from cascade.phantom import PhantomSpec, render

    scan, _ = render(PhantomSpec(shape=shape, spacing_mm=spacing_mm, thoracic=3))
    start, start_cpu = time.perf_counter(), time.process_time()
    cascade.segment(scan, device="cpu")
    seconds = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - start_cpu}
    return {"value": value, **seconds, "peer_windows": PEER_NETWORKS * peer_windows(shape, spacing_mm)}


def plot(growth: dict[str, list[dict[str, float]]], window_s: float, path: Path) -> None:
    """Draw the growth of the command's and the peers' time, on a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
    names = {"slices": "slices of 4 mm (300 mm square)", "side_mm": "side of the field of view, mm (16 slices)"}
    for axis, (what, points) in zip(axes, growth.items(), strict=True):
        values = [point["value"] for point in points]
        axis.plot(values, [point["peer_windows"] * window_s for point in points], "s--", color="#999999", label="nnU-Net-sized networks")
        axis.plot(values, [point["seconds"] for point in points], "o-", color="#0072b2", label="cascade, weights loaded")
        axis.set(xlabel=names[what], yscale="log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds a scan")
    axes[0].set_ylim(bottom=0.5)
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_name(),
        "cores": usable_cores(),
        "threads": thread_count(),
        "versions": {name: metadata.version(name) for name in ("torch", "onnxruntime", "numpy")},
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
        "commit": _commit(),
    }


def _cpu_name() -> str:
    """As Linux calls it, with family and model: clouds hide the rest of the name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    name = known.get("model name", platform.processor())
    return f"{name}, family {known['cpu family']}, model {known['model']}" if "cpu family" in known else name


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def remember(report: dict[str, Any], path: Path) -> None:
    """Append a line for each scan and backend to a tab-separated table, which is made with its heading if it is not there."""
    machine = report["machine"]
    shared = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": machine["commit"]}
    shared |= {"machine": f"{machine['cores']} cores of {machine['cpu']}", "threads": machine["threads"], "load": f"{machine['load']:.1f}"}
    there = path.is_file()
    with path.open("a", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, delimiter="\t", extrasaction="ignore", lineterminator="\n")
        if not there:
            table.writeheader()
        for scan, backends in report["scans"].items():
            for backend, row in backends.items():
                figures = {name: f"{value:.3g}" for name, value in row.items() if isinstance(value, float)}
                table.writerow(shared | {"scan": scan, "backend": backend} | figures)


def told(report: dict[str, Any]) -> str:
    """The machine and the tables, as the page has them."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cores = f"{machine['threads']} threads on {machine['cores']} cores of {machine['cpu']}"
    lines = [f"Commit {machine['commit']}, {cores}, load {machine['load']:.1f} at the start, {versions}:", ""]
    lines += [
        "| scan | backend | command | its processors | memory | peers' windows "
        "| peers | their processors | times faster | in processor time |"
    ]
    lines += [f"|{'---|' * 10}"]
    rows = [(scan, backend, row) for scan, backends in report["scans"].items() for backend, row in backends.items()]
    for scan, backend, row in rows:
        own = f"{row['wall_s']:.1f} s | {row['cpu_s']:.1f} s | {row['peak_gb']:.2f} GB"
        peers = f"{row['peer_windows']} | {row['peer_s']:.0f} s | {row['peer_cpu_s']:.0f} s | {row['ratio']:.0f} | {row['cpu_ratio']:.0f}"
        lines.append(f"| {_name(scan)} | {backend} | {own} | {peers} |")
    lines += [
        "",
        "The parts, by the clock, in another run:",
        "",
        "| scan | backend | start | weights | read | stage 1 | stage 2 | naming | write |",
    ]
    lines += [f"|{'---|' * 9}"]
    for scan, backend, row in rows:
        seconds = (f"{row['parts_s'][part]:.2f} s" for part in PARTS)
        lines.append(f"| {_name(scan)} | {backend} | {' | '.join(seconds)} |")
    return "\n".join(lines)


def _name(scan: str) -> str:
    return scan.replace("x", "\N{MULTIPLICATION SIGN}")


def write_between(page: Path, name: str, text: str) -> None:
    """Put what was measured where a page has room for it: between two comments."""
    before, start, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise SystemExit(f"{page}: expected <!-- {name} --> and <!-- end of {name} -->")
    page.write_text(f"{before}{start}\n{text}\n\n{end}{after}", encoding="utf-8")


INSIDE = {"render": _render, "parts": _parts, "peer": _peer, "growth": _growth}

if __name__ == "__main__":
    main()

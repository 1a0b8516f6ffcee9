"""A cohort that is killed again and again, and one on a cluster whose workers die, against one that is left alone.

    python benchmarks/cohort.py DATA --scans 200 --kills 10 --json cohort.json

DATA is a folder of cases (``cases.tsv``); its validation scans, filled up with phantoms, are the cohort. Prints a table.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cascade.cohorts.job import MANIFEST
from cascade.io.cases import list_cases
from cascade.io.nifti import write_volume
from cascade.phantom import PhantomSpec, render

#: What two runs of the same cohort may differ in.
TIMES = ("seconds", "finished")
SMALL = {"shape": (6, 80, 120), "spacing_mm": (5.0, 2.0, 2.0)}


def main() -> None:
    """Run all, print the table; exit 1 if anything differs."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="cohort-", dir=options.work))
    scans = make_cohort(folder / "scans", options.data, options.scans)
    print(f"{scans} scans in {folder / 'scans'}", file=sys.stderr)
    rows = [undisturbed(folder, jobs, options) for jobs in sorted({1, options.jobs})]
    whole = folder / f"jobs-{options.jobs}"
    if options.kills:
        rows.append(killed(folder, rows[-1]["seconds"], options))
    if options.worker_kills:
        rows.append(on_a_cluster(folder, rows[-1]["seconds"], options))
    for row in rows:
        row |= compare(whole, folder / row["run"])
    _print_table(rows, scans)
    if options.json:
        options.json.write_text(json.dumps({"scans": scans, "cores": os.cpu_count(), "runs": rows}, indent=2) + "\n", encoding="utf-8")
    if not options.keep:
        shutil.rmtree(folder)
    sys.exit(any(row["other labels"] or row["other lines"] for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="folder of cases; without it, phantoms only")
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=10, help="of the whole command and its workers (SIGKILL)")
    parser.add_argument("--worker-kills", type=int, default=2, help="of a worker of a local Dask cluster; 0: no cluster")
    parser.add_argument("--weights", type=Path, help="other weights than the packaged ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for scans and results (default: the system's for temporary files)")
    parser.add_argument("--keep", action="store_true", help="leave scans and results there")
    parser.add_argument("--json", type=Path, help="write the table here too")
    return parser.parse_args()


def make_cohort(folder: Path, data: Path | None, count: int, size: dict[str, Any] = SMALL) -> int:
    """Copy the validation scans, and add phantoms of one size until there are `count`."""
    folder.mkdir(parents=True)
    cases = list_cases(data, "val")[:count] if data else []
    for case in cases:
        shutil.copy(case.image, folder / f"{case.dataset}-{case.name}{''.join(case.image.suffixes[-2:])}")
    for n in range(count - len(cases)):
        lumbar = (5, 5, 5, 4, 6)[n % 5]
        image, _ = render(PhantomSpec(**size, lumbar=lumbar, thoracic=1 + n % 3, scoliosis_mm=2.0 + n % 7, seed=n))
        write_volume(image, folder / f"phantom-{n:03}.nii.gz")
    return count


def command(folder: Path, run: str, options: argparse.Namespace, *more: str) -> list[str]:
    """The command for one run of the cohort."""
    weights = ["--weights", str(options.weights)] if options.weights else []
    scans = [str(folder / "scans"), "-o", str(folder / run)]
    return [sys.executable, "-m", "cascade.cli.segment", *scans, "--device", "cpu", *weights, *more]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own."""
    with log.open("ab") as stream:
        return subprocess.Popen(words, stdout=stream, stderr=stream, start_new_session=True)


def undisturbed(folder: Path, jobs: int, options: argparse.Namespace) -> dict[str, Any]:
    """Let the command do the cohort in one go."""
    begun = time.monotonic()
    start(command(folder, f"jobs-{jobs}", options, "--jobs", str(jobs)), folder / f"jobs-{jobs}.log").wait()
    return {"run": f"jobs-{jobs}", "seconds": time.monotonic() - begun, "kills": 0}


def killed(folder: Path, undisturbed_seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Kill the command's process group at random times, resume it each time, and let it end."""
    rng, kills, begun = random.Random(options.seed), 0, time.monotonic()
    words, log = command(folder, "killed", options, "--jobs", str(options.jobs), "--resume"), folder / "killed.log"
    while kills < options.kills:
        process = start(words, log)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 1.8) * undisturbed_seconds / options.kills)
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    start(words, log).wait()
    return {"run": "killed", "seconds": time.monotonic() - begun, "kills": kills}


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """A Dask cluster on this machine, and a client of it."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def on_a_cluster(folder: Path, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Run on a local Dask cluster, and kill one of its workers now and then."""
    rng, kills = random.Random(options.seed), 0
    with local_cluster(options.jobs) as client:
        begun = time.monotonic()
        process = start(command(folder, "cluster", options, "--scheduler", client.scheduler.address), folder / "cluster.log")
        while kills < options.worker_kills:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0.5, 1.5) * seconds / (options.worker_kills + 2))
                break
            os.kill(rng.choice(list(client.run(os.getpid).values())), signal.SIGKILL)
            kills += 1
        process.wait()
        return {"run": "cluster", "seconds": time.monotonic() - begun, "kills": kills}


def compare(whole: Path, other: Path) -> dict[str, Any]:
    """Differences in label files and in the last manifest line of each scan, and scans that were recorded twice."""
    labels, lines = zip(*((_digests(run), _lines(run)) for run in (whole, other)), strict=True)
    last = [{line["output"]: {k: v for k, v in line.items() if k not in TIMES} for line in run} for run in lines]
    states = [line["state"] for line in last[1].values()]
    return {
        "done": states.count("done"),
        "other labels": sum(labels[0].get(name) != labels[1].get(name) for name in labels[0].keys() | labels[1].keys()),
        "other lines": sum(last[0].get(name) != last[1].get(name) for name in last[0].keys() | last[1].keys()),
        "twice": len(lines[1]) - len(last[1]),
    }


def _digests(folder: Path) -> dict[str, str]:
    """Every file but the manifest, temporary ones included."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST]
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _lines(folder: Path) -> list[dict[str, Any]]:
    found = []
    for text in (folder / MANIFEST).read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # torn by a kill
            found.append(json.loads(text))
    return found


def _print_table(rows: list[dict[str, Any]], scans: int) -> None:
    print("| run | kills | wall time | scans a minute | done | label files that differ | manifest lines that differ | recorded twice |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        rate = 60 * scans / row["seconds"]
        cells = (row["run"], row["kills"], f"{row['seconds']:.0f} s", f"{rate:.1f}", f"{row['done']} of {scans}")
        print(f"| {' | '.join(map(str, (*cells, row['other labels'], row['other lines'], row['twice'])))} |")


if __name__ == "__main__":
    main()

"""Feed damaged files to every reader: ``python -m tests.robustness.fuzz --inputs 20000``.

Each input is made from a seed, a target and a number alone, so a finding can be repeated:
``python -m tests.robustness.fuzz --only nrrd --first 123 --inputs 1``. The readers run in a worker; what kills it, hangs, takes
too much memory or raises anything but a `CascadeError` is a finding.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.robustness.corpus import Target
    from tests.robustness.shapes import Shape

#: No file of the corpus has more than a few kB. None may hang for so long, take so much of the processor, or so much memory.
SECONDS, SLOW_SECONDS = 60.0, 2.0
MEMORY_MIB = 256
_ROOT = Path(__file__).parents[2]


Finding = dict[str, Any]


def main() -> int:
    """Run the fuzzer, print a table and the findings; 1 if there are any."""
    options = _options()
    if options.worker:
        return _work(json.loads(options.worker), options.seed)
    started = time.monotonic()
    plan = plan_for(options.inputs, options.only, options.first)
    findings, refused = run(plan, options.seed)
    for target, (first, end) in plan.items():
        found = sum(finding["target"] == target for finding in findings)
        print(f"{target:20}{end - first:8} inputs {refused.get(target, 0):8} refused {found:5} findings")
    total = sum(end - first for first, end in plan.values())
    seconds = time.monotonic() - started
    print(f"{'all':20}{total:8} inputs {sum(refused.values()):8} refused {len(findings):5} findings, {seconds:.0f} s")
    for finding in findings:
        print(json.dumps(finding))
    return 1 if findings else 0


def plan_for(inputs: int, only: str | None = None, first: int = 0) -> dict[str, tuple[int, int]]:
    """First input and end for each target."""
    targets = only.split(",") if only else list(all_targets())
    return dict.fromkeys(targets, (first, first - (-inputs // len(targets))))


def all_targets() -> dict[str, Target | Shape]:
    """Every kind of input: files whose bytes are damaged, and files that are odd in what they say."""
    from tests.robustness.corpus import TARGETS
    from tests.robustness.shapes import SHAPES

    return TARGETS | SHAPES


def run(plan: dict[str, tuple[int, int]], seed: int = 0) -> tuple[list[Finding], dict[str, int]]:
    """Feed the inputs of a plan to the readers, in a process that is started again after an input that ended it.

    Returns
    -------
    findings : list of dict
    refused : dict
        By target, the inputs that ended in a `CascadeError`; the others could be read.
    """
    findings: list[Finding] = []
    refused: Counter[str] = Counter()
    left = dict(plan)
    while left:
        command = [sys.executable, "-m", "tests.robustness.fuzz", "--worker", json.dumps(left), "--seed", str(seed)]
        process = subprocess.run(command, capture_output=True, cwd=_ROOT, check=False)
        lines = [json.loads(line) for line in process.stdout.decode().splitlines() if line.startswith('{"target"')]
        findings += [line for line in lines if "what" in line]
        refused.update(line["target"] for line in lines if line.get("state") == "refused")
        if process.returncode == 0 or not lines:
            break
        last = lines[-1]
        what = f"the process ended with {process.returncode}"
        errors = process.stderr.decode(errors="replace")
        start = max(errors.rfind("Fatal Python error") - 300, errors.rfind("Timeout ("), 0)
        findings.append({**last, "what": what, "where": errors[start:][:1500] if start else errors[-1500:]})
        done = list(left)[: list(left).index(last["target"])]
        left = {t: (first if t != last["target"] else last["input"] + 1, end) for t, (first, end) in left.items() if t not in done}
    if process.returncode and not lines:
        raise RuntimeError(process.stderr.decode(errors="replace"))
    return findings, dict(refused)


def _work(plan: dict[str, tuple[int, int]], seed: int) -> int:
    targets = all_targets()
    warnings.filterwarnings("error", module=r"cascade\b")
    faulthandler.enable()
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        for target, (first, end) in plan.items():
            _bound_memory(lifted=True)
            _first_read(targets[target], Path(name) / target)
            _bound_memory()
            for number in range(first, end):
                _say(target, number, state="begun")
                _feed((target, number), targets[target], Path(name) / f"{target}{number}", Random(f"{seed} {target} {number}"))
    return 0


def _first_read(target: Target | Shape, folder: Path) -> None:
    """Read a healthy file: it must be read, and what is imported for it is not counted as memory of the next."""
    folder.mkdir()
    target.healthy(folder)
    target.read(folder)


def _feed(which: tuple[str, int], target: Target | Shape, folder: Path, rng: Random) -> None:
    from cascade.errors import CascadeError

    folder.mkdir()
    target.write(folder, rng)
    peak, begun = _peak_mib(), time.process_time()
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        target.read(folder)
    except CascadeError as error:
        _say(*which, **({"state": "refused"} if "expected" in str(error) else {"what": f"unclear: {error}"}))
    except Exception as error:  # noqa: BLE001  (whatever it is, it is a finding)
        _say(*which, what=f"{type(error).__name__}: {error}"[:300], where=traceback.format_exc()[-1500:])
    faulthandler.cancel_dump_traceback_later()
    if (seconds := time.process_time() - begun) > SLOW_SECONDS:
        _say(*which, what=f"{seconds:.1f} s")
    if (grown := _peak_mib() - peak) > MEMORY_MIB:
        _say(*which, what=f"{grown} MiB")
    shutil.rmtree(folder)


def _say(target: str, number: int, **more: str) -> None:
    print(json.dumps({"target": target, "input": number, **more}), flush=True)


def _bound_memory(*, lifted: bool = False) -> None:
    """Let no input take the machine with it; not where libraries are loaded."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = hard if lifted else pages * resource.getpagesize() + (8 * MEMORY_MIB << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Feed damaged files to every reader.")
    parser.add_argument("--inputs", type=int, default=20000, help="how many, over all targets (default: 20000)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another set of inputs")
    parser.add_argument("--only", metavar="TARGETS", help="kinds of file, separated by commas")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""How many threads run the networks: as many as this process has cores, whatever the machine has."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_chosen: dict[str, int] = {}


def usable_cores() -> int:
    """CPU cores that this process may use: those it is bound to, and no more than a container's quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(bound, _quota())))


def set_threads(count: int) -> None:
    """Run the networks of this process with so many threads, whatever runs them."""
    _chosen["threads"] = count
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


def thread_count() -> int:
    """Threads of networks that ask for their number: what `set_threads` said, ``OMP_NUM_THREADS``, or all usable cores."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return _chosen.get("threads") or (int(told) if told.isdecimal() and int(told) else usable_cores())


def _quota(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores that the control groups of this process leave it (Linux, versions 1 and 2); inf where they say nothing."""
    folders = [cgroups / "cpu", cgroups]
    with suppress(OSError):
        for line in own.read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                top = cgroups / "cpu" if controllers else cgroups
                folders += [top / each for each in (Path(path.strip("/")), *Path(path.strip("/")).parents)]
    return min(map(_quota_of, folders))


def _quota_of(folder: Path) -> float:
    with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{what}_us").read_text(encoding="ascii") for what in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf

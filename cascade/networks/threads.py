"""How many threads run the networks: no more than this process has cores, whatever the machine has, and others leave it."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CPUS, _STAT = Path("/sys/devices/system/cpu"), Path("/proc/stat")
#: What `set_threads` was told.
_CHOSEN: dict[str, int] = {}
#: The kernel counts in steps of 10 ms; over a shorter time they say little.
_SHORTEST_S = 0.2


def usable_cores() -> int:
    """CPU cores that this process may use: those it is bound to, and no more than a container's quota."""
    return max(1, math.ceil(min(len(_bound()), _quota())))


def set_threads(count: int) -> None:
    """Run the networks of this process with so many threads, whatever runs them."""
    _CHOSEN["threads"] = count
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


def thread_count() -> int:
    """Threads of networks that ask for their number: what `set_threads` said, ``OMP_NUM_THREADS``, or all usable cores."""
    return _CHOSEN.get("threads") or _told() or min(usable_cores(), _physical())


def spare_threads(since: Load) -> int:
    """As `thread_count`, less the cores that other processes have kept busy since then: two threads on one core hold each other up."""
    if _CHOSEN.get("threads") or _told():
        return thread_count()
    return max(1, min(thread_count(), len(_bound()) - round(Load.now().busy_elsewhere(since))))


@dataclass(frozen=True)
class Load:
    """How much the cores of this process have done so far, in seconds.

    Parameters
    ----------
    clock_s : float
    all_s : float
        Of all processes, on the cores that this one is bound to; nan where the system does not tell.
    own_s : float
        Of this process.
    """

    clock_s: float
    all_s: float
    own_s: float

    @classmethod
    def now(cls) -> Load:
        """Read the clocks."""
        return cls(time.monotonic(), _busy_s(), time.process_time())

    def busy_elsewhere(self, since: Load) -> float:
        """Cores that other processes kept busy in the time between, on average; 0 where nobody knows."""
        seconds = self.clock_s - since.clock_s
        others = (self.all_s - since.all_s) - (self.own_s - since.own_s)
        return max(0.0, others / seconds) if seconds > _SHORTEST_S and others > 0 else 0.0


def _told() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else 0


def _bound() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _physical() -> int:
    """Of the cores that are bound, those that are no second thread of another; both of one core are no quicker than one."""
    siblings = set[str]()
    for cpu in _bound():
        with suppress(OSError):
            siblings.add((_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii"))
    return len(siblings) or len(_bound())


def _busy_s() -> float:
    """Seconds that the bound cores have worked: user, nice, system, interrupts (proc_stat(5))."""
    bound, ticks = _bound(), 0
    try:
        for line in _STAT.read_text(encoding="ascii").splitlines():
            name, *numbers = line.split()
            if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in bound:
                user, nice, system, _idle, _waiting, *interrupts = map(int, numbers)
                ticks += user + nice + system + sum(interrupts[:2])
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return math.nan


def _quota() -> float:
    """Cores that the control groups of this process leave it (Linux, versions 1 and 2); inf where they say nothing."""
    folders = [_CGROUPS, _CGROUPS / "cpu"]
    with suppress(OSError):
        for line in _OWN_CGROUP.read_text(encoding="utf-8", errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers or "cpu" in controllers.split(","):
                own = Path(path.strip("/"))
                folders += [(_CGROUPS / "cpu" if controllers else _CGROUPS) / each for each in (own, *own.parents)]
    return min(map(_quota_of, folders))


def _quota_of(folder: Path) -> float:
    """Cores that one group has."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((folder / f"cpu.cfs_{what}_us").read_text(encoding="ascii") for what in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    return math.inf

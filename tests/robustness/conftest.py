"""Bounds that hold while a fault is tried."""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: More than any reader may take for a file of a few megabytes.
BOUND_MIB = 512

Bounded = Callable[[], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def bounded_memory(mib: int = BOUND_MIB) -> Iterator[None]:
    """Fail if the process grows by more than `mib` of memory; it cannot grow by more than twice that."""
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 * mib << 20), hard))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # starts the peak anew
    before = _status_mib("VmRSS")
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    grown = _status_mib("VmHWM") - before
    assert grown < mib, f"the peak rose by {grown} MiB"


def _status_mib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) // 1024


@contextlib.contextmanager
def files_no_longer_than(length: int) -> Iterator[None]:
    """No file can be written beyond `length` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def bounded() -> Bounded:
    """Context in which memory is bounded."""
    return bounded_memory

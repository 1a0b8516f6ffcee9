"""The number of threads follows what the machine gives this process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cascade.networks import threads
from cascade.networks.threads import Load, thread_count, usable_cores


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Four cores of which each computes one thing at a time, of nobody's container; and a folder for control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_CHOSEN", {})
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path)
    monkeypatch.setattr(threads, "_CPUS", tmp_path / "cpus")
    for cpu in range(4):
        place = tmp_path / "cpus" / f"cpu{cpu}" / "topology" / "thread_siblings_list"
        place.parent.mkdir(parents=True)
        place.write_text(f"{cpu}\n", encoding="ascii")
    return tmp_path


def test_bound_cores_are_the_usable_ones(cores: Path) -> None:
    assert usable_cores() == thread_count() == 4


@pytest.mark.parametrize(("text", "count"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", 4), ("", 4)])
def test_a_containers_quota_bounds_them(text: str, count: int, cores: Path) -> None:
    (cores / "cpu.max").write_text(text, encoding="ascii")
    assert usable_cores() == count


@pytest.mark.parametrize(("quota", "count"), [(200000, 2), (-1, 4)])
def test_so_does_a_quota_of_older_control_groups(quota: int, count: int, cores: Path) -> None:
    (cores / "cpu").mkdir()
    (cores / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n", encoding="ascii")
    (cores / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="ascii")
    assert usable_cores() == count


def test_a_quota_further_up_counts(cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = cores / "own"
    own.write_text("0::/slice/job\n", encoding="ascii")
    monkeypatch.setattr(threads, "_OWN_CGROUP", own)
    (cores / "slice" / "job").mkdir(parents=True)
    (cores / "slice" / "job" / "cpu.max").write_text("max 100000", encoding="ascii")
    (cores / "slice" / "cpu.max").write_text("100000 100000", encoding="ascii")
    assert usable_cores() == 1


def test_two_threads_of_one_core_count_once(cores: Path) -> None:
    for cpu in range(4):
        (cores / "cpus" / f"cpu{cpu}" / "topology" / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n", encoding="ascii")
    assert (usable_cores(), thread_count()) == (4, 2)


def test_what_the_environment_says_holds(cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert thread_count() == 4


def test_cores_that_others_keep_busy_are_told_from_ones_own() -> None:
    before = Load(clock_s=10.0, all_s=100.0, own_s=1.0)
    assert Load(12.0, 104.0, 3.0).busy_elsewhere(before) == 1.0
    assert Load(12.0, 102.0, 3.0).busy_elsewhere(before) == 0.0
    assert Load(12.0, math.nan, 3.0).busy_elsewhere(before) == 0.0
    assert Load(10.1, 104.0, 1.0).busy_elsewhere(before) == 0.0


@pytest.mark.parametrize(("busy", "count"), [(0.2, 4), (1.0, 3), (2.6, 1), (9.0, 1)])
def test_busy_cores_are_left_to_others(busy: float, count: int, cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Load, "busy_elsewhere", lambda *_: busy)
    assert threads.spare_threads(Load.now()) == count


@pytest.mark.skipif(not Path("/proc/stat").is_file(), reason="Linux tells how busy each core is")
def test_a_busy_process_is_seen() -> None:
    before = Load.now()
    done = subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    assert done.returncode == 0
    assert Load.now().all_s - before.all_s > 0.4


def test_torch_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_CHOSEN", {})
    before = torch.get_num_threads()
    try:
        threads.set_threads(1)
        assert torch.get_num_threads() == thread_count() == 1
    finally:
        torch.set_num_threads(before)

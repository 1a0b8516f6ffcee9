"""A Dask cluster whose workers die loses no scan, and names the scan that kills them."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade.cohorts import cluster
from cascade.cohorts.cluster import dask_workers
from cascade.cohorts.job import MANIFEST
from cascade.errors import WorkersError
from tests.cohort_work import Copy, write_scans
from tests.cohorts.test_run import manifest_lines, run, states

pytest.importorskip("distributed", reason="needs the extra cluster")


def test_no_scheduler_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_TIMEOUT", "1s")
    with (
        pytest.raises(WorkersError, match=r"tcp://127\.0\.0\.1:9: expected a Dask scheduler or its file"),
        dask_workers("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.fixture
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local, Client(local) as client:
        yield client


@pytest.mark.full
def test_a_worker_killed_twice_loses_no_scan(client: Any, tmp_path: Path) -> None:
    jobs = write_scans(tmp_path / "in", {f"{n:02}": str(n) for n in range(24)})
    (tmp_path / "scheduler.json").write_text(json.dumps(client.scheduler_info()))

    def kill_twice() -> None:
        for _ in range(2):
            time.sleep(3)
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    killer = threading.Thread(target=kill_twice)
    killer.start()
    with dask_workers(str(tmp_path / "scheduler.json")) as workers:
        found = run(jobs, Copy(seconds=1.0), workers)
    killer.join()
    assert set(states(found).values()) == {"done"}
    assert all(job.output.read_text(encoding="utf-8") == f"w1 {int(job.image.name)}" for job in jobs)
    assert sorted(line["output"] for line in manifest_lines(tmp_path / "out")) == [job.output.name for job in jobs]


@pytest.mark.full
def test_a_scan_that_kills_workers_is_set_aside_and_the_others_are_done(client: Any, tmp_path: Path) -> None:
    jobs = write_scans(tmp_path / "in", {"a": "1", "b": "die", "c": "3", "d": "bad", "e": "5"})
    with dask_workers(client.scheduler.address) as workers:
        found = run(jobs, Copy(), workers)
    assert states(found) == {"a": "done", "b": "set-aside", "c": "done", "d": "refused", "e": "done"}
    assert "3 workers died at it" in (tmp_path / "out" / MANIFEST).read_text(encoding="utf-8")

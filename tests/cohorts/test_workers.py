"""Many jobs, few at a time, and none lost when a worker dies."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.cohorts import workers
from cascade.cohorts.workers import TRIES, WorkerProcesses, Workers, ended, spread
from cascade.errors import WorkersError
from tests.cohort_work import die_at_three, double, process_of


class Scripted(Executor):
    """Answers when asked to, one call after the other; `kills` says which jobs kill all that is in work."""

    def __init__(self, kills: Callable[[int], bool] = lambda _: False) -> None:
        self.kills, self.waiting, self.most, self.calls = kills, [], 0, []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args[0]))
        self.most = max(self.most, len(self.waiting))
        return future

    def answer(self) -> None:
        """Let the oldest call be done; if it kills, all that are waiting die with it."""
        future, fn, job = self.waiting.pop(0)
        self.calls.append(job)
        if not self.kills(job):
            future.set_result(fn(job))
            return
        for victim, *_ in [(future, fn, job), *self.waiting]:
            victim.set_exception(BrokenExecutor("died"))
        self.waiting.clear()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Scripted], Workers]:
    """Workers of a scripted executor that answers whenever it is waited for."""

    def prepare(executor: Scripted, ahead: int = 4) -> Workers:
        real = workers.wait

        def wait(futures: list[Future[Any]], **options: Any) -> Any:
            while not any(future.done() for future in futures):
                executor.answer()
            return real(futures, **options)

        monkeypatch.setattr(workers, "wait", wait)
        return Workers(executor, lambda: ahead)

    return prepare


Answering = Callable[..., Workers]


def results(found: Any) -> dict[int, int | None]:
    return {job: None if future is None else future.result() for job, future in found}


class TestSpread:
    def test_no_more_jobs_than_allowed_are_taken_and_given_out(self, answering: Answering) -> None:
        executor, taken = Scripted(), []

        def jobs() -> Any:
            for n in range(50):
                taken.append(n)
                yield n

        found = spread(jobs(), double, answering(executor))
        next(found)
        assert len(taken) <= 5
        assert results(found) == {n: 2 * n for n in range(1, 50)}
        assert executor.most == 4

    def test_a_cluster_that_grows_is_given_more(self, answering: Answering) -> None:
        executor, sizes = Scripted(), iter([0, 2, *[6] * 100])
        found = spread(range(20), double, Workers(executor, lambda: next(sizes)) if answering(executor) else None)  # type: ignore[arg-type]
        assert len(results(found)) == 20
        assert executor.most == 6

    def test_what_dies_with_the_guilty_one_is_done_and_the_guilty_one_is_set_aside_after_three_tries(self, answering: Answering) -> None:
        executor = Scripted(kills=lambda job: job == 3)
        found = results(spread(range(10), double, answering(executor)))
        assert found == {n: None if n == 3 else 2 * n for n in range(10)}
        assert executor.calls.count(3) == TRIES

    @given(st.sets(st.integers(0, 11), max_size=4), st.integers(1, 5))
    def test_only_the_guilty_are_set_aside_whoever_they_are(self, guilty: set[int], ahead: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            executor = Scripted(kills=lambda job: job in guilty)
            real = workers.wait

            def wait(futures: list[Future[Any]], **options: Any) -> Any:
                while not any(future.done() for future in futures):
                    executor.answer()
                return real(futures, **options)

            patch.setattr(workers, "wait", wait)
            found = results(spread(range(12), double, Workers(executor, lambda: ahead)))
        assert found == {n: None if n in guilty else 2 * n for n in range(12)}

    def test_workers_that_die_whatever_the_job_are_an_error(self, answering: Answering) -> None:
        with pytest.raises(WorkersError, match="15 died in a row"):
            results(spread(range(30), double, answering(Scripted(kills=lambda _: True))))

    def test_after_a_wish_to_stop_what_is_in_work_is_finished_and_nothing_is_begun(self, answering: Answering) -> None:
        done: list[int] = []
        for job, _ in spread(range(100), double, answering(Scripted()), stop=lambda: len(done) >= 5):
            done.append(job)
        assert done == [0, 1, 2, 3, 4, 5, 6, 7]

    def test_an_executor_that_is_gone_is_an_error(self) -> None:
        class Gone(Executor):
            def submit(self, *_: Any, **__: Any) -> Future[Any]:
                raise BrokenExecutor

        with pytest.raises(WorkersError, match="go on with a new one"):
            results(spread([1], double, Workers(Gone(), lambda: 1)))

    def test_a_lost_connection_is_an_error(self, answering: Answering) -> None:
        executor = Scripted()
        found = spread(range(3), double, answering(executor, ahead=2))
        next(found)
        for future, *_ in executor.waiting:
            future.cancel()
            future.set_running_or_notify_cancel()
        with pytest.raises(WorkersError, match="the connection to them is lost"):
            results(found)

    def test_threads_keep_the_order_if_asked_to(self) -> None:
        with ThreadPoolExecutor(3) as executor:
            found = [job for job, _ in spread(range(40), double, Workers(executor, lambda: 6), ordered=True)]
        assert found == list(range(40))


class TestWorkerProcesses:
    def test_a_death_costs_only_its_own_job_and_the_worker_is_replaced(self) -> None:
        with ended(WorkerProcesses(2)) as executor:
            found = results(spread(range(6), die_at_three, Workers(executor, lambda: 3)))
            processes = {future.result() for _, future in spread(range(8), process_of, Workers(executor, lambda: 3)) if future}
        assert found == {n: None if n == 3 else 2 * n for n in range(6)}
        assert os.getpid() not in processes
        assert len(processes) <= 2

    def test_a_plain_process_pool_that_breaks_says_so(self) -> None:
        fresh = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=fresh) as executor, pytest.raises(WorkersError, match="go on with a new one"):
            results(spread([3], die_at_three, Workers(executor, lambda: 1)))

    def test_processes_are_killed_when_the_block_is_left_by_an_error(self) -> None:
        processes = []

        def leave() -> None:
            with ended(WorkerProcesses(1)) as executor:
                processes.append(executor.submit(process_of, 0).result())
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            leave()
        deadline = time.monotonic() + 20
        while _lives(processes[0]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _lives(processes[0])


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before, or while it is read
        return False

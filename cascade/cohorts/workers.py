"""Work for many workers: a bounded number of jobs at a time, and none lost when a worker dies.

Any `concurrent.futures.Executor` will do: threads, processes, `WorkerProcesses` (whose processes may die), or a Dask cluster's.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from typing import Generic, ParamSpec, TypeVar

from cascade.errors import WorkersError

J = TypeVar("J")
R = TypeVar("R")
P = ParamSpec("P")

#: A job that was there at this many deaths of a worker, the later ones alone, is set aside.
TRIES = 3
#: So many deaths in a row, without one job done, are not the jobs' fault.
_HOPELESS = 5 * TRIES


def check_executor(executor: Executor) -> None:
    """Refuse processes that are forked: the threads of the networks do not live on in them, and they would wait for these for ever.

    Raises
    ------
    WorkersError
        The executor forks.
    """
    context = getattr(executor, "_mp_context", None)
    if isinstance(executor, ProcessPoolExecutor) and context is not None and context.get_start_method() == "fork":
        raise WorkersError(
            "expected worker processes that start afresh; this ProcessPoolExecutor forks, after which the networks never answer; "
            "use cascade.cohorts.workers.WorkerProcesses(n), or ProcessPoolExecutor(n, mp_context=multiprocessing.get_context('spawn'))"
        )


@dataclass(frozen=True)
class Workers:
    """Who does the work, and how many jobs they are given at a time.

    Parameters
    ----------
    executor : Executor
    ahead : callable
        Number of jobs that may be submitted and not done; asked again whenever there is room, as clusters grow and shrink.
    """

    executor: Executor
    ahead: Callable[[], int]

    def __post_init__(self) -> None:
        check_executor(self.executor)


def spread(
    jobs: Iterable[J],
    work: Callable[[J], R],
    workers: Workers,
    *,
    ordered: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[J, Future[R] | None]]:
    """Do `work` on every job; a job whose worker dies is done again, alone.

    Parameters
    ----------
    jobs : iterable
        Hashable; taken only when there is room for more.
    work : callable
    workers : Workers
    ordered : bool
        Keep the order of the jobs (but for those done again), rather than that in which they are done.
    stop : callable
        Once it returns True no more jobs are given out; those in work are waited for.

    Yields
    ------
    job
    future : Future or None
        Done, with the result or what `work` raised. None for a job that was set aside, because its worker died three times.

    Raises
    ------
    WorkersError
        The executor cannot be used any more, or workers die whatever the job.
    """
    return _Spread(jobs, work, workers, stop).run(ordered)


class _Spread(Generic[J, R]):
    def __init__(self, jobs: Iterable[J], work: Callable[[J], R], workers: Workers, stop: Callable[[], bool]) -> None:
        self.jobs, self.work, self.workers, self.stop = iter(jobs), work, workers, stop
        self.flying: dict[Future[R], J] = {}
        self.suspects: deque[J] = deque()
        self.deaths: Counter[J] = Counter()
        self.deaths_in_a_row = 0

    def run(self, ordered: bool) -> Iterator[tuple[J, Future[R] | None]]:
        """Give out the jobs and yield them as they end: `spread`. Whoever stops listening cancels what has not begun."""
        try:
            while self._submit():
                awaited = [next(iter(self.flying))] if ordered else list(self.flying)
                for future in wait(awaited, return_when=FIRST_COMPLETED).done:
                    job = self.flying.pop(future)
                    if not self._died(job, future):
                        yield job, future
                    elif self.deaths[job] < TRIES:
                        self.suspects.append(job)
                    else:
                        yield job, None
        finally:
            for future in self.flying:
                future.cancel()

    def _submit(self) -> bool:
        """Give out jobs while there is room; tell whether any is in work."""
        while not self.stop() and self._has_room():
            try:
                job = self.suspects.popleft() if self.suspects else next(self.jobs)
                self.flying[self.workers.executor.submit(self.work, job)] = job
            except StopIteration:
                break
            except BrokenExecutor as error:
                raise WorkersError(f"{job}: its worker died, and this executor cannot go on without; go on with a new one") from error
        return bool(self.flying)

    def _has_room(self) -> bool:
        """Where a worker has died among several jobs, the guilty one is found by giving each a worker while all others rest."""
        if self.suspects or any(self.deaths[job] for job in self.flying.values()):
            return not self.flying
        return len(self.flying) < max(1, self.workers.ahead())

    def _died(self, job: J, future: Future[R]) -> bool:
        try:
            error = future.exception()
        except CancelledError as lost:
            raise WorkersError("expected the workers to answer; the connection to them is lost; go on with new ones") from lost
        # Dask's own error is told by its name, so that Dask need not be installed.
        died = isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"
        self.deaths[job] += died
        self.deaths_in_a_row = self.deaths_in_a_row + 1 if died else 0
        if self.deaths_in_a_row > _HOPELESS:
            raise WorkersError(f"expected workers that live; {_HOPELESS} died in a row; look at their memory, or use fewer at a time")
        return died


class WorkerProcesses(Executor):
    """Processes of which each does one job at a time, and is replaced if it dies; only its own job then fails.

    A process starts fresh (it is spawned, so that the networks' threads are safe), keeps what it has loaded for its next job,
    leaves Ctrl-C to its parent, and never outlives it.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")
        self._own = threading.local()
        self._pools: dict[ProcessPoolExecutor, int] = {}

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue a call; its future holds BrokenProcessPool if the process that does it dies."""
        return self._threads.submit(self._do, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when their calls are done, or kill them if nobody waits for them."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for pool, process in list(self._pools.items()):
            if not wait:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
            pool.shutdown(wait)

    def _do(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            if not hasattr(self._own, "pool"):
                pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start_worker)
                self._pools[pool] = pool.submit(os.getpid).result()
                self._own.pool = pool
            result: R = self._own.pool.submit(fn, *args, **kwargs).result()
        except BrokenProcessPool:
            if hasattr(self._own, "pool"):
                del self._pools[self._own.pool], self._own.pool
            raise
        return result


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _die_with(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


@contextlib.contextmanager
def ended(executor: Executor) -> Iterator[Executor]:
    """Wait for an executor at the end of the block; stop it at once if the block is left by an exception."""
    whole = False
    try:
        yield executor
        whole = True
    finally:
        executor.shutdown(wait=whole, cancel_futures=not whole)

"""The workers of a Dask cluster, on this machine or many (extra ``[cluster]``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cascade.cohorts.workers import Workers
from cascade.errors import WorkersError
from cascade.io.extras import extra

#: Seconds to wait for the scheduler's first answer.
_TIMEOUT = "30s"


@contextlib.contextmanager
def dask_workers(scheduler: str) -> Iterator[Workers]:
    """Connect to a cluster, for as long as the block lasts.

    A task whose worker dies is handed back at once, instead of being tried again by Dask together with others that are not to
    blame: who is set aside, and after how many tries, is decided in one place (`cascade.cohorts.workers`).

    Parameters
    ----------
    scheduler : str
        Address such as ``tcp://host:8786``, or a scheduler file.

    Raises
    ------
    MissingExtraError
        Dask is not installed.
    WorkersError
        There is no scheduler, or it is lost.
    """
    with extra("cluster", scheduler):
        from distributed import Client
    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = Client(**where, timeout=_TIMEOUT, set_as_default=False)
        client.run_on_scheduler(_never_retry())
    except (OSError, ValueError, ImportError) as error:
        raise WorkersError(f"{scheduler}: expected a Dask scheduler or its file; found none ({error}); start one first") from error
    with client:
        yield Workers(client.get_executor(pure=False), lambda: _threads(client, scheduler))


def _never_retry() -> Any:
    def set_allowed_failures(dask_scheduler: Any) -> None:
        dask_scheduler.allowed_failures = 0

    return set_allowed_failures  # a local function is sent as code, so that the scheduler need not have this package


def _threads(client: Any, scheduler: str) -> int:
    """Threads of all workers there are now."""
    try:
        return sum(client.nthreads().values())
    except OSError as error:
        raise WorkersError(f"{scheduler}: expected the Dask scheduler to answer; it is lost; go on with --resume") from error

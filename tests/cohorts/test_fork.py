"""Processes that are forked: refused at once, with the way out, instead of a wait without end."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cascade.cohorts.workers import WorkerProcesses, Workers
from cascade.errors import WorkersError
from cascade.pipeline import Segmenter
from cascade.volume import LabelMap, Volume


@pytest.mark.skipif(sys.platform != "linux", reason="other systems start processes afresh")
def test_an_executor_that_forks_is_refused_before_anything_is_begun(oracle_weights: Path) -> None:
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        with pytest.raises(WorkersError, match=r"start afresh.*WorkerProcesses\(n\), or ProcessPoolExecutor\(n, mp_context"):
            next(segmenter.map(["a.nii.gz"], executor=executor))
        assert not executor._processes


FORKS = multiprocessing.get_start_method(allow_none=False) == "fork"


@pytest.mark.skipif(not FORKS, reason="this Python starts processes afresh")
def test_the_default_of_a_python_that_forks_is_refused(oracle_weights: Path) -> None:
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    with ProcessPoolExecutor(1) as executor, pytest.raises(WorkersError, match="start afresh"):
        next(segmenter.map(["nowhere.nii.gz"], executor=executor))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_that_start_afresh_work_after_a_segmentation(
    method: str, coded: tuple[Volume, LabelMap], scans: Path, oracle_weights: Path
) -> None:
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    segmenter.segment(coded[0])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as executor:
        ((_, outcome),) = segmenter.map([scans / "sub" / "a.nii.gz"], executor=executor)
    assert outcome.state == "done", outcome.error


def test_threads_and_own_processes_are_taken() -> None:
    for executor in (ThreadPoolExecutor(1), WorkerProcesses(1)):
        with executor:
            assert Workers(executor, lambda: 1).executor is executor


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_is_forked_after_a_segmentation_says_so_at_once(coded: tuple[Volume, LabelMap], oracle_weights: Path) -> None:
    """Whoever forks it: multiprocessing, joblib, a web server, a data loader."""
    segmenter = Segmenter.from_pretrained("cpu", oracle_weights)
    segmenter.segment(coded[0])
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            segmenter.segment(coded[0])
        except WorkersError as error:
            os.write(theirs, str(error).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(child, 0)
    assert said.startswith("expected a process that was started afresh; this one was forked after a segmentation")
    assert "get_context('spawn')" in said

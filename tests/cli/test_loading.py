"""How the commands load the networks: with the backend and the threads that were asked for, or that fit the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from cascade.cli.loading import Loading
from cascade.networks import threads
from cascade.networks.checkpoint import packaged_weights

pytestmark = pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the number of threads as it was."""
    count = torch.get_num_threads()
    monkeypatch.setattr(threads, "_CHOSEN", {})
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is put back
    monkeypatch.delenv("OMP_WAIT_POLICY")
    yield
    torch.set_num_threads(count)


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_backend_and_threads_are_those_that_were_asked_for(backend: str) -> None:
    assert Loading("cpu", 3, None, backend).load().backend == backend
    assert threads.thread_count() == torch.get_num_threads() == 3


def test_without_a_number_the_threads_are_those_that_the_machine_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads.Load, "busy_elsewhere", lambda *_: 1000.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    Loading("cpu", backend="torch").load()
    assert torch.get_num_threads() == 1


def test_threads_of_torch_sleep_when_they_wait_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    Loading("cpu", 1, backend="torch").load()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    Loading("cpu", 1, backend="torch").load()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"

"""Two processes that train together: one network, one log, and a run that can be stopped and resumed."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cascade.io.cases import read_cases
from cascade.training import loop
from cascade.training.examples import draw_batch, prepare_examples
from cascade.training.loop import Run, RunOptions, train
from cascade.training.loss import partial_label_loss
from cascade.training.ranks import joined, mean_over_ranks, rank, rank_zero_says
from tests.training.test_loop import RECIPE, SPEC, cases_folder, examples, log, target, weights

__all__ = ["cases_folder", "examples"]  # the fixtures

STEPS = dataclasses.replace(RECIPE, steps=4)


def work(folder: Path, out: Path) -> None:
    """What each of the two processes does: a whole run, and one that rank 0 stops after two steps and that is resumed."""
    prepared, _ = prepare_examples(read_cases(folder, scheme="cascade"), SPEC, target)
    with joined("cpu"):
        train(prepared, STEPS, out / "whole")

        def stop_after_two(step: int, steps: int, loss: float) -> None:
            if step == 2:
                loop.time = SimpleNamespace(monotonic=lambda: math.inf)  # type: ignore[assignment]

        train(prepared, STEPS, out / "parts", RunOptions(max_seconds=1e6, progress=stop_after_two))
        loop.time = time  # type: ignore[assignment]
        torch.distributed.barrier()
        train(prepared, STEPS, out / "parts", RunOptions(resume=True))
        own = rank()
        (out / f"rank{own}").write_text(str(mean_over_ranks(torch.tensor(float(own))).item()))
    (out / f"threads{own}").write_text(" ".join(path.read_text() for path in Path("/proc/self/task").glob("*/comm")))


@pytest.fixture(scope="module")
def out(cases_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.training.test_ranks"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [*command, str(cases_folder), str(folder)], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return folder


@pytest.mark.full
def test_only_rank_0_writes_and_all_know_the_mean(out: Path) -> None:
    assert (out / "rank0").read_text() == (out / "rank1").read_text() == "0.5"
    assert {path.name for path in (out / "whole").iterdir()} == {
        "log.csv",
        "state.pt",
        "stage2_levels.json",
        "stage2_levels.safetensors",
    }
    assert [step for step, _ in log(out / "whole")] == [1, 2, 3, 4]


@pytest.mark.full
def test_a_run_that_rank_0_stopped_is_resumed_as_if_nothing_had_happened(out: Path) -> None:
    whole, parts = weights(out / "whole"), weights(out / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert log(out / "parts") == log(out / "whole")


@pytest.mark.full
def test_the_loss_is_the_mean_over_both_ranks_batches(out: Path, examples: list) -> None:  # type: ignore[type-arg]
    network = Run.start(STEPS, "cpu").network
    with torch.no_grad():
        losses = [partial_label_loss(network(images), allowed) for images, allowed in (draw_batch(examples, STEPS, 0, r) for r in (0, 1))]
    mean, apart = sum(losses) / 2, abs(losses[0] - losses[1])
    assert abs(log(out / "whole")[0][1] - mean) < 0.05 * apart
    assert apart > 1e-4


@pytest.mark.full
def test_no_thread_of_the_group_outlives_it_and_dies_with_the_interpreter(out: Path) -> None:
    assert not [rank for rank in (0, 1) if "gloo" in (out / f"threads{rank}").read_text()]


def test_one_process_alone_is_rank_0_of_1() -> None:
    with joined("cpu") as device:
        assert (device, rank(), rank_zero_says(True), rank_zero_says(False)) == ("cpu", 0, True, False)
    assert mean_over_ranks(torch.tensor(3.0)) == 3


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))

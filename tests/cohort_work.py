"""Work for cohorts that needs no networks; importable by worker processes, and quick to import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from cascade.cohorts.job import Job
from cascade.errors import NoSpineError, OutputError


def double(number: int) -> int:
    return 2 * number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def process_of(_: int) -> int:
    return os.getpid()


@dataclass(frozen=True)
class Copy:
    """Stands in for `cascade.cohorts.run.Task`: writes what the scan holds, whole or not at all, and does what the scan says."""

    weights: str = "w1"
    seconds: float = 0.0

    def made_with(self) -> dict[str, object]:
        return {"version": "0", "checkpoint_sha256": {"stage1_spine": self.weights}, "options": {"anchors": {"L5": (1.0, 2.0, 3.0)}}}

    def __call__(self, job: Job) -> object:
        from cascade.cohorts.manifest import Outcome, digest_of
        from cascade.io.files import replacing
        from cascade.notices import Notice

        text, digest = job.image.read_text(encoding="utf-8"), digest_of(job.image)
        time.sleep(self.seconds)
        if "die" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "bug" in text:
            raise RuntimeError("a bug")
        if "bad" in text:
            return Outcome("refused", error=str(NoSpineError(f"{job.image}: no spine found")), input_sha256=digest)
        if "full" in text:
            return Outcome("failed", error=str(OutputError(f"{job.output}: cannot write here")), input_sha256=digest)
        with replacing(job.output) as temporary:
            temporary.write_text(f"{self.weights} {text}", encoding="utf-8")
        return Outcome("done", ("L4", "L5"), (Notice("few-slices", None, "few"),), None, self.seconds, digest)


def write_scans(folder: Path, texts: dict[str, str]) -> list[Job]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [Job(folder / name, folder.parent / "out" / f"{name}.nii.gz") for name in texts]

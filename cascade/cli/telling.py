"""What ``cascade-segment`` says about its scans: a line for each, and how many became what."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cascade.cli import console
from cascade.cli.options import SegmentOptions
from cascade.cohorts.job import Job
from cascade.cohorts.manifest import Outcome
from cascade.labels import CASCADE, rank


class Telling:
    """Says what becomes of each scan, and counts.

    Parameters
    ----------
    options : SegmentOptions
        Its `loudness` says how much.
    scans : int
        How many there are.
    """

    def __init__(self, options: SegmentOptions, scans: int) -> None:
        self.loudness, self.scans = options.loudness, scans
        self.names_the_rest = options.scheme == CASCADE.name
        self.counts: Counter[str] = Counter()
        self.also_found: set[str] = set()

    def about(self, job: Job, outcome: Outcome) -> None:
        """Say what became of a scan; of one that was done earlier nothing new is known."""
        self._count(outcome)
        if outcome.error:
            console.error(outcome.error)
        elif not outcome.earlier and self.loudness >= 0:
            for notice in outcome.warnings:
                if notice.is_for_looking or self.loudness > 0:
                    console.warn(str(job), notice)
            console.tell(f"{job.output}\t{' '.join(outcome.levels)}")
            if self.loudness > 0:
                console.say(f"cascade: {job}: {outcome.seconds:.1f} s")

    def at_last(self, look_at: Path | None) -> None:
        """Say what else was found, and, of several scans, how many became what; `look_at` tells about each."""
        if self.loudness < 0:
            return
        if self.also_found and self.names_the_rest:
            console.say(f"cascade: also found: {', '.join(sorted(self.also_found, key=rank))}; --extended writes them")
        if self.scans > 1:
            console.say(f"cascade: {self._sums()}" + (f"; see {look_at}" if look_at else ""))

    def _count(self, outcome: Outcome) -> None:
        done = outcome.state == "done"
        warned = done and any(notice.is_for_looking for notice in outcome.warnings)
        self.counts.update(done=done, failed=not done, earlier=done and outcome.earlier, warned=warned)
        self.also_found.update(() if outcome.earlier else outcome.also_found)

    def _sums(self) -> str:
        """For example "6 scans: 5 done (4 earlier), 1 failed, 2 with warnings"."""
        count = self.counts
        earlier = f" ({count['earlier']} earlier)" if count["earlier"] else ""
        left = self.scans - count["done"] - count["failed"]
        not_begun = f", {left} not begun" if left else ""
        return f"{self.scans} scans: {count['done']} done{earlier}, {count['failed']} failed, {count['warned']} with warnings{not_begun}"

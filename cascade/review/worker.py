"""Work in the background: the networks' answers, small pictures, and files, the most urgent first, one at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from cascade.errors import CascadeError, InputError
from cascade.review.desk import Desk

_LOG = logging.getLogger(__name__)
#: Seconds that a scan takes, until one has been timed.
_FIRST_GUESS_S = 8.0
#: How many scans after the one that is looked at have their answers ready.
_AHEAD = 1
#: Files are written when nothing has been said for so long: what a person waits for comes first, and the record is on disk already.
_QUIET_S = 1.0


@dataclass
class Worker:
    """One thread that computes and one that writes.

    Parameters
    ----------
    desk : Desk
    """

    desk: Desk
    current: str = ""
    seconds: float = _FIRST_GUESS_S
    busy: str = ""
    _wanted: dict[str, None] = field(default_factory=dict)
    _failed: set[tuple[str, str]] = field(default_factory=set)
    _end: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin."""
        for loop in (self._compute, self._write):
            thread = threading.Thread(target=loop, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End, when what is being done is done."""
        self._end = True
        self.desk.tell()
        for thread in self._threads:
            thread.join()

    def look_at(self, key: str) -> None:
        """A person looks at this scan: it and the next ones come first."""
        if key != self.current:
            self.current = key
            self.desk.tell()

    def want(self, key: str) -> None:
        """The networks' answer is needed to correct this scan.

        Raises
        ------
        InputError
            There was none when it was wanted last; it is tried again when it is wanted once more.
        """
        if ("answer", key) in self._failed:
            self._failed.discard(("answer", key))
            raise InputError(self.desk.progress[key].why)
        if key not in self._wanted:
            self._wanted[key] = None
            self.desk.tell()

    @property
    def left(self) -> int:
        """Scans that nothing is known about yet."""
        return sum(progress.phase in ("waiting", "working") for progress in self.desk.progress.values())

    def fraction(self, key: str) -> float:
        """How far the scan in work is, patch by patch."""
        return self.desk.progress[key].share if self.busy == key else 0.0

    # ------------------------------------------------------------------------------------------ computing

    def _tasks(self) -> Iterator[tuple[str, str]]:
        """What could be done, the most urgent first."""
        desk = self.desk
        order = desk.order()
        at = order.index(self.current) if self.current in order else 0
        around = order[at:] + order[:at]
        yield from (("answer", key) for key in list(self._wanted))
        own = [key for key in around[: 1 + _AHEAD] if desk.items[key].earlier is None]
        if own and self.current == own[0]:
            yield self._what_is_missing(own[0])
        waiting = [key for key in around if desk.progress[key].phase == "waiting"]
        yield from (("segment", key) for key in waiting[:1])
        yield from (self._what_is_missing(key) for key in own)
        yield from (("answer", key) for key in desk.unkept() if desk.record(key).history.now)
        yield from (("draw", key) for key in around if not desk.files(key).thumbnail.is_file() and desk.progress[key].phase == "ready")
        yield from (("segment", key) for key in waiting)

    def _what_is_missing(self, key: str) -> tuple[str, str]:
        return ("segment" if self.desk.progress[key].phase == "waiting" else "answer", key)

    def _is_done(self, task: tuple[str, str]) -> bool:
        kind, key = task
        at_hand = self.desk.shelf.peek(key)
        return task in self._failed or (kind == "answer" and at_hand is not None and at_hand.seen is not None)

    def _compute(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            while not self._end:
                version = self.desk.version
                task = next((task for task in self._tasks() if not self._is_done(task)), None)
                if task is None:
                    self._wanted.clear()
                    self._wait(version)
                    continue
                self._do(pool, task)

    def _do(self, pool: ThreadPoolExecutor, task: tuple[str, str]) -> None:
        kind, key = task
        progress = self.desk.progress[key]
        if kind != "draw":
            progress.started, progress.share, self.busy = time.monotonic(), 0.0, key
            progress.phase = "working" if progress.phase == "waiting" else progress.phase
            self.desk.tell()
        work: Callable[[str], object] = {"answer": self.desk.answer, "segment": self.desk.segment, "draw": self.desk.draw}[kind]
        why = _outcome(pool.submit(work, key))
        self._wanted.pop(key, None)
        if kind == "draw":
            if why:
                self._failed.add(task)
            return
        self._finish(task, why)

    def _finish(self, task: tuple[str, str], why: str) -> None:
        kind, key = task
        progress = self.desk.progress[key]
        if why:
            self._failed.add(task)
            progress.why = why
            progress.phase = "failed" if kind == "segment" else progress.phase
        else:
            self.seconds = 0.5 * self.seconds + 0.5 * (time.monotonic() - progress.started)
            progress.phase, progress.why = "ready", ""
        progress.started, self.busy = 0.0, ""
        self.desk.tell()

    # ------------------------------------------------------------------------------------------ writing

    def _write(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            while True:
                version = self.desk.version
                todo = [key for key in self.desk.unkept() if self._can_be_written(key)]
                busy_s = self.desk.said_at + _QUIET_S - time.monotonic()
                if todo and busy_s > 0 and not self._end:
                    time.sleep(min(busy_s, 0.2))
                    continue
                for key in todo:
                    why = _outcome(pool.submit(self.desk.keep, key))
                    if why:
                        self._failed.add((f"keep {self.desk.record(key).revision}", key))
                        self.desk.progress[key].why = why
                        self.desk.tell()
                if not todo:
                    if self._end:
                        return
                    self._wait(version)

    def _can_be_written(self, key: str) -> bool:
        record = self.desk.record(key)
        if (f"keep {record.revision}", key) in self._failed:
            return False
        at_hand = self.desk.shelf.peek(key)
        return not record.history.now or (at_hand is not None and at_hand.seen is not None)

    def _wait(self, version: int) -> None:
        with self.desk.changed:
            self.desk.changed.wait_for(lambda: self._end or self.desk.version != version, timeout=5.0)


def _outcome(future: Future[object]) -> str:
    """Why it failed, in one line; empty if it did not."""
    problem = future.exception()
    if problem is None:
        return ""
    if not isinstance(problem, CascadeError):
        _LOG.error("a scan could not be worked on", exc_info=problem)
        return f"unexpected: {type(problem).__name__}; the terminal says more"
    return " ".join(str(problem).split())

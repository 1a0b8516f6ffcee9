"""What the commands share: one grammar for errors, warnings and exits."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from cascade.errors import CascadeError
from cascade.notices import Notice

if TYPE_CHECKING:
    from cascade.datasets.problems import Problem

DONE, FAILED, USAGE = 0, 1, 2
#: As shells report a process that SIGTERM ended.
STOPPED = 128 + signal.SIGTERM
#: What requirements-light.txt leaves out of the packages that setup.cfg asks for.
_LEFT_OUT = ("torch", "monai")


def say(text: str) -> None:
    """Print a line of progress to stderr; that nobody can read it any more does not stop the work."""
    _print(text, sys.stderr)


def tell(text: str) -> None:
    """Print results to stdout; a reader that has gone, or a disk behind it that is full, does not stop the work."""
    _print(text, sys.stdout)


def flush() -> None:
    """Let what was printed reach its readers, as far as there are any."""
    _print("", sys.stdout, end="")


def _print(text: str, stream: TextIO | None, end: str = "\n") -> None:
    if stream is None:  # it was closed before the process began
        return
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:  # there goes what is printed later, and what is left in the buffer
            os.dup2(nowhere.fileno(), stream.fileno())


def error(problem: CascadeError | str) -> None:
    """Print one line about an error to stderr."""
    say(f"cascade: error: {_one_line(str(problem))}")


def warn(file: Path | str, notice: Notice | Problem) -> None:
    """Print one line about a note, warning or alarm to stderr."""
    rank = notice.rank if isinstance(notice, Notice) else "warning"
    say(f"cascade: {rank}: {file}: {notice.code}: {_one_line(notice.text)}")


def positive(text: str) -> int:
    """Parse an option's value as a whole number from 1; argparse turns the error into exit status 2."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


@contextlib.contextmanager
def large_imports() -> Iterator[None]:
    """Import what stays to the end without looking for garbage in it, then or at the end: a tenth of a short run.

    And nibabel without pydicom: it wants it for entries of NIfTI headers that are of no use here, and takes a fifth of all imports for it.
    """
    enabled, hidden = gc.isenabled(), "pydicom" not in sys.modules
    gc.disable()
    if hidden:
        sys.modules["pydicom"] = None  # type: ignore[assignment]  # as Python means a module that cannot be imported
    try:
        yield
    finally:
        if hidden and sys.modules.get("pydicom") is None:
            sys.modules.pop("pydicom", None)
        gc.freeze()
        if enabled:
            gc.enable()


class Stop:
    """While its block lasts, the first Ctrl-C or SIGTERM is a wish to stop, the second one stops at once.

    Parameters
    ----------
    patient : bool
        Otherwise the first one stops at once.

    Attributes
    ----------
    signal : int or None
        The one that came.
    """

    def __init__(self, *, patient: bool) -> None:
        self.signal: int | None = None
        self.patient = patient
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        if self.patient and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.signal is not None

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        os.write(2, b"cascade: stopping when the scans in work are done; again to stop at once\n")


def run(command: Callable[[], int]) -> int:
    """Call `command`; turn errors that are not bugs into one line and an exit status, and SIGTERM into an orderly end."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file name need not be text
    try:
        with _ending_orderly():
            return command()
    except CascadeError as problem:
        error(problem)
        return FAILED
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        error(f"{str(problem.filename)[:60]}...: expected a path that the file system takes; it is too long; choose another")
        return FAILED
    except ModuleNotFoundError as problem:
        package = (problem.name or "").split(".")[0]
        if package not in _LEFT_OUT:
            raise
        error(f"expected the package {package}, which a light installation leaves out; pip install {' '.join(_LEFT_OUT)}")
        return FAILED
    except KeyboardInterrupt:
        say("cascade: stopped")
        return 130


@contextlib.contextmanager
def _ending_orderly() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_line(text: str) -> str:
    return " ".join(text.split())

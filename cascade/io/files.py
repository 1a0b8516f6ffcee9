"""Files that appear whole or not at all: written beside their place, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path

from cascade.errors import OutputError, first_line

_CANNOT_WRITE = "{path}: cannot write here ({why}); choose another output"
#: Temporary files that wait for the end of `together`, and what they will be called.
_waiting: ContextVar[dict[Path, Path] | None] = ContextVar("waiting", default=None)
#: Names of the temporary files of `replacing`: the start of the file's name, then what makes them unique.
_START, _TEMPORARY = 40, re.compile(r"\.(?P<start>.{1,40})\.[a-z0-9_]{8}(\.[^.]+)*")
_UMASK = threading.Lock()


def check_apart(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Refuse, before anything is computed, an output that would overwrite an input or another output.

    Raises
    ------
    OutputError
        Two of them are one file, whatever their names.

    Examples
    --------
    >>> check_apart([Path("levels.nii.gz"), Path("levels.tsv")], [Path("scan.nii.gz")])
    >>> check_apart([Path("levels.tsv"), Path("./levels.tsv")])
    Traceback (most recent call last):
    cascade.errors.OutputError: levels.tsv: expected a file for each output; two would be written here; choose another name for one
    """
    read = {_identity(path) for path in inputs}
    written: set[object] = set()
    for path in outputs:
        identity = _identity(path)
        if identity in read:
            raise OutputError(f"{path}: expected an output other than the input; that would be overwritten; choose another name")
        if identity in written:
            raise OutputError(f"{path}: expected a file for each output; two would be written here; choose another name for one")
        written.add(identity)


def _identity(path: Path) -> object:
    """What two names of one file have in common, whether it is there or not."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return os.path.realpath(path)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on failure leave nothing behind.

    Inside `together` the renaming waits for its end.

    Raises
    ------
    OutputError
        The folder cannot be made or written, a folder is in the way, or there is no space.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:_START]}.", suffix=suffix or path.suffix, dir=path.parent)
        temporary = Path(name)
        os.close(handle)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        if (waiting := _waiting.get()) is None:
            temporary.replace(path)
        else:
            waiting[temporary], temporary = path, None
    except OSError as error:
        raise OutputError(_CANNOT_WRITE.format(path=path, why=error.strerror or first_line(error))) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Let all files that are written with `replacing` inside appear when it ends, or, if one of them fails, none.

    Raises
    ------
    OutputError
        As for `replacing`.
    """
    waiting: dict[Path, Path] = {}
    token = _waiting.set(waiting)
    try:
        yield
        for temporary, path in waiting.items():
            try:
                temporary.replace(path)
            except OSError as error:
                raise OutputError(_CANNOT_WRITE.format(path=path, why=error.strerror or error)) from error
    finally:
        _waiting.reset(token)
        for temporary in waiting:
            temporary.unlink(missing_ok=True)


def place_of(path: Path) -> Path:
    """Where a file lies now that was written with `replacing`: inside `together` it still has its temporary name."""
    waiting = _waiting.get() or {}
    return next((temporary for temporary, final in waiting.items() if final == path), path)


def remove_leftovers(outputs: Iterable[Path]) -> None:
    """Delete what a killed process left of writing `outputs`; nobody may be writing them now."""
    starts: dict[Path, set[str]] = {}
    for path in outputs:
        starts.setdefault(path.parent, set()).add(path.name[:_START])
    for folder in filter(Path.is_dir, starts):
        for file in folder.iterdir():
            if (found := _TEMPORARY.fullmatch(file.name)) and found["start"] in starts[folder]:
                file.unlink(missing_ok=True)


def _umask() -> int:
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask

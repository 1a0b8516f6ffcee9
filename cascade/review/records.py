"""What is known about every scan, on disk: one record a scan, changed by one person at a time, and ``review.tsv``.

The disk is the truth: a record is read, compared and replaced under a lock, so that neither a second window nor a second server on
the same folder can undo what it has not seen. A record is a small file that is replaced as a whole; a kill leaves the old or the new one.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cascade.errors import CascadeError, OutputError, ReviewConflictError
from cascade.io.files import replacing
from cascade.review.edits import History

#: new: nobody has decided; accepted: as it came; corrected: accepted after corrections; rejected: not to be used.
State = Literal["new", "accepted", "corrected", "rejected"]
TABLE = "review.tsv"
_COLUMNS = ("scan", "state", "who", "when", "note")
_LONGEST_NOTE = 2000


@dataclass(frozen=True)
class Record:
    """What a person said and decided about one scan.

    Parameters
    ----------
    state : {"new", "accepted", "corrected", "rejected"}
    who, when, note : str
        Of the last change; `when` in UTC.
    revision : int
        Grows by one with every change.
    history : History
    kept : int
        The revision that the files beside it show.
    """

    state: State = "new"
    who: str = ""
    when: str = ""
    note: str = ""
    revision: int = 0
    history: History = dataclasses.field(default_factory=History)
    kept: int = 0

    def changed(self, who: str, **fields: Any) -> Record:
        """The next revision."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        return dataclasses.replace(self, who=who, when=when, revision=self.revision + 1, **fields)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        plain = {name: getattr(self, name) for name in ("state", "who", "when", "note", "revision", "kept")}
        return plain | {"history": self.history.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Record:
        """Read `to_json`; KeyError, TypeError, ValueError or a CascadeError if it is none."""
        if content["state"] not in get_args(State):
            raise ValueError(content["state"])
        who, when, note = (str(content[name]) for name in ("who", "when", "note"))
        revision, kept = int(content["revision"]), int(content["kept"])
        return cls(content["state"], who, when, note, revision, History.from_json(content["history"]), kept)


class Records:
    """The records of a folder.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Of the scans, as paths relative to the folder without suffix; the order of ``review.tsv``.

    Raises
    ------
    OutputError
        The folder cannot be written, or a record in it is damaged.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self._names = list(names)
        self._mutex = threading.RLock()
        self._known: dict[str, tuple[tuple[int, int] | None, Record]] = {}
        try:
            (folder / "state").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot write here ({error.strerror or error}); choose another output") from error
        for name in names:
            self.read(name)

    def add(self, name: str) -> None:
        """Take up one more scan."""
        with self._mutex:
            self._names.append(name)
            self.read(name)

    def path(self, name: str) -> Path:
        """Where a record is."""
        return self.folder / "state" / f"{name}.json"

    def read(self, name: str) -> Record:
        """The record as it is on disk now."""
        path = self.path(name)
        with self._mutex:
            try:
                status = path.stat()
            except FileNotFoundError:
                self._known[name] = (None, Record())
                return Record()
            stamp = (status.st_mtime_ns, status.st_ino)
            known = self._known.get(name)
            if known is None or known[0] != stamp:
                known = (stamp, _read(path))
                self._known[name] = known
            return known[1]

    def change(self, name: str, seen: int, **fields: Any) -> Record:
        """Replace a record by its next revision.

        Raises
        ------
        ReviewConflictError
            The record has been changed since revision `seen`.
        OutputError
            It cannot be written.
        """
        with self._locked():
            record = self.read(name)
            if record.revision != seen:
                raise ReviewConflictError("this scan was changed meanwhile, in another window or by another person; here is how it is now")
            changed = record.changed(**fields)
            self._write(name, changed)
            self._write_table()
            return changed

    def mark_kept(self, name: str, revision: int) -> None:
        """Note that the files show this revision."""
        with self._locked():
            record = self.read(name)
            self._write(name, dataclasses.replace(record, kept=max(record.kept, revision)))

    def _write(self, name: str, record: Record) -> None:
        with replacing(self.path(name)) as temporary:
            temporary.write_text(json.dumps(record.to_json()), encoding="utf-8")

    def _write_table(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name in self._names:
            record = self.read(name)
            writer.writerow([name, record.state, record.who, record.when, one_line(record.note)])
        with replacing(self.folder / TABLE) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Against other threads, and against other processes where the system and the file system can."""
        with self._mutex, (self.folder / "state" / ".lock").open("a+b") as file:
            with contextlib.suppress(ImportError, OSError):
                import fcntl

                fcntl.lockf(file, fcntl.LOCK_EX)  # until the file is closed
            yield


def one_line(note: str) -> str:
    """A note as a cell of a table: no tabs, no line breaks, not too long."""
    return " ".join(note.split())[:_LONGEST_NOTE]


def _read(path: Path) -> Record:
    try:
        return Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError, LookupError, CascadeError) as error:
        raise OutputError(f"{path}: expected a record of this version ({error}); move it away, or choose another output") from error

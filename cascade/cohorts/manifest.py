"""What became of every scan of a cohort: ``manifest.jsonl``, one line a scan, appended as soon as it is done.

Lines are only ever appended, each in one write; the last one about an output holds. A line that a kill has cut short is passed over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from cascade.cohorts.job import Job
from cascade.errors import OutputError
from cascade.io.files import remove_leftovers
from cascade.io.formats import FORMATS, stem
from cascade.notices import Notice
from cascade.segmentation import Segmentation

#: done; refused: the scan cannot be used, whoever tries; failed: something else went wrong, worth another try; set-aside: kills workers.
State = Literal["done", "refused", "failed", "set-aside"]
#: Suffixes of files that belong to others with the same stem: the header in one, the voxels in the other.
_DETACHED = tuple(suffix for form in FORMATS for suffix in form.detached)
#: Bytes, far behind the end, whose locks mean: somebody is at work in this folder; somebody is appending.
_AT_WORK, _APPENDING = 1 << 40, (1 << 40) + 1


@dataclass(frozen=True)
class Outcome:
    """What became of one scan.

    Parameters
    ----------
    state : {"done", "refused", "failed", "set-aside"}
    levels : tuple of str
        Structures in the labels, head to foot.
    warnings : tuple of Notice
    error : str or None
        Why it is not done.
    seconds : float
        Reading, segmenting and writing.
    input_sha256 : str or None
        None if it could not be read.
    also_found : tuple of str
        Structures that are not in the labels.
    result : Segmentation or None
        Where it is not written to a file.
    earlier : bool
        Known from an earlier run.

    Examples
    --------
    >>> Outcome("refused", error="t2.nii.gz: no spine found").columns()["state"]
    'refused'
    """

    state: State
    levels: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    error: str | None = None
    seconds: float = 0.0
    input_sha256: str | None = None
    also_found: tuple[str, ...] = ()
    result: Segmentation | None = dataclasses.field(default=None, repr=False, compare=False)
    earlier: bool = False

    def columns(self) -> dict[str, Any]:
        """As plain types, for a line of the manifest."""
        return {
            "state": self.state,
            "levels": list(self.levels),
            "warnings": [dataclasses.asdict(notice) for notice in self.warnings],
            "error": self.error,
            "seconds": self.seconds,
            "input_sha256": self.input_sha256,
            "also_found": list(self.also_found),
        }

    @classmethod
    def from_columns(cls, line: Mapping[str, Any]) -> Outcome:
        """Read a line of the manifest; KeyError, TypeError or ValueError if it is none."""
        if line["state"] not in get_args(State):
            raise ValueError(line["state"])
        warnings = tuple(Notice(**notice) for notice in line["warnings"])
        return cls(
            line["state"],
            tuple(line["levels"]),
            warnings,
            line["error"],
            line["seconds"],
            line["input_sha256"],
            also_found=tuple(line.get("also_found", ())),
            earlier=True,
        )


class Manifest:
    """The manifest of an output folder, open for appending.

    Parameters
    ----------
    path : Path
        Made, with its folder, if it is not there.
    made_with : mapping
        What decides the result beside the scan: version, sha256 of the checkpoints, options. Recorded in every line; a scan whose line
        says otherwise is done again.

    Attributes
    ----------
    again : Counter of str
        Why scans that are in the manifest are done again, as far as `known` was asked about them.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any]) -> None:
        self.path, self.made_with = path, json.loads(json.dumps(made_with))
        self.again: Counter[str] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise OutputError(f"{path}: cannot write here ({error.strerror or error}); choose another output") from error
        if not path.is_file():
            os.close(self._file)
            raise OutputError(f"{path}: expected a plain file for the manifest; found something else; choose another output")
        self._known = dict(_lines(path))
        self._lock(_AT_WORK, patient=True)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def known(self, job: Job) -> Outcome | None:
        """What became of a job in an earlier run, if that still holds: same scan, checkpoints and options, all files there."""
        line = self._known.get(self._name(job.output))
        if line is None:
            return None
        why = self._why_again(line, job)
        self.again.update([why] if why else ())
        return None if why else Outcome.from_columns(line)

    def _why_again(self, line: Mapping[str, Any], job: Job) -> str:
        """Why what a line says holds no longer; empty if it does."""
        outcome = Outcome.from_columns(line)
        changed = [self._changed(name, line.get(name)) for name, value in self.made_with.items() if line.get(name) != value]
        if changed:
            return " and ".join(changed)
        if outcome.state == "failed" or outcome.input_sha256 is None:
            return "they failed before"
        if outcome.state == "done" and not all(path.exists() for path in (job.output, *job.beside)):
            return "a file that is asked for is not there"
        return "" if digest_of(job.image, job.files) == outcome.input_sha256 else "the scan has changed"

    def _changed(self, name: str, before: Any) -> str:
        now = self.made_with[name]
        if name == "version":
            return f"they were done by cascade {before}, and this is {now}"
        if isinstance(now, dict) and isinstance(before, dict):
            others = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
            return f"{name} are others ({', '.join(others)})"
        return f"{name} is another"

    def begin(self, jobs: Iterable[Job]) -> None:
        """Delete what a kill has left of these jobs' files, unless another process is at work in this folder."""
        if self._lock(_AT_WORK, exclusive=True):
            remove_leftovers(path for job in jobs for path in (job.output, *job.beside))
            self._lock(_AT_WORK, patient=True)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Append the line of a job.

        Raises
        ------
        OutputError
            There is no space.
        """
        names = {"output": self._name(job.output), "input": str(job.image), "series": job.series_number}
        finished = {"finished": datetime.now(UTC).isoformat(timespec="seconds")}
        line = (json.dumps(names | outcome.columns() | finished | self.made_with) + "\n").encode()
        self._lock(_APPENDING, exclusive=True, patient=True)
        try:
            if os.lseek(self._file, 0, os.SEEK_END):
                os.lseek(self._file, -1, os.SEEK_END)
                line = line if os.read(self._file, 1) == b"\n" else b"\n" + line
            if os.write(self._file, line) != len(line):
                raise OSError(None, "no space left")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write here ({error.strerror or error}); make room and go on with --resume") from error
        finally:
            self._unlock(_APPENDING)

    def _name(self, output: Path) -> str:
        """An output as the manifest names it: relative to its folder, so that both can be moved."""
        return Path(os.path.relpath(output, self.path.parent)).as_posix()

    def _lock(self, byte: int, *, exclusive: bool = False, patient: bool = False) -> bool:
        """Lock against other processes, where the system and the file system can; tell whether it is held."""
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
            fcntl.lockf(self._file, kind if patient else kind | fcntl.LOCK_NB, 1, byte)
            return True
        return False

    def _unlock(self, byte: int) -> None:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)


def digest_of(image: Path, files: Sequence[Path] = ()) -> str | None:
    """The sha256 of a scan's file, or of the names and contents of the files it consists of; None if it cannot be read.

    Parameters
    ----------
    image : Path
    files : sequence of Path
        Those in the folder `image` that count; all where there is none.
    """
    try:
        if not image.is_dir():
            return _digest_of_file(image)
        files = sorted(files or (file for file in image.rglob("*") if file.is_file()))
        return _digest_of_all({file.relative_to(image).as_posix(): _digest_of_file(file) for file in files})
    except OSError:
        return None


def _digest_of_file(image: Path) -> str:
    """Of a file, with those that belong to it."""
    if image.suffix.lower() not in _DETACHED:
        return _digest(image)
    files = sorted(file for file in image.parent.iterdir() if stem(file.name).split(".")[0] == image.stem and file.is_file())
    return _digest_of_all({file.name: _digest(file) for file in files})


def _digest_of_all(digests: Mapping[str, str]) -> str:
    total = hashlib.sha256()
    for name, digest in digests.items():
        total.update(f"{digest}  {name}\n".encode(errors="surrogateescape"))
    return total.hexdigest()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _lines(path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Lines that can be read, by output."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for text in stream:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                Outcome.from_columns(line)
                yield line["output"], line

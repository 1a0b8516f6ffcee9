"""What a run remembers of each case, so that it can be stopped at any moment and never overwrites what is not its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cascade.datasets.base import DataSet, Options, RawCase
from cascade.datasets.problems import Problem
from cascade.errors import InputError
from cascade.io.files import replacing

FOLDER = ".cascade-prepare"
State = Literal["started", "done", "failed"]


@dataclass(frozen=True)
class Record:
    """The state of one case.

    Parameters
    ----------
    dataset, case : str
    state : {"started", "done", "failed"}
        ``started``: files of it may lie about, written by an interrupted run.
    fingerprint : str
        Of the source's files and of the options that decide the result.
    row : dict
        Its line of the table, without split.
    image_sha256 : str
        Of the image's voxels.
    problems : tuple of Problem
    """

    dataset: str
    case: str
    state: State
    fingerprint: str
    row: dict[str, str] = field(default_factory=dict)
    image_sha256: str = ""
    problems: tuple[Problem, ...] = ()

    def save(self, out: Path) -> None:
        """Write the record into the output folder."""
        with replacing(self.path_in(out)) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def path_in(self, out: Path) -> Path:
        """Where it lies."""
        return out / FOLDER / self.dataset / f"{self.case}.json"


def load_record(out: Path, dataset: str, case: str) -> Record | None:
    """The record of a case, or None.

    Raises
    ------
    InputError
        It is damaged.
    """
    path = out / FOLDER / dataset / f"{case}.json"
    return _read(path) if path.is_file() else None


def all_records(out: Path) -> Iterator[Record]:
    """Every record of an output folder, by data set and case."""
    for path in sorted((out / FOLDER).glob("*/*.json")):
        yield _read(path)


def forget_others(out: Path, dataset: str, cases: Iterable[str]) -> None:
    """Remove the records of cases that are no longer in the source and never came to an end."""
    known = set(cases)
    for path in sorted((out / FOLDER / dataset).glob("*.json")):
        if path.stem not in known and _read(path).state != "done":
            path.unlink()


def fingerprint(dataset: DataSet, raw: RawCase, options: Options) -> str:
    """Hash of everything that decides a case's files: the bytes of its sources, the data set, the options.

    Raises
    ------
    InputError
        A source file cannot be read.
    """
    digest = hashlib.sha256(f"{dataset.name}\n{raw.name}\n{raw.patient}\n{raw.sequence}\n{options.deciding()}\n".encode())
    for path in raw.files:
        try:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        except OSError as error:
            raise InputError(f"{path}: expected a readable file ({error.strerror or error}); check the source") from error
    digest.update(repr([(mask.structure) for mask in raw.masks]).encode())
    digest.update(raw.scheme.name.encode() if raw.scheme else b"")
    return digest.hexdigest()


def _read(path: Path) -> Record:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        problems = tuple(Problem(**problem) for problem in content.pop("problems"))
        return Record(**content, problems=problems)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: expected a record of cascade-prepare ({error}); remove it and run again with --overwrite") from error

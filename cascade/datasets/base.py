"""What every data set module provides, and the options that all of them understand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cascade.datasets.masks import MaskFile
from cascade.datasets.names import StructureMap
from cascade.datasets.problems import Log, Problem
from cascade.datasets.reading import ScanFile
from cascade.labels import CASCADE_EXTENDED, LabelScheme
from cascade.volume import LabelMap, Volume


@dataclass(frozen=True)
class Options:
    """What the user can choose.

    Parameters
    ----------
    sequence : str or None
        ``"t2"``, ``"t1"``, ``"t2_space"``, ``"water"`` ...; ``"all"`` takes every sequence; None the data set's usual one.
    scheme : str
        Label numbers of the result.
    axes : str or None
        True directions of the images' storage axes, such as ``"RPS"``, instead of the headers'.
    bodies : bool
        Cut whole vertebrae to bodies along the canal.
    mapping : StructureMap
        What tags or files mean.
    from_scheme : str or None
        Label scheme of the source's tags, where the data set itself does not say; None recognises it.
    val_share : float
        Share of the patients in the split ``val``.
    seed : int
        Of the split.
    """

    sequence: str | None = None
    scheme: str = CASCADE_EXTENDED.name
    axes: str | None = None
    bodies: bool = False
    mapping: StructureMap = field(default_factory=StructureMap)
    from_scheme: str | None = None
    val_share: float = 0.2
    seed: int = 0

    def deciding(self) -> str:
        """The options that decide what a case's files hold, as text."""
        mapping = dict(self.mapping.tags), self.mapping.files
        return repr((self.sequence, self.scheme, self.axes, self.bodies, *mapping, *filter(None, [self.from_scheme])))


@dataclass(frozen=True)
class RawCase:
    """One case as it lies in the source.

    Parameters
    ----------
    name, patient, sequence : str
    image : ScanFile
    labels : ScanFile or None
        One file with tags.
    masks : tuple of MaskFile
        One file a structure.
    problems : tuple of Problem
        Met while looking for the files.
    bodies : int or None
        How many vertebrae the data set announces.
    scheme : LabelScheme or None
        Of the tags, where the data set itself does not say.
    """

    name: str
    patient: str
    sequence: str
    image: ScanFile
    labels: ScanFile | None = None
    masks: tuple[MaskFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    bodies: int | None = None
    scheme: LabelScheme | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case."""
        scans = [self.image, *([self.labels] if self.labels else []), *(mask.scan for mask in self.masks)]
        return tuple(path for scan in scans for path in scan.files)


class DataSet:
    """A public data set: how to find its cases and read their labels.

    A module of this package holds one subclass; everything after `draft` is the same for all.
    """

    #: Name on the command line, publication, and sequence where the user names none.
    name: str
    title: str
    usual_sequence: str = "t2"
    #: The source names the structures; else names follow from their order along the spine.
    named: bool = True

    def find(self, source: Path, options: Options) -> Iterator[RawCase | Problem]:
        """List the cases below `source`, and what has no place among them.

        Raises
        ------
        InputError
            `source` does not look like this data set.
        """
        raise NotImplementedError

    def draft(self, raw: RawCase, image: Volume, options: Options, log: Log) -> LabelMap:
        """Read the labels of a case onto the image's grid, in the scheme of drafts.

        Raises
        ------
        RefusedError
            The labels cannot be used.
        """
        raise NotImplementedError

    def finish(self, labels: LabelMap, options: Options, log: Log) -> LabelMap:
        """Last changes to the labels, once the axes are known to be right."""
        return labels


def case_name(text: str) -> str:
    """A name that is safe as a file name and in a table.

    >>> case_name("Patient 7/T2 (sag)")
    'Patient_7_T2_sag'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.") or "case"


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """Sort ``case2`` before ``case10``."""
    return tuple((0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", text) if part)


def unused(files: Iterable[ScanFile], why: str) -> Iterator[Problem]:
    """One note for each file that is left aside."""
    for scan in files:
        yield Problem(scan.path.name, "unused-file", f"{scan.path}: {why}")

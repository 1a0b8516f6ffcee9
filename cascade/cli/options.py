"""What ``cascade-segment`` was told: its options, checked against one another."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cascade.cli import console
from cascade.cli.arguments import STDOUT, build_parser
from cascade.cli.loading import Loading
from cascade.cohorts.find import BESIDE, Request, is_file_name
from cascade.errors import NumberingError
from cascade.io.formats import SegType
from cascade.io.recognise import is_there
from cascade.notices import CODES

if TYPE_CHECKING:
    from cascade.postproc.naming import Numbering


@dataclass(frozen=True)
class SegmentOptions:
    """What ``cascade-segment`` was told.

    Parameters
    ----------
    request : Request
        The scans, and where results go; of no use with `demo`.
    loading : Loading
    numbering : Numbering
    scheme : str
    seg_type : {"binary", "labelmap"}
    clicks : Path, optional
        Corrections for the only scan.
    strict : frozenset of str, optional
        Codes of warnings by which a scan counts as failed; empty for every code.
    jobs : int
        Scans at a time, each in a process.
    scheduler : str, optional
        Of a Dask cluster.
    resume : bool
    demo : Path, optional
        Segment a phantom into this folder, and nothing else.
    info : {"", "text", "json"}
        Tell what is installed, and nothing else.
    loudness : int
        -1 for errors only, 1 for more than usual.
    probabilities : bool
        Keep what the networks saw beside the labels.
    study : bool
        The inputs are studies: all series of a patient get one numbering.
    repeat : int
        So often each scan is seen again.
    """

    request: Request
    loading: Loading
    numbering: Numbering
    scheme: str = "cascade"
    seg_type: SegType = "binary"
    clicks: Path | None = None
    strict: frozenset[str] | None = None
    jobs: int = 1
    scheduler: str | None = None
    resume: bool = False
    demo: Path | None = None
    info: Literal["", "text", "json"] = ""
    loudness: int = 0
    probabilities: bool = False
    study: bool = False
    repeat: int = 0

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> SegmentOptions:
        """Parse the words of a command line; those that cannot be understood, or not together, end the process with status 2."""
        parser = build_parser()
        given = parser.parse_args(list(_told_apart(sys.argv[1:] if arguments is None else arguments)))
        _check(given, parser)
        scheme = "cascade-extended" if given.extended and given.scheme == "cascade" else given.scheme
        return cls(
            _request(given),
            Loading.of(given, _place(given, given.weights)),
            _numbering(given, parser),
            scheme,
            given.seg_type,
            given.clicks,
            _strict(given, parser),
            given.jobs,
            given.scheduler,
            given.resume,
            given.demo,
            ("json" if given.json else "text") if given.info else "",
            given.verbose - given.quiet,
            given.keep_probabilities,
            given.study,
            given.repeat,
        )


def _told_apart(words: Sequence[str]) -> Iterator[str]:
    """The words of a command line with ``--strict`` told apart from what comes after it, unless that is codes of warnings."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        yield "--strict=all" if word == "--strict" and not CODES.keys() >= set(following.split(",")) else word


def _check(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if given.bids and (len(given.inputs) != 1 or given.format):
        parser.error("argument --bids: expected one data set as input, and no --format")
    if given.participant and not given.bids:
        parser.error("argument --participant: only with --bids; give files or folders otherwise")
    if given.json == STDOUT and not given.info:
        parser.error("argument --json: expected one argument")
    if given.output is None and (lost := [path for path in given.inputs if not is_there(path)]):
        parser.error(f"{lost[0]}: expected a file or folder; there is no such file")
    if given.demo is None and not given.info and (not given.inputs or (given.output is None and not given.bids)):
        parser.error("expected scans and -o OUT, or --demo DIR; see --help for examples")
    if given.resume and given.output and is_file_name(given.output):
        parser.error("argument --resume: expected a folder as -o, which has a manifest")
    if given.sr and (given.sr == given.output or not _writes_seg(given)):
        parser.error("argument --sr: expected -o SEG.dcm (with a folder --format dcm), which the SR refers to, and another name")
    if given.study:
        _check_study(given, parser)
    if given.repeat < 0 or given.repeat == 1:
        parser.error("argument --repeat: expected 2 or more views, from which an error can be told")
    if given.scheduler and given.jobs > 1:
        parser.error("argument --jobs: not with --scheduler; the cluster has its own workers")


def _check_study(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    unfit = {"bids": given.bids, "demo": given.demo, "lowest": given.lowest, "highest": given.highest}
    unfit |= {what: getattr(given, what) for what in BESIDE} | {"keep-probabilities": given.keep_probabilities, "repeat": given.repeat}
    if wrong := [name for name, value in unfit.items() if value]:
        instead = "give --anchor" if wrong[0] in ("lowest", "highest") else "a study has results of its own"
        parser.error(f"argument --{wrong[0]}: not with --study; {instead}")
    if given.clicks and "=" not in str(given.clicks):
        parser.error("argument --clicks: with --study expected the series and the file, for example series-3=clicks.json")
    if given.output and is_file_name(given.output):
        parser.error("argument --study: expected a folder as -o")


def _writes_seg(given: argparse.Namespace) -> bool:
    """Tell whether the labels are written as DICOM SEG."""
    if given.output and is_file_name(given.output):
        return bool(given.output.name.lower().endswith(".dcm"))
    return bool(given.format == "dcm")


def _request(given: argparse.Namespace) -> Request:
    inputs = tuple(path.absolute() if given.scheduler else path for path in given.inputs)
    derivatives = inputs[0] / "derivatives" / "cascade" if given.bids else given.demo
    return Request(
        inputs,
        _place(given, given.output) or derivatives or Path(),
        f".{given.format}" if given.format else None,
        given.series,
        {what: path for what in BESIDE if (path := _place(given, getattr(given, what)))},
        given.bids,
        tuple(given.participant),
    )


def _place(given: argparse.Namespace, path: Path | None) -> Path | None:
    """A path as the workers find it: those on other machines have another working folder."""
    return path.absolute() if path is not None and given.scheduler else path


def _strict(given: argparse.Namespace, parser: argparse.ArgumentParser) -> frozenset[str] | None:
    """The codes that are to fail a scan, none for all of them; None without the option."""
    if given.strict in (None, "all"):
        return None if given.strict is None else frozenset()
    codes, known = frozenset(given.strict.split(",")), {code for code, meaning in CODES.items() if meaning.about != "case"}
    for code in sorted(codes - known):
        near = " or ".join(difflib.get_close_matches(code, known, n=1)) or "those of docs/warnings.md"
        parser.error(f"argument --strict: expected codes of warnings such as {near}; no scan has {code!r}")
    return codes


def _numbering(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Numbering:
    with console.large_imports():
        from cascade.postproc.naming import Numbering

    try:
        anchors = [_anchor(text) for text in given.anchor]
        if len(dict(anchors)) < len(anchors):
            parser.error("argument --anchor: expected one point a level; a level is given twice")
        return Numbering(dict(anchors), given.lowest, given.highest, given.count)
    except (ValueError, NumberingError) as problem:
        parser.error(str(problem))


def _anchor(text: str) -> tuple[str, tuple[float, float, float]]:
    name, _, numbers = text.partition("=")
    try:
        x, y, z = (float(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"argument --anchor: expected LEVEL=X,Y,Z in mm, got {text!r}") from None
    return name, (x, y, z)

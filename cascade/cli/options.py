"""The options of ``cascade-segment``, parsed once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.loading import Loading
from cascade.cohorts.find import BESIDE, Request, is_file_name
from cascade.errors import NumberingError
from cascade.io.formats import OUTPUT_SUFFIXES, SEG_TYPES, SegType
from cascade.labels import SCHEMES

if TYPE_CHECKING:
    from cascade.postproc.naming import Numbering

_EXAMPLES = """\
examples:
  cascade-segment --demo demo                          a synthetic scan with known answers
  cascade-segment t2_sag.nii.gz -o levels.nii.gz       one scan
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --json run.json --picture qc.png
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --table levels.tsv --report qc.html
  cascade-segment scans/ -o out/ --picture pictures/   a folder; one bad scan does not stop the rest
  cascade-segment scans/ -o out/ --jobs 4 --resume     a cohort, in four processes; goes on where an earlier run ended
  cascade-segment study/ -o levels.dcm --series 5      a DICOM series in, a DICOM SEG out
  cascade-segment study/ -o levels.dcm --sr measurements.dcm   with every measurement in a DICOM SR
  cascade-segment t2.mha -o levels.seg.nrrd            for 3D Slicer, with names and colours
  cascade-segment t2.nii.gz -o l.nii.gz --scheme verse every structure found, in another numbering
  cascade-segment cut.nii.gz -o l.nii.gz --lowest L3   the sacrum is not in view, but you know the lowest body
  cascade-segment t2.nii.gz -o l.nii.gz --clicks c.json  corrected where you clicked

exit status: 0 done (warnings allowed), 1 a scan failed (the others are done), 2 unknown option or value.
Research use only; not a medical device.
"""


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

    @classmethod
    def parse(cls, arguments: Sequence[str] | None = None) -> SegmentOptions:
        """Parse the words of a command line; those that cannot be understood, or not together, end the process with status 2."""
        parser = _parser()
        given = parser.parse_args(arguments)
        _check(given, parser)
        scheme = "cascade-extended" if given.extended and given.scheme == "cascade" else given.scheme
        strict = None if given.strict is None else frozenset() if given.strict == "all" else frozenset(given.strict.split(","))
        return cls(
            _request(given),
            Loading(given.device, given.threads, _place(given, given.weights)),
            _numbering(given, parser),
            scheme,
            given.seg_type,
            given.clicks,
            strict,
            given.jobs,
            given.scheduler,
            given.resume,
            given.demo,
        )


def _check(given: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if given.bids and (len(given.inputs) != 1 or given.format):
        parser.error("argument --bids: expected one data set as input, and no --format")
    if given.demo is None and (not given.inputs or (given.output is None and not given.bids)):
        parser.error("expected scans and -o OUT, or --demo DIR; see --help for examples")
    if given.resume and given.output and is_file_name(given.output):
        parser.error("argument --resume: expected a folder as -o, which has a manifest")
    if given.sr and (given.sr == given.output or not _writes_seg(given)):
        parser.error("argument --sr: expected -o SEG.dcm (with a folder --format dcm), which the SR refers to, and another name")
    if given.scheduler and given.jobs > 1:
        parser.error("argument --jobs: not with --scheduler; the cluster has its own workers")


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
        _place(given, given.output) or derivatives,
        f".{given.format}" if given.format else None,
        given.series,
        {what: path for what in BESIDE if (path := _place(given, getattr(given, what)))},
        given.bids,
    )


def _place(given: argparse.Namespace, path: Path | None) -> Path | None:
    """A path as the workers find it: those on other machines have another working folder."""
    return path.absolute() if path is not None and given.scheduler else path


def _numbering(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Numbering:
    from cascade.postproc.naming import Numbering

    try:
        return Numbering(dict(map(_anchor, given.anchor)), given.lowest, given.highest, given.count)
    except (ValueError, NumberingError) as problem:
        parser.error(str(problem))


def _anchor(text: str) -> tuple[str, tuple[float, float, float]]:
    name, _, numbers = text.partition("=")
    try:
        x, y, z = (float(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"argument --anchor: expected LEVEL=X,Y,Z in mm, got {text!r}") from None
    return name, (x, y, z)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cascade-segment",
        description="Segment and name lumbar vertebrae and discs in MR scans (NIfTI, DICOM, NRRD, MetaImage), offline.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT",
                        help="scan file, DICOM series (folder, zip, multi-frame), or folder of scans (searched recursively)")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="OUT",
                        help="label file for one scan, whose suffix says the format (.nii.gz .nii .seg.nrrd .nrrd .mha .dcm), "
                        "or folder for several (paths are mirrored)")  # fmt: skip
    parser.add_argument(
        "--format",
        choices=[s.removeprefix(".") for s in OUTPUT_SUFFIXES],
        help="format of the label files in a folder (default: nii.gz; dcm is DICOM SEG)",
    )
    parser.add_argument("--series", metavar="NUMBER", help="DICOM series number or UID (default: the only series, or the sagittal T2)")
    parser.add_argument("--seg-type", choices=SEG_TYPES, default="binary", help="kind of DICOM SEG (default: binary)")
    parser.add_argument("--bids", action="store_true", help="INPUT is a BIDS data set; results go to its derivatives/cascade, or to OUT")
    parser.add_argument("--scheme", choices=[s for s in SCHEMES if s != "cascade-extended"], default="cascade",
                        help="label numbers: cascade (L1-L5 = 1..5, discs L1/L2-L4/L5 = 6..9; default) or another data set's")  # fmt: skip
    parser.add_argument("--extended", action="store_true", help="scheme cascade with every structure found: T8 to sacrum")
    parser.add_argument("--json", type=Path, metavar="FILE", help="levels, numbering, warnings, provenance (folder for several scans)")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="PNG of the column with named levels (folder for several scans)")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="measurements, tab-separated, one row a structure (folder for several scans)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="one HTML page with pictures and measurements (folder for several scans)"
    )
    parser.add_argument("--sr", type=Path, metavar="FILE",
                        help="measurements as a DICOM SR that refers to the DICOM SEG of -o (folder for several scans)")  # fmt: skip
    parser.add_argument("--lowest", metavar="LEVEL", help="you know the lowest vertebra in the scan, e.g. L3")
    parser.add_argument("--highest", metavar="LEVEL", help="you know the highest vertebra in the scan, e.g. T11")
    parser.add_argument("--count", type=int, choices=(4, 5, 6), help="you know the number of lumbar vertebrae")
    parser.add_argument(
        "--anchor", action="append", default=[], metavar="LEVEL=X,Y,Z", help="a RAS+ mm point in a level, e.g. L5=3,-20,-85; repeatable"
    )
    parser.add_argument("--clicks", type=Path, metavar="FILE",
                        help="corrections for one scan: JSON, or point lists of 3D Slicer (.mrk.json); see docs/clicks.md")  # fmt: skip
    parser.add_argument(
        "--strict",
        nargs="?",
        const="all",
        metavar="CODES",
        help="exit 1 if a scan has a warning (of these comma-separated codes); outputs are written",
    )
    Loading.add_options(parser)
    parser.add_argument("--jobs", type=console.positive, default=1, metavar="N", help="scans at a time, each in a process (default: 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="scans go to a Dask cluster: tcp://host:port, or its scheduler file")
    parser.add_argument("--resume", action="store_true", help="leave out what OUT/manifest.jsonl says is done")
    parser.add_argument("--demo", type=Path, metavar="DIR", help="segment a synthetic scan, write everything to DIR, print Dice")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser

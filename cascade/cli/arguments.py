"""The options of ``cascade-segment`` in groups, as ``--help`` shows them."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.loading import Loading
from cascade.cli.parser import Parser
from cascade.io.formats import OUTPUT_SUFFIXES, SEG_TYPES, find_suffix
from cascade.labels import SCHEMES

_EXAMPLES = """\
examples:
  cascade-segment --demo demo                          a real scan, and a phantom with known answers
  cascade-segment t2_sag.nii.gz -o levels.nii.gz       one scan
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --json run.json --picture qc.png
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --table levels.tsv --report qc.html
  cascade-segment scans/ -o out/ --picture pictures/   a folder; one bad scan does not stop the rest
  cascade-segment scans/ -o out/ --jobs 4 --resume     a cohort, in four processes; goes on where an earlier run ended
  cascade-segment study/ -o levels.dcm --series 5      a DICOM series in, a DICOM SEG out
  cascade-segment study/ -o levels.dcm --sr measurements.dcm   with every measurement in a DICOM SR
  cascade-segment t2.nii.gz -o l.nii.gz --table l.tsv --repeat 5   with the error of each measurement
  cascade-segment t2.nii.gz -o levels.nii.gz --mesh surfaces/   an STL for each structure
  cascade-segment study/ --study -o out/               all series of a patient with one numbering, axial slices told
  cascade-segment t2.mha -o levels.seg.nrrd            for 3D Slicer, with names and colours
  cascade-segment t2.nii.gz -o l.nii.gz --scheme verse every structure found, in another numbering
  cascade-segment cut.nii.gz -o l.nii.gz --lowest L3   the sacrum is not in view, but you know the lowest body
  cascade-segment t2.nii.gz -o l.nii.gz --clicks c.json  corrected where you clicked

exit status: 0 done (warnings allowed), 1 a scan failed (the others are done), 2 unknown option or value.
Research use only; not a medical device.
"""

#: Where ``--json`` without a name goes; only what ``--info`` tells can.
STDOUT = Path("-")
#: What the end of a file's name looks like; folders may have a version or date there.
_KIND_OF_FILE = re.compile(r"\.[a-z][a-z0-9]{0,7}")
#: What writes other files that people ask for.
_ANOTHER_WAY = {
    ".json": "--json FILE writes this beside the labels",
    ".png": "--picture FILE writes this beside the labels",
    ".tsv": "--table FILE writes this beside the labels",
    ".html": "--report FILE writes this beside the labels",
    **dict.fromkeys((".stl", ".obj", ".ply", ".vtk", ".vtp"), "--mesh DIR writes surfaces as STL beside the labels"),
    ".mhd": ".mha holds header and voxels in one file",
}


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command; each group adds its own options."""
    parser = Parser(
        "cascade-segment",
        "Segment and name lumbar vertebrae and discs in MR scans (NIfTI, DICOM, NRRD, MetaImage), offline.",
        _EXAMPLES,
    )
    parser.usage = "%(prog)s INPUT [INPUT ...] -o OUT [options]"
    _scans(parser)
    _results(parser.add_argument_group("results"))
    _known(parser.add_argument_group("what you know"))
    _running(parser.add_argument_group("running"))
    parser.add_argument("--demo", type=Path, metavar="DIR", help="segment a real scan and a phantom, write everything to DIR")
    parser.add_argument("--info", action="store_true",
                        help="tell version, weights, schemes, formats and extras (with --json: for programs), and end")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _output(text: str) -> Path:
    """A label file or a folder. What looks like a file of another kind is one only if it ends in a slash, or is a folder already."""
    path = Path(text)
    suffix = path.suffix.lower()
    is_folder = text.endswith(("/", os.sep)) or os.path.isdir(text)  # noqa: PTH112  # Path.is_dir fails where a name is too long
    if is_folder or find_suffix(path.name, OUTPUT_SUFFIXES) or not _KIND_OF_FILE.fullmatch(suffix):
        return path
    wayout = _ANOTHER_WAY.get(suffix, "choose one of these, or end the name of a folder with /")
    raise argparse.ArgumentTypeError(f"{text}: expected {', '.join(OUTPUT_SUFFIXES)}, or a folder; found {suffix}; {wayout}")


def _scans(group: argparse._ActionsContainer) -> None:
    group.add_argument("inputs", nargs="*", type=Path, metavar="INPUT",
                       help="scan file, DICOM series (folder, zip, multi-frame), or folder of scans (searched recursively)")  # fmt: skip
    group.add_argument("-o", "--output", type=_output, metavar="OUT",
                       help="label file for one scan, whose suffix says the format (.nii.gz .nii .seg.nrrd .nrrd .mha .dcm), "
                       "or folder for several (paths are mirrored)")  # fmt: skip
    group.add_argument("--series", metavar="NUMBER", help="DICOM series number or UID (default: the only series, or the sagittal T2)")
    group.add_argument("--study", action="store_true",
                       help="each INPUT is a study: all series of a patient get one numbering, axial slices their level")  # fmt: skip
    group.add_argument("--participant", action="append", default=[], metavar="LABEL", help="with --bids: this participant only; repeatable")
    group.add_argument("--bids", action="store_true", help="INPUT is a BIDS data set; results go to its derivatives/cascade, or to OUT")


def _results(group: argparse._ActionsContainer) -> None:
    formats = [suffix.removeprefix(".") for suffix in OUTPUT_SUFFIXES]
    group.add_argument("--format", choices=formats, help="format of the label files in a folder (default: nii.gz; dcm is DICOM SEG)")
    group.add_argument("--seg-type", choices=SEG_TYPES, default="binary", help="kind of DICOM SEG (default: binary)")
    group.add_argument("--scheme", choices=[s for s in SCHEMES if s != "cascade-extended"], default="cascade",
                       help="label numbers: cascade (L1-L5 = 1..5, discs L1/L2-L4/L5 = 6..9; default) or another data set's")  # fmt: skip
    group.add_argument("--extended", action="store_true", help="scheme cascade with every structure found: T8 to sacrum")
    group.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="levels, numbering, warnings, provenance (folder for several scans)",
    )
    group.add_argument("--picture", type=Path, metavar="FILE", help="PNG of the column with named levels (folder for several scans)")
    group.add_argument("--table", type=Path, metavar="FILE",
                       help="measurements, tab-separated, one row a structure (folder for several scans)")  # fmt: skip
    group.add_argument("--report", type=Path, metavar="FILE",
                       help="one HTML page with pictures and measurements (folder for several scans)")  # fmt: skip
    group.add_argument("--sr", type=Path, metavar="FILE",
                       help="measurements as a DICOM SR that refers to the DICOM SEG of -o (folder for several scans)")  # fmt: skip
    group.add_argument("--repeat", type=int, default=0, metavar="N",
                       help="see each scan N times more, a little changed, for errors of measurements (5 do; default: 0)")  # fmt: skip
    group.add_argument("--mesh", type=Path, metavar="DIR",
                       help="a surface (STL, in RAS+ mm) for each structure in this folder (a folder each for several scans)")  # fmt: skip
    group.add_argument("--keep-probabilities", action="store_true",
                       help="also what the networks saw, so that cascade-review corrects without them (some 20 MB a scan)")  # fmt: skip


def _known(group: argparse._ActionsContainer) -> None:
    group.add_argument("--lowest", metavar="LEVEL", help="you know the lowest vertebra in the scan, e.g. L3")
    group.add_argument("--highest", metavar="LEVEL", help="you know the highest vertebra in the scan, e.g. T11")
    group.add_argument("--count", type=int, choices=(4, 5, 6), help="you know the number of lumbar vertebrae")
    group.add_argument("--anchor", action="append", default=[], metavar="LEVEL=X,Y,Z",
                       help="a RAS+ mm point in a level, e.g. L5=3,-20,-85; repeatable")  # fmt: skip
    group.add_argument("--clicks", type=Path, metavar="FILE",
                       help="corrections for one scan: JSON, or point lists of 3D Slicer (.mrk.json); see docs/clicks.md")  # fmt: skip


def _running(group: argparse._ActionsContainer) -> None:
    group.add_argument("--strict", nargs="?", const="all", metavar="CODES",
                       help="exit 1 if a scan has a warning or alarm (=CODES: one of these); outputs are written")  # fmt: skip
    Loading.add_options(group)
    group.add_argument("--jobs", type=console.positive, default=1, metavar="N", help="scans at a time, each in a process (default: 1)")
    group.add_argument("--scheduler", metavar="ADDRESS", help="scans go to a Dask cluster: tcp://host:port, or its scheduler file")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="print errors only; results and warnings are in the files")
    loudness.add_argument("-v", "--verbose", action="store_true", help="also print notes, what runs where, and how long each scan takes")
    group.add_argument("--resume", action="store_true", help="leave out what OUT/manifest.jsonl says is done")

"""``cascade-segment``: scans in, named vertebrae and discs out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.jobs import Keep, is_file_name, list_jobs
from cascade.errors import InputError, NumberingError
from cascade.io.formats import OUTPUT_SUFFIXES, SEG_TYPES
from cascade.labels import SCHEMES

if TYPE_CHECKING:
    from cascade.cohorts.job import Job
    from cascade.pipeline import Segmenter
    from cascade.postproc.clicks.click import Click
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
  cascade-segment t2.mha -o levels.seg.nrrd            for 3D Slicer, with names and colours
  cascade-segment t2.nii.gz -o l.nii.gz --scheme verse every structure found, in another numbering
  cascade-segment cut.nii.gz -o l.nii.gz --lowest L3   the sacrum is not in view, but you know the lowest body
  cascade-segment t2.nii.gz -o l.nii.gz --clicks c.json  corrected where you clicked

exit status: 0 done (warnings allowed), 1 a scan failed (the others are done), 2 unknown option or value.
Research use only; not a medical device.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _check_usage(options, parser)
    return console.run(lambda: _demo(options) if options.demo is not None else _segment_all(options, parser))


def _check_usage(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if options.bids and (len(options.inputs) != 1 or options.format):
        parser.error("argument --bids: expected one data set as input, and no --format")
    if options.demo is None and (not options.inputs or (options.output is None and not options.bids)):
        parser.error("expected scans and -o OUT, or --demo DIR; see --help for examples")
    if options.resume and options.output and is_file_name(options.output):
        parser.error("argument --resume: expected a folder as -o, which has a manifest")
    if options.scheduler:
        if options.jobs > 1:
            parser.error("argument --jobs: not with --scheduler; the cluster has its own workers")
        _make_absolute(options)


def _make_absolute(options: argparse.Namespace) -> None:
    """Workers on other machines have another working folder."""
    options.inputs = [path.absolute() for path in options.inputs]
    for name in ("output", "json", "picture", "table", "report", "weights"):
        if (path := getattr(options, name)) is not None:
            setattr(options, name, path.absolute())


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
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="where the networks run (default: auto)")
    parser.add_argument("--threads", type=console.positive, metavar="N", help="CPU threads (default: all cores, shared out among the jobs)")
    parser.add_argument("--jobs", type=console.positive, default=1, metavar="N", help="scans at a time, each in a process (default: 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="scans go to a Dask cluster: tcp://host:port, or its scheduler file")
    parser.add_argument("--resume", action="store_true", help="leave out what OUT/manifest.jsonl says is done")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own instead of the packaged ones")
    parser.add_argument("--demo", type=Path, metavar="DIR", help="segment a synthetic scan, write everything to DIR, print Dice")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _segment_all(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    numbering = _numbering(options, parser)
    jobs, failed = list_jobs(options)
    if not jobs:
        return console.FAILED if failed else console.DONE
    clicks = _clicks(options, jobs)
    segmenter = _load(options)

    from cascade.cli.cohort import do_jobs, threads_of_a_worker
    from cascade.cohorts.run import Task

    scheme = "cascade-extended" if options.extended and options.scheme == "cascade" else options.scheme
    task = Task(segmenter, Keep(options.seg_type), scheme, numbering, threads_of_a_worker(options), clicks)
    return do_jobs(jobs, task, options) or (console.FAILED if failed else console.DONE)


def _clicks(options: argparse.Namespace, jobs: Sequence[Job]) -> tuple[Click, ...]:
    """The clicks for the only scan."""
    if options.clicks is None:
        return ()
    from cascade.postproc.clicks.click import read_clicks

    if len(jobs) > 1:
        raise InputError(f"{options.clicks}: expected clicks for one scan; found {len(jobs)} scans; run them one by one")
    return read_clicks(options.clicks)


def _load(options: argparse.Namespace) -> Segmenter:
    with console.large_imports():
        import torch

        from cascade.pipeline import Segmenter

    if options.threads:
        torch.set_num_threads(options.threads)
    return Segmenter.from_pretrained(options.device, options.weights)


def _numbering(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Numbering:
    from cascade.postproc.naming import Numbering

    try:
        anchors = dict(_anchor(text) for text in options.anchor)
        return Numbering(anchors, options.lowest, options.highest, options.count)
    except (ValueError, NumberingError) as problem:
        parser.error(str(problem))


def _anchor(text: str) -> tuple[str, tuple[float, float, float]]:
    name, _, numbers = text.partition("=")
    try:
        x, y, z = (float(number) for number in numbers.split(","))
    except ValueError:
        raise ValueError(f"argument --anchor: expected LEVEL=X,Y,Z in mm, got {text!r}") from None
    return name, (x, y, z)


def _demo(options: argparse.Namespace) -> int:
    from cascade.demo import NINE, run_demo

    console.say("rendering a synthetic scan and segmenting it ...")
    dice = run_demo(options.demo, _load(options))
    print("structure  Dice")
    for name in NINE:
        print(f"{name:9}  {dice[name]:.3f}")
    print(f"mean       {sum(dice.values()) / len(dice):.3f}")
    print(f"written to {options.demo}: demo_image.nii.gz demo_reference.nii.gz demo_levels.nii.gz demo.json demo.png")
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())

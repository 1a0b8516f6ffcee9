"""``cascade-segment``: scans in, named vertebrae and discs out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade import __version__
from cascade.cli import console
from cascade.cli.jobs import FORMATS, Job, list_jobs
from cascade.errors import CascadeError, InputError, NumberingError
from cascade.labels import SCHEMES

if TYPE_CHECKING:
    from cascade.corrections import Click
    from cascade.pipeline import Segmenter
    from cascade.postproc.naming import Numbering
    from cascade.report import ReportIndex
    from cascade.segmentation import Segmentation

_EXAMPLES = """\
examples:
  cascade-segment --demo demo                          a synthetic scan with known answers
  cascade-segment t2_sag.nii.gz -o levels.nii.gz       one scan
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --json run.json --picture qc.png
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --table levels.tsv --report qc.html
  cascade-segment scans/ -o out/ --picture pictures/   a folder; one bad scan does not stop the rest
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
    parser.add_argument("--format", choices=FORMATS, help="format of the label files in a folder (default: nii.gz; dcm is DICOM SEG)")
    parser.add_argument("--series", metavar="NUMBER", help="DICOM series number or UID (default: the only series, or the sagittal T2)")
    parser.add_argument("--seg-type", choices=("binary", "labelmap"), default="binary", help="kind of DICOM SEG (default: binary)")
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
    parser.add_argument("--threads", type=console.positive, metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own instead of the packaged ones")
    parser.add_argument("--demo", type=Path, metavar="DIR", help="segment a synthetic scan, write everything to DIR, print Dice")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _segment_all(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    numbering = _numbering(options, parser)
    jobs, failed = list_jobs(options)
    clicks = _clicks(options, jobs)
    if jobs:
        segmenter, index = _load(options), _index(options, jobs)
        for job in _progress(jobs):
            try:
                result = _segment_one(segmenter, job, options, numbering, clicks)
                failed |= _offends(result, options.strict)
                if index and job.report:
                    index.add(result, job.report, job.title)
            except CascadeError as problem:
                console.error(problem)
                failed = True
                if index and job.report:
                    index.add_failed(job.report, job.title, str(problem).partition(f"{job.image}: ")[2])
        if index:
            index.save()
    return console.FAILED if failed else console.DONE


def _segment_one(
    segmenter: Segmenter, job: Job, options: argparse.Namespace, numbering: Numbering, clicks: tuple[Click, ...]
) -> Segmentation:
    from cascade.formats import check_output
    from cascade.nifti import together

    check_output(job.output, job.image, *job.beside)
    scheme = "cascade-extended" if options.extended and options.scheme == "cascade" else options.scheme
    result = segmenter.segment(job.image, scheme=scheme, numbering=numbering, series=job.series, clicks=clicks)
    with together():
        _write(result, job, options)
    for notice in result.warnings:
        console.warn(str(job), notice.code, notice.text)
    print(f"{job.output}\t{' '.join(level.name for level in result.levels)}", flush=True)
    return result


def _write(result: Segmentation, job: Job, options: argparse.Namespace) -> None:
    from cascade.bids import write_sidecars
    from cascade.report import save_report

    result.save(job.output, seg_type=options.seg_type)
    if job.dataset:
        write_sidecars(job.output, job.image, job.dataset, result.labels.scheme, result.to_dict())
    if job.json:
        result.save_json(job.json, **job.names)
    if job.picture:
        result.save_picture(job.picture)
    if job.table:
        result.save_table(job.table)
    if job.report:
        save_report(result, job.report, job.title)


def _clicks(options: argparse.Namespace, jobs: list[Job]) -> tuple[Click, ...]:
    """The clicks for the only scan."""
    if options.clicks is None:
        return ()
    from cascade.corrections import read_clicks

    if len(jobs) > 1:
        raise InputError(f"{options.clicks}: expected clicks for one scan; found {len(jobs)} scans; run them one by one")
    return read_clicks(options.clicks)


def _index(options: argparse.Namespace, jobs: list[Job]) -> ReportIndex | None:
    """The page that leads to the reports, where they go to a folder."""
    if not options.report or any(job.report == options.report for job in jobs):
        return None
    from cascade.report import ReportIndex

    return ReportIndex(options.report)


def _load(options: argparse.Namespace) -> Segmenter:
    import torch

    from cascade.pipeline import Segmenter

    if options.threads:
        torch.set_num_threads(options.threads)
    return Segmenter.from_pretrained(options.device, options.weights)


def _offends(result: Segmentation, strict: str | None) -> bool:
    codes = {notice.code for notice in result.warnings}
    return bool(codes if strict == "all" else codes & set((strict or "").split(",")))


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


def _progress(jobs: list[Job]) -> Sequence[Job]:
    if len(jobs) < 2 or not sys.stderr.isatty():
        return jobs
    from tqdm import tqdm

    bar: Sequence[Job] = tqdm(jobs, unit="scan", file=sys.stderr)
    return bar


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

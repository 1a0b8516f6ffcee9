"""``cascade-segment``: scans in, named vertebrae and discs out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cascade import __version__
from cascade.cli import console
from cascade.errors import CascadeError, InputError, NumberingError, OutputError
from cascade.labels import SCHEMES

if TYPE_CHECKING:
    from cascade.pipeline import Segmentation, Segmenter
    from cascade.postproc.naming import Numbering
    from cascade.report import ReportIndex

_SUFFIXES = (".nii.gz", ".nii")
_NOT_SCANS = ("_labels", "_seg", "_mask", "_dseg", "_levels")

_EXAMPLES = """\
examples:
  cascade-segment --demo demo                          a synthetic scan with known answers
  cascade-segment t2_sag.nii.gz -o levels.nii.gz       one scan
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --json run.json --picture qc.png
  cascade-segment t2_sag.nii.gz -o levels.nii.gz --table levels.tsv --report qc.html
  cascade-segment scans/ -o out/ --picture pictures/   a folder; one bad scan does not stop the rest
  cascade-segment t2.nii.gz -o l.nii.gz --scheme verse every structure found, in another numbering
  cascade-segment cut.nii.gz -o l.nii.gz --lowest L3   the sacrum is not in view, but you know the lowest body

exit status: 0 done (warnings allowed), 1 a scan failed (the others are done), 2 unknown option or value.
Research use only; not a medical device.
"""


@dataclass(frozen=True)
class Job:
    """One scan and where its results go."""

    image: Path
    output: Path
    json: Path | None
    picture: Path | None
    table: Path | None = None
    report: Path | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.demo is None and (not options.inputs or options.output is None):
        parser.error("expected scans and -o OUT, or --demo DIR; see --help for examples")
    return console.run(lambda: _demo(options) if options.demo is not None else _segment_all(options, parser))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cascade-segment",
        description="Segment and name lumbar vertebrae and discs in MR scans (NIfTI), offline.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="*", type=Path, metavar="INPUT", help="scan (.nii, .nii.gz) or folder, searched recursively")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="label file for one scan, folder for several (paths are mirrored)")
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
    jobs, failed = _jobs(options)
    if jobs:
        segmenter, index = _load(options), _index(options, jobs)
        for job in _progress(jobs):
            try:
                result = _segment_one(segmenter, job, options, numbering)
                failed |= _offends(result, options.strict)
                if index and job.report:
                    index.add(result, job.report, job.image.name)
            except CascadeError as problem:
                console.error(problem)
                failed = True
                if index:
                    index.add_failed(job.image.name)
        if index:
            index.save()
    return console.FAILED if failed else console.DONE


def _segment_one(segmenter: Segmenter, job: Job, options: argparse.Namespace, numbering: Numbering) -> Segmentation:
    _check_output(job)
    scheme = "cascade-extended" if options.extended and options.scheme == "cascade" else options.scheme
    result = segmenter.segment(job.image, scheme=scheme, numbering=numbering)
    result.save(job.output)
    if job.json:
        result.save_json(job.json, input=str(job.image), output=str(job.output))
    if job.picture:
        result.save_picture(job.picture)
    if job.table:
        result.save_table(job.table)
    if job.report:
        result.save_report(job.report, job.image.name)
    for notice in result.warnings:
        console.warn(job.image, notice.code, notice.text)
    print(f"{job.output}\t{' '.join(level.name for level in result.levels)}", flush=True)
    return result


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


def _jobs(options: argparse.Namespace) -> tuple[list[Job], bool]:
    """List what to do; the second value tells that an input could not be used."""
    scans: list[tuple[Path, Path]] = []
    failed = False
    for given in options.inputs:
        try:
            scans += _scans(given, options.output)
        except InputError as problem:
            console.error(problem)
            failed = True
    single = len(options.inputs) == 1 and not options.inputs[0].is_dir() and options.output.name.lower().endswith(_SUFFIXES)
    if not single and options.output.name.lower().endswith(_SUFFIXES):
        raise OutputError(f"{options.output}: expected a folder for several scans; give -o a folder")
    jobs: dict[Path, Job] = {}
    for job in (_job(image, relative, options, single) for image, relative in scans):
        other = jobs.setdefault(job.output, job)
        if other is not job:
            console.error(f"{job.image}: expected an output of its own; {job.output} is that of {other.image}; give another -o")
            failed = True
    return list(jobs.values()), failed


def _scans(given: Path, output: Path) -> list[tuple[Path, Path]]:
    """Scans of an input with their paths relative to it; labels and earlier outputs are skipped."""
    if not given.is_dir():
        return [(given, Path(given.name))]
    files = [p for p in sorted(given.rglob("*")) if p.name.lower().endswith(_SUFFIXES) and p.is_file() and not p.name.startswith(".")]
    outputs = output.resolve()
    scans = [p for p in files if not _stem(p).lower().endswith(_NOT_SCANS) and outputs not in p.resolve().parents]
    if not scans:
        raise InputError(f"{given}: expected scans (.nii, .nii.gz) in this folder; found none")
    return [(p, p.relative_to(given)) for p in scans]


def _job(image: Path, relative: Path, options: argparse.Namespace, single: bool) -> Job:
    if single:
        return Job(image, options.output, options.json, options.picture, options.table, options.report)
    stem = relative.with_name(_stem(relative))
    name = relative if image.name.lower().endswith(_SUFFIXES) else stem.with_name(stem.name + ".nii.gz")
    return Job(
        image,
        options.output / name,
        options.json / f"{stem}.json" if options.json else None,
        options.picture / f"{stem}.png" if options.picture else None,
        options.table / f"{stem}.tsv" if options.table else None,
        options.report / f"{stem}.html" if options.report else None,
    )


def _stem(path: Path) -> str:
    suffix = next((s for s in _SUFFIXES if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)]


def _check_output(job: Job) -> None:
    for output in (job.output, job.json, job.picture):
        if output is not None and output.exists() and job.image.exists() and output.samefile(job.image):
            raise OutputError(f"{output}: expected an output other than the input; the scan would be overwritten; choose another name")


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

"""``cascade-measure``: numbers from label files of any tool."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.parser import Parser
from cascade.errors import CascadeError, InputError
from cascade.labels import SCHEMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cascade.labels import LabelScheme
    from cascade.volume import Grid, LabelMap

_EXAMPLES = """\
examples:
  cascade-measure t2.nii.gz levels.nii.gz -o levels.tsv                     labels that cascade-segment wrote
  cascade-measure t2.nii.gz seg_vert.nii.gz --scheme verse -o levels.tsv    labels of another tool
  cascade-measure scans/ labels/ --scheme totalspineseg -o tables/          a folder; one bad scan does not stop the rest
  cascade-measure cases/ cases/ --scheme verse --ignore 90 -o tables/       <case>_image.nii.gz beside <case>_labels.nii.gz

In folders, labels belong to the scan with the same relative path and name (a DICOM series is a folder, labels of series/ are series.nii.gz
or series.dcm, a SEG); endings such as _labels, _levels, _seg and _image do not
count. OUT gets a table for each scan and levels.tsv with all of them. Masks of whole vertebrae are cut to bodies along the canal, and
refused without one. The columns are explained in docs/measurements.md.

exit status: 0 done, 1 a scan could not be measured (the others are done), 2 unknown option or value.
Research use only; not a medical device.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return console.run(lambda: _measure(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "cascade-measure",
        "Measure labelled spines: heights, slips, angles, canal, signal; one row a structure.",
        _EXAMPLES,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="scan, or folder of scans (searched recursively)")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="label file on the scan's grid, or folder of them")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="table (.tsv) for one scan, or folder for several")
    parser.add_argument("--scheme", choices=tuple(SCHEMES), help="numbers of the labels (default: as noted in the files, else recognised)")
    parser.add_argument("--ignore", type=_numbers, default=(), metavar="N,N", help="numbers to leave out, e.g. 90 or 60,90")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _measure(options: argparse.Namespace) -> int:
    for path in (options.image, options.labels):
        if not path.exists():
            raise InputError(f"{path}: expected a scan and its labels; there is no such file or folder")
    if options.image.is_dir() and options.labels.is_dir():
        return _measure_all(options)
    if options.labels.is_dir():
        raise InputError(f"{options.labels}: expected a label file for one scan; found a folder; give a folder of scans with it")
    _measure_one(options.image, options.labels, options.output, options)
    return console.DONE


def _measure_all(options: argparse.Namespace) -> int:
    from cascade.cohorts.find import ALL_TABLES
    from cascade.measure import combine_tables

    if options.output.is_file():
        raise InputError(f"{options.output}: expected a folder for several scans; found a file; give -o a folder")
    tables, failed = {}, False
    for name, image, labels in _pairs(options.image, options.labels, options.output):
        output = options.output / f"{name}.tsv"
        try:
            if labels is None:
                raise InputError(f"{image}: expected labels of the same name in {options.labels}; found none, or several")
            _measure_one(image, labels, output, options)
            tables[name.as_posix()] = output
        except CascadeError as problem:
            console.error(problem)
            failed = True
    if tables:
        combine_tables(tables, options.output / ALL_TABLES)
        console.tell(str(options.output / ALL_TABLES))
    return console.FAILED if failed or not tables else console.DONE


def _pairs(images: Path, labels: Path, output: Path) -> Iterator[tuple[Path, Path, Path | None]]:
    """Each scan of a folder with its name and its labels; None where there are none, or several."""
    from cascade.evaluation.pairs import stem
    from cascade.io.formats import DICOM, find_scans, find_suffix

    inside = labels if labels != images else None
    found_there = [(file, kind) for file, kind in find_scans(images, output) if inside is None or inside not in file.parents]
    scans = list(dict.fromkeys(file.parent if kind is DICOM else file for file, kind in found_there))
    if not scans:
        raise InputError(f"{images}: expected scans in this folder; found none")
    slices = {file for file, kind in found_there if kind is DICOM}
    others = [file for file in sorted(labels.rglob("*")) if find_suffix(file.name) and file not in scans and file not in slices]
    by_name: dict[Path, list[Path]] = {}
    for file in others:
        by_name.setdefault(file.relative_to(labels).with_name(_bare(stem(file))), []).append(file)
    for image in scans:
        name = image.relative_to(images).with_name(_bare(stem(image))) if image != images else Path(images.name)
        found = by_name.get(name, [])
        yield name, image, found[0] if len(found) == 1 else None


def _bare(name: str) -> str:
    from cascade.io.formats import stem

    return stem(name)


def _measure_one(image: Path, labels: Path, output: Path, options: argparse.Namespace) -> None:
    """Measure one scan and write its table; tell what was done to its labels."""
    from cascade.io.files import check_apart
    from cascade.io.formats import DICOM, format_of, read_labels_file, read_scan_file
    from cascade.measure import measure, save_table
    from cascade.measure.masks import ready
    from cascade.notices import Notice

    check_apart([output], [image, labels])
    scan, _ = read_scan_file(image)
    if format_of(labels) is DICOM:
        segments = _segments(labels, scan.grid)
        numbers, grid, scheme = segments.data, segments.grid, segments.scheme
    else:
        numbers, grid = read_labels_file(labels)
        if not scan.grid.matches(grid, tol_mm=0.01):
            raise InputError(f"{labels}: expected labels on the grid of {image}; found another; resample them by nearest neighbour first")
        scheme = _scheme(np.where(np.isin(numbers, options.ignore), 0, numbers), grid, labels, options.scheme)
    ready_labels, cut, note = ready(numbers, scan.grid, scheme, path=labels, ignore=options.ignore)
    if note:
        console.warn(labels, Notice("bodies-cut", None, note))
    save_table(measure(ready_labels, scan, cut), output)
    console.tell(str(output))


def _segments(labels: Path, grid: Grid) -> LabelMap:
    """The structures of a DICOM SEG, which names them."""
    from cascade.io.extras import extra

    with extra("dicom", str(labels)):
        from cascade.io.dicom_seg import read_seg_on
    return read_seg_on(labels, grid)


def _scheme(numbers: NDArray[Any], grid: Grid, labels: Path, wanted: str | None) -> LabelScheme:
    """The scheme that was said, noted in the file, or recognised; what was not said is told, and what speaks against what was said."""
    from cascade.io.schemes import doubt, recognised
    from cascade.notices import Notice

    if wanted:
        if words := doubt(numbers, grid, SCHEMES[wanted]):
            console.warn(labels, Notice("scheme-doubtful", None, words))
        return SCHEMES[wanted]
    if noted := _noted(labels):
        return noted
    reading = recognised(numbers, grid, str(labels))
    console.warn(labels, Notice("scheme-recognised", None, f"by order, distances and shapes it is {reading}; say another with --scheme"))
    return reading.scheme


def _noted(labels: Path) -> LabelScheme | None:
    """The scheme that `cascade` noted in a NIfTI file."""
    from cascade.io.formats import NIFTI, find_suffix
    from cascade.io.nifti import noted_scheme

    return noted_scheme(labels) if find_suffix(labels.name, NIFTI.suffixes) else None


if __name__ == "__main__":
    sys.exit(main())

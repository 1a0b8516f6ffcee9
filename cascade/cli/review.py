"""``cascade-review``: look at results, correct them, accept them, on a local page in the browser."""

from __future__ import annotations

import argparse
import getpass
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.loading import Loading
from cascade.cli.parser import Parser
from cascade.cohorts.find import Request, find_jobs, is_file_name
from cascade.errors import InputError, OutputError
from cascade.io.extras import extra
from cascade.io.formats import OUTPUT_SUFFIXES
from cascade.labels import SCHEMES
from cascade.notices import count_of

if TYPE_CHECKING:
    from cascade.review.items import Item

_EXAMPLES = """\
examples:
  cascade-review scans/                  a folder of scans: they are segmented while you look; everything goes to scans/review
  cascade-review out/                    what cascade-segment wrote: looking and accepting compute nothing
  cascade-review t2.nii.gz -o mine/      one scan
  cascade-review study/ -o mine/         a DICOM study

The page is on this machine only and needs no network. Ctrl-C ends it; the next call goes on where you stopped.
exit status: 0 ended, 1 it could not be started, 2 unknown option or value.
Research use only; not a medical device.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return console.run(lambda: _review(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "cascade-review",
        "Look at segmented scans, correct them with clicks and accept them, on a local page in the browser.",
        _EXAMPLES,
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="SCANS",
                        help="scan files, a folder of them, a DICOM study, or the OUT of an earlier cascade-segment")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for everything (default: SCANS/review)")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on this machine (default: a free one)")
    parser.add_argument("--no-open", action="store_true", help="print the address, but do not open a browser")
    parser.add_argument("--who", default=None, metavar="NAME", help="who reviews, for review.tsv (default: your login name)")
    parser.add_argument(
        "--format",
        choices=[suffix.removeprefix(".") for suffix in OUTPUT_SUFFIXES if suffix != ".dcm"],
        help="format of the labels (default: that of the scans)",
    )
    parser.add_argument("--series", metavar="NUMBER", help="DICOM series number or UID (default: the only series, or the sagittal T2)")
    parser.add_argument("--scheme", choices=tuple(SCHEMES), default="cascade", help="numbers of the labels (default: cascade)")
    Loading.add_options(parser)
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _review(options: argparse.Namespace) -> int:
    with extra("review", "cascade-review"):
        from cascade.review.server import served
    from cascade.review.app import dropped_items
    from cascade.review.desk import Desk

    folder = _output(options)
    items = dropped_items(folder, _items(options, folder))
    if not items:
        return console.FAILED
    desk = Desk(items, folder, Loading.of(options, options.weights).load, who=options.who or _login())
    with served(desk, port=options.port) as page:
        console.say(f"cascade: {count_of(len(items), 'scan')}; results go to {folder}; Ctrl-C ends")
        console.tell(page.address)
        if not options.no_open:
            webbrowser.open(page.address)
        page.wait()
    return console.DONE


def _output(options: argparse.Namespace) -> Path:
    first: Path = options.inputs[0]
    if options.output is None:
        options.output = (first if first.is_dir() else first.parent) / "review"
    if is_file_name(options.output) or (options.output.exists() and not options.output.is_dir()):
        raise OutputError(f"{options.output}: expected a folder for everything that is kept; found a file's name; choose another -o")
    folder: Path = options.output
    return folder


def _items(options: argparse.Namespace, folder: Path) -> list[Item]:
    from cascade.review.items import is_run, items_of_jobs, items_of_run

    runs = [path for path in options.inputs if path.is_dir() and is_run(path)]
    if runs and len(options.inputs) > 1:
        raise InputError(f"{runs[0]}: expected the OUT of an earlier run alone; found other inputs beside it; review them one by one")
    if runs:
        return items_of_run(runs[0])
    suffix = f".{options.format}" if options.format else None
    jobs, problems = find_jobs(Request(tuple(options.inputs), folder, suffix, options.series))
    for problem in problems:
        console.error(problem)
    return items_of_jobs(jobs, folder, options.scheme)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


if __name__ == "__main__":
    sys.exit(main())

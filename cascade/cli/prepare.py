"""``cascade-prepare``: a downloaded public data set in, training cases out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import permutations, product
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.parser import Parser
from cascade.labels import SCHEMES
from cascade.notices import count_of

if TYPE_CHECKING:
    from cascade.datasets.records import Record

_DATASETS = ("chu", "alkhalil", "spider", "mrspineseg", "myosegmentum", "folder")

_EXAMPLES = """\
examples:
  cascade-prepare chu chu/ -o cases/chu                       split, name, turn the reversed axis, check, tabulate
  cascade-prepare alkhalil alkhalil/ -o cases/alkhalil --sequence t2 --mapping files.tsv
  cascade-prepare spider spider/ -o cases/spider --bodies     whole vertebrae cut to bodies along the canal
  cascade-prepare folder mine/ -o cases/mine                  the label scheme of the tags is recognised and told, or refused
  cascade-prepare folder mine/ -o cases/mine --from-scheme verse
  cascade-prepare folder mine/ -o cases/mine --mapping tags.tsv
  cascade-train stage2 --data cases/chu --out runs/levels     the result, as it is

OUT gets <case>_image.nii.gz, <case>_labels.nii.gz, cases.tsv, problems.json, report.html and pictures/.
A mapping file is tab-separated with the columns "tag structure" or "file structure" (shell patterns; structures such as
L1, L1-L2, sacrum, canal, or ignore, or image). Run it again to go on after an interruption.

exit status: 0 done (warnings allowed), 1 a case was left out (the others are done), 2 unknown option or value.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not 0 <= options.val_share < 1:
        parser.error(f"argument --val-share: expected 0 to 1, got {options.val_share}")
    if options.from_scheme and (options.dataset != "folder" or options.mapping):
        parser.error("argument --from-scheme: only with DATASET folder, and without --mapping")
    return console.run(lambda: _prepare(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "cascade-prepare",
        "Turn a public data set, or a folder of your own, into training cases: one image and one label map a case.",
        _EXAMPLES,
    )
    fixed = [name for name, scheme in SCHEMES.items() if not scheme.from_below]
    parser.add_argument("dataset", choices=_DATASETS, metavar="DATASET", help=f"one of {', '.join(_DATASETS)}")
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the folder as it was downloaded and unpacked")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the cases")
    parser.add_argument("--sequence", help="t2, t1, t2_space, dixon, water, ... or all (default: the data set's usual one)")
    parser.add_argument("--scheme", choices=fixed, default="cascade-extended",
                        help="label numbers (default: cascade-extended, whose 1..9 are those of cascade)")  # fmt: skip
    parser.add_argument("--from-scheme", choices=tuple(SCHEMES), metavar="SCHEME",
                        help=f"folder: label scheme of the tags (default: recognised); one of {', '.join(SCHEMES)}")  # fmt: skip
    parser.add_argument("--mapping", type=Path, metavar="FILE", help="what tags or files mean; see below")
    parser.add_argument("--axes", choices=_all_axcodes(), metavar="CODES",
                        help="true directions of the stored axes, e.g. RPS, instead of the headers'")  # fmt: skip
    parser.add_argument("--bodies", action="store_true", help="cut whole vertebrae to bodies along the canal (spider)")
    parser.add_argument("--val-share", type=float, default=0.2, metavar="SHARE", help="share of the patients in split val (default: 0.2)")
    parser.add_argument("--seed", type=int, default=0, help="of the split (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at a time (default: 1)")
    parser.add_argument("--overwrite", action="store_true", help="replace outputs of other sources or options")
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _all_axcodes() -> list[str]:
    return ["".join(codes) for order in permutations(("RL", "AP", "SI")) for codes in product(*order)]


def _prepare(arguments: argparse.Namespace) -> int:
    from cascade.datasets import DATASETS, Options, prepare
    from cascade.datasets.names import StructureMap, read_mapping

    options = Options(
        sequence=arguments.sequence,
        scheme=arguments.scheme,
        axes=arguments.axes,
        bodies=arguments.bodies,
        mapping=read_mapping(arguments.mapping) if arguments.mapping else StructureMap(),
        from_scheme=arguments.from_scheme,
        val_share=arguments.val_share,
        seed=arguments.seed,
    )
    shown = _Progress(arguments.output)
    problems = prepare(
        DATASETS[arguments.dataset],
        arguments.source,
        arguments.output,
        options=options,
        jobs=arguments.jobs,
        overwrite=arguments.overwrite,
        progress=shown,
    )
    errors = sum(problem.severity == "error" for problem in problems)
    others = count_of(len(problems) - errors, "warning or note", "warnings and notes")
    console.tell(f"{arguments.output / 'cases.tsv'}\t{count_of(shown.done, 'case')}, {count_of(errors, 'error')}, {others}")
    return console.FAILED if errors or not shown.done else console.DONE


class _Progress:
    """One line on stdout for each case, one on stderr for each of its problems."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.done = 0

    def __call__(self, record: Record) -> None:
        for problem in record.problems:
            if problem.severity == "error":
                console.error(f"{problem.case}: {problem.code}: {problem.text}")
            elif problem.severity == "warning":
                console.warn(problem.case, problem)
            elif problem.code == "scheme-recognised":
                console.say(f"cascade: {problem.case}: {problem.text}")
        if record.state == "done":
            self.done += 1
            console.tell(f"{self._out / record.case}_labels.nii.gz\t{record.row['label_ids']}")


if __name__ == "__main__":
    sys.exit(main())

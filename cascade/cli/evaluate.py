"""``cascade-evaluate``: how well predictions agree with references."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade._version import __version__
from cascade.cli import console
from cascade.cli.parser import Parser
from cascade.errors import InputError
from cascade.labels import BODIES, SCHEMES, level_named

if TYPE_CHECKING:
    from cascade.evaluation.figures import Group
    from cascade.evaluation.results import CaseResult

_EXAMPLES = """\
examples:
  cascade-evaluate levels.nii.gz reference.nii.gz                   two files
  cascade-evaluate out/ references/ -o evaluation/                  two folders; files are paired by path or name
  cascade-evaluate out/ cases.tsv --split val -o evaluation/        a table of cases, as cascade-train takes it

A prediction belongs to the reference with the same relative path, the same <dataset>_<case>, or the same name; endings such as
_labels, _levels and _image do not count. Only labelled structures count. A prediction that is missing or on another grid counts as empty.
-o writes results.csv (one line a structure and case), summary.json (every figure with its interval) and report.html.

exit status: 0 done, 1 a case could not be used (the others are done), 2 unknown option or value.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return console.run(lambda: _evaluate(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "cascade-evaluate",
        "Compare predicted labels with reference labels: Dice, surface distances, volumes, detection, levels.",
        _EXAMPLES,
    )
    parser.add_argument("predictions", type=Path, metavar="PRED", help="label file, or folder, searched recursively")
    parser.add_argument("references", type=Path, metavar="REF", help="label file, folder, or table of cases (cases.tsv)")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT", help="folder for results.csv, summary.json and report.html")
    parser.add_argument(
        "--pred-scheme", choices=tuple(SCHEMES), help="numbers of the predictions (default: as noted in the files, else cascade)"
    )
    parser.add_argument("--ref-scheme", choices=tuple(SCHEMES),
                        help="numbers of references where the table names none (default: as noted in the files, else verse)")  # fmt: skip
    parser.add_argument("--split", help="only the cases of this split, and those without one")
    parser.add_argument(
        "--highest",
        type=lambda text: level_named(text) or text,
        choices=BODIES,
        default="T11",
        metavar="LEVEL",
        help="leave out what lies above this vertebra (default: T11)",
    )
    parser.add_argument("--version", action="version", version=f"cascade {__version__}")
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from cascade.evaluation.pairs import pair_up
    from cascade.evaluation.summary import evaluate_all

    schemes = {"prediction_scheme": options.pred_scheme, "reference_scheme": options.ref_scheme}
    pairs = pair_up(options.predictions, options.references, **schemes, split=options.split)
    evaluation = evaluate_all(tqdm(pairs, unit="case", file=sys.stderr, disable=None), options.highest, tell=_tell)
    for line in _lines(evaluation.groups):
        console.tell(line)
    if options.output:
        from cascade.evaluation.page import write_page
        from cascade.evaluation.results import write_table
        from cascade.evaluation.summary import write_summary

        write_table(evaluation.results, options.output / "results.csv")
        write_summary(evaluation, options.output / "summary.json")
        write_page(evaluation, options.output / "report.html")
        console.say(f"written to {options.output}: results.csv summary.json report.html")
    return console.DONE if evaluation.complete else console.FAILED


def _tell(result: CaseResult | InputError) -> None:
    if isinstance(result, InputError):
        console.error(result)
        return
    for notice in result.notices:
        if notice.code == "scored-as-empty":
            console.error(notice.text)
        else:
            console.warn(result.pair.file, notice)


def _lines(groups: Sequence[Group]) -> list[str]:
    """A table of the groups: one line each, columns aligned, with the confidence interval of Dice."""
    from cascade.evaluation.figures import HEADINGS

    rows = [["data set", "kind", "cases", "structures", "Dice", "95% interval", *(HEADINGS[name].text for name in list(HEADINGS)[1:])]]
    for group in groups:
        shown = {name: heading.show(group.figures[name].mean) for name, heading in HEADINGS.items()}
        dice = group.figures["dice"]
        interval = "-" if dice.low is None else f"{dice.low:.3f}-{dice.high:.3f}"
        rows.append([group.dataset, group.kind, str(group.cases), str(group.structures), shown.pop("dice"), interval, *shown.values()])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())

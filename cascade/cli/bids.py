"""``cascade-bids``: the command line of a BIDS App, ``bids_dir output_dir participant``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from cascade._version import __version__
from cascade.cli import segment
from cascade.cli.parser import Parser

_EXAMPLES = """\
examples:
  cascade-bids /data /data/derivatives/cascade participant
  cascade-bids /data /out participant --participant-label 01 02 --scheme verse

Options that are not listed here are those of cascade-segment.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the command; returns the exit status."""
    return segment.main(words_of(sys.argv[1:] if arguments is None else arguments))


def words_of(arguments: Sequence[str]) -> list[str]:
    """The words that ``cascade-segment`` is to be called with.

    Examples
    --------
    >>> words_of(["data", "out", "participant", "--participant-label", "01", "02", "--scheme", "verse"])
    ['data', '--bids', '-o', 'out', '--participant', '01', '--participant', '02', '--scheme', 'verse']
    """
    given, others = _parser().parse_known_args(arguments)
    people = [word for label in given.participant_label for word in ("--participant", label)]
    threads = ["--threads", given.n_cpus] if given.n_cpus else []
    return [str(given.bids_dir), "--bids", "-o", str(given.output_dir), *people, *threads, *others]


def _parser() -> Parser:
    parser = Parser("cascade-bids", "Segment the scans of a BIDS data set into derivatives.", _EXAMPLES)
    parser.add_argument("bids_dir", type=Path, help="the data set, with its dataset_description.json")
    parser.add_argument("output_dir", type=Path, help="folder of the derivatives")
    parser.add_argument("analysis_level", choices=("participant",), help="scans are segmented one by one; there is no analysis of a group")
    parser.add_argument("--participant-label", "--participant_label", nargs="+", default=[], metavar="LABEL",
                        help="these participants only, without sub-")  # fmt: skip
    parser.add_argument("--n-cpus", "--n_cpus", metavar="N", help="CPU threads (default: all cores)")
    parser.add_argument("--skip-bids-validation", "--skip_bids_validation", action="store_true", help="nothing is validated anyway")
    parser.add_argument("-v", "--version", action="version", version=f"cascade {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""``python -m cascade COMMAND``: the commands, where their scripts are not on the path."""

from __future__ import annotations

import argparse
import sys
from pkgutil import resolve_name

COMMANDS = ("segment", "bids", "review", "measure", "prepare", "train", "evaluate", "export")


def main(words: list[str]) -> int:
    """Do a command; returns the exit status. What is no command ends the process with status 2.

    >>> main(["segment", "--version"])
    Traceback (most recent call last):
    SystemExit: 0
    """
    parser = argparse.ArgumentParser("python -m cascade", "%(prog)s COMMAND [its words]", f"Commands: {', '.join(COMMANDS)}.")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="COMMAND --help tells more")
    command = parser.parse_args(words[:1]).command
    status: int = resolve_name(f"cascade.cli.{command}:main")(words[1:])
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

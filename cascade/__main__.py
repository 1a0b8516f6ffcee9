"""``python -m cascade COMMAND``: the commands, where their scripts are not on the path."""

from __future__ import annotations

import sys
from pkgutil import resolve_name

COMMANDS = ("segment", "bids", "review", "measure", "prepare", "train", "evaluate", "export")


def main(words: list[str]) -> int:
    """Do a command; returns the exit status.

    >>> main(["--help"])
    usage: python -m cascade segment|bids|review|measure|prepare|train|evaluate|export [words of the command]
    0
    """
    if words and words[0] in COMMANDS:
        status: int = resolve_name(f"cascade.cli.{words[0]}:main")(words[1:])
        return status
    asked = words[:1] in (["-h"], ["--help"])
    print(f"usage: python -m cascade {'|'.join(COMMANDS)} [words of the command]", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

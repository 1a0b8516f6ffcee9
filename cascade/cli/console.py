"""What the commands share: one grammar for errors, warnings and exits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from cascade.errors import CascadeError

DONE, FAILED, USAGE = 0, 1, 2


def say(text: str) -> None:
    """Print a line of progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def error(problem: CascadeError | str) -> None:
    """Print one line about an error to stderr."""
    say(f"cascade: error: {_one_line(str(problem))}")


def warn(file: Path | str, code: str, text: str) -> None:
    """Print one line about a warning to stderr."""
    say(f"cascade: warning: {file}: {code}: {_one_line(text)}")


def positive(text: str) -> int:
    """Parse an option's value as a whole number from 1; argparse turns the error into exit status 2."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(command: Callable[[], int]) -> int:
    """Call `command`; turn errors that are not bugs into one line and an exit status."""
    try:
        return command()
    except CascadeError as problem:
        error(problem)
        return FAILED
    except KeyboardInterrupt:
        say("cascade: stopped")
        return 130


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""The parser of every command: examples at the end of the help, no empty words, completion for shells."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from cascade.cli import console
from cascade.errors import MissingExtraError
from cascade.io.extras import extra

SHELLS = ("bash", "zsh", "tcsh")


class Parser(argparse.ArgumentParser):
    """A parser of a command.

    Parameters
    ----------
    prog, description : str
    examples : str
        Shown as they are, below the options.
    """

    def __init__(self, prog: str, description: str, examples: str) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, epilog=examples, formatter_class=layout)
        self.add_argument("--completion", action=_PrintCompletion, choices=SHELLS, help="print what a shell needs to complete this command")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse the words of a command line; an empty one ends the process with status 2, as it stands for the working folder otherwise."""
        words = list(sys.argv[1:] if args is None else args)
        for before, word in zip(["", *words], words, strict=False):
            if not word or (word.startswith("--") and word.endswith("=")):
                where = f"after {word or before}" if word or before else "as first word"
                self.error(f"expected a value {where}; found an empty one; is a variable unset?")
        return super().parse_known_args(words, namespace)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """End the process; whoever listens to the help may have gone."""
        console.flush()
        super().exit(status, message)


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: object, values: Any, __: str | None = None) -> None:
        try:
            with extra("completion", "argument --completion"):
                import shtab
        except MissingExtraError as problem:
            parser.exit(console.FAILED, f"cascade: error: {problem}\n")
        console.tell(shtab.complete(parser, values))
        parser.exit()

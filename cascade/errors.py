"""The errors that `cascade` raises on purpose.

Every message says what was found, in which file, what was expected, and the way out. Anything else that
escapes from the package is a bug.
"""

from __future__ import annotations


class CascadeError(Exception):
    """Base of every error that `cascade` raises on purpose.

    Examples
    --------
    >>> from cascade import segment
    >>> try:
    ...     segment("none.nii.gz", device="cpu")
    ... except CascadeError as error:
    ...     print(error)
    none.nii.gz: expected a file or folder; there is no such file
    """


class InputError(CascadeError):
    """A scan, label file or table cannot be used as it is."""


class OutputError(CascadeError):
    """A result cannot be written where it was asked for."""


class NoSpineError(InputError):
    """The scan was read, but no spine was found in it."""


class SchemeError(CascadeError):
    """Label values and label scheme do not go together."""


class NumberingError(CascadeError):
    """What the user said about the levels contradicts what was found."""


class CheckpointError(CascadeError):
    """A weight file or its StageSpec is missing, truncated, altered or not understood."""


class TrainingError(CascadeError):
    """Training cannot go on: the loss is no longer a number, or the state does not fit the recipe."""


class ExportError(CascadeError):
    """An exported network does not compute what the network computes."""


class RefusedError(InputError):
    """A case of a data set cannot be used; `code` says why in one word."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class WorkersError(CascadeError):
    """The processes or machines that scans were given to cannot be used, or are lost."""


class ReviewConflictError(CascadeError):
    """A scan was changed by somebody else since the one who changes it now has seen it."""


class NotAtHandError(CascadeError):
    """The networks' answer to a scan is needed and is not there yet; ask again when it is."""


class MissingExtraError(CascadeError):
    """An optional dependency is needed; the message names the extra that brings it."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or its name: for messages that quote it."""
    return (str(error).splitlines() or [type(error).__name__])[0][:120]

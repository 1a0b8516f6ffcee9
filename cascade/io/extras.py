"""Optional dependencies: imported where they are used, and named clearly where they are missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cascade.errors import MissingExtraError


@contextlib.contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Turn a failed import inside the block into an error that names the extra.

    Parameters
    ----------
    name : str
        The extra, as in ``pip install cascade-spine[name]``.
    purpose : str
        What it is needed for; starts the message.

    Raises
    ------
    MissingExtraError
        A package is not installed.

    Examples
    --------
    >>> with extra("dicom", "scan.zip"):
    ...     import no_such_package
    Traceback (most recent call last):
    cascade.errors.MissingExtraError: scan.zip: expected the package no_such_package; it is not installed; pip install cascade-spine[dicom]
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "cascade":
            raise
        raise MissingExtraError(
            f"{purpose}: expected the package {package}; it is not installed; pip install cascade-spine[{name}]"
        ) from error

"""Optional dependencies: imported where they are used, and named clearly where they are missing."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from cascade.errors import MissingExtraError

#: The modules of each extra without which it is of no use.
EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dicom": ("pydicom", "highdicom"),
        "itk": ("SimpleITK",),
        "review": ("starlette", "uvicorn"),
        "cluster": ("distributed",),
        "bundle": ("fire", "jsonschema"),
        "onnx": ("onnx", "onnxruntime"),
        "completion": ("shtab",),
    }
)
#: No index has the package; its extras are installed from where it came from.
HOW = 'in the clone of cascade: pip install -c constraints.txt ".[{}]"'
_MISSING = "{purpose}: expected the package {package}; it is not installed; {how}"


def missing(name: str) -> list[str]:
    """The modules of an extra that are not installed; nothing is imported."""
    return [module for module in EXTRAS[name] if importlib.util.find_spec(module) is None]


def require(name: str, purpose: str) -> None:
    """Raise the error of `extra` before anything that needs it is done; its parameters and errors are the same."""
    for package in missing(name):
        raise MissingExtraError(_MISSING.format(purpose=purpose, package=package, how=HOW.format(name)))


@contextlib.contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Turn a failed import inside the block into an error that names the extra.

    Parameters
    ----------
    name : str
        The extra, as in ``pip install ".[name]"``.
    purpose : str
        What it is needed for; starts the message.

    Raises
    ------
    MissingExtraError
        A package is not installed.

    Examples
    --------
    >>> with extra("itk", "t2.mha"):  # doctest: +ELLIPSIS
    ...     import no_such_package
    Traceback (most recent call last):
    cascade.errors.MissingExtraError: t2.mha: expected the package no_such_package; it is not installed; in the clone of cascade: ...
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package == "cascade":
            raise
        raise MissingExtraError(_MISSING.format(purpose=purpose, package=package, how=HOW.format(name))) from error

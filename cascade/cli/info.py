"""``cascade-segment --info``: what is installed, and what it can do."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from cascade._version import __version__
from cascade.cli.loading import Loading
from cascade.errors import CheckpointError
from cascade.io.extras import EXTRAS, HOW, missing
from cascade.io.formats import FORMATS
from cascade.labels import SCHEMES

_PACKAGES = ("torch", "monai", "onnxruntime", "numpy", "nibabel")


def facts(loading: Loading) -> dict[str, Any]:
    """All of it as plain types: version, packages, weights with their identities, schemes with their numbers, formats, extras.

    Raises
    ------
    CheckpointError
        The weights are not there, or their specs were altered.
    """
    from cascade.networks.checkpoint import packaged_weights
    from cascade.networks.spec import CASCADE_STAGES

    folder = loading.weights or packaged_weights()
    return {
        "version": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "weights": {"folder": str(folder), "checkpoint_sha256": {stage: _identity(folder / f"{stage}.json") for stage in CASCADE_STAGES}},
        "schemes": {name: dict(scheme.ids) for name, scheme in SCHEMES.items()},
        "formats": [
            {"title": form.title, "reads": list(form.suffixes) if form.read_scan else [], "writes": list(form.outputs), "extra": form.extra}
            for form in FORMATS
        ],
        "extras": {name: not missing(name) for name in EXTRAS},
    }


def as_json(known: dict[str, Any]) -> str:
    """`facts` for programs."""
    return json.dumps(known, indent=2)


def as_text(known: dict[str, Any]) -> str:
    """`facts` for people."""
    packages = ", ".join(f"{name} {version or 'is missing'}" for name, version in known["packages"].items())
    lines = [f"cascade {known['version']}; Python {known['python']}, {packages}", f"weights in {known['weights']['folder']}"]
    lines += [f"  {stage:14} {identity}" for stage, identity in known["weights"]["checkpoint_sha256"].items()]
    lines += ["formats", *(_format_line(form) for form in known["formats"])]
    lines += ["extras", *(f"  {name:11} {'installed' if there else _HOW.format(name)}" for name, there in known["extras"].items())]
    lines += ["label schemes"]
    lines += [
        f"  {name:19} {' '.join(f'{structure}={number}' for structure, number in ids.items())}" for name, ids in known["schemes"].items()
    ]
    return "\n".join(lines)


_HOW = f"not installed; {HOW}"


def _format_line(form: dict[str, Any]) -> str:
    does = [f"{verb} {' '.join(form[verb])}" for verb in ("reads", "writes") if form[verb]]
    return f"  {form['title']:24} {', '.join(does)}" + (f" (extra {form['extra']})" if form["extra"] else "")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _identity(spec: Path) -> str:
    from cascade.io import schema
    from cascade.networks.spec import StageSpec

    try:
        return StageSpec.from_json(schema.read_text(spec), str(spec)).checkpoint_sha256
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{spec}: expected the spec of a checkpoint; it cannot be read ({error}); give another --weights") from error

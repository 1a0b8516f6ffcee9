"""Running ``cascade-segment`` from another program: the command, the clicks it takes, the result it leaves.

Only the standard library is used, so that Slicer's Python needs nothing, and nothing of Slicer, so that it can be tested without.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

#: What a point can be, in the order of the menu: what a click can say besides a level, then the levels from head to foot.
WORDS = ("background", "body", "disc", "split", "join")
LEVELS = (
    *("T8", "T8-T9", "T9", "T9-T10", "T10", "T10-T11", "T11", "T11-T12", "T12", "T12-L1"),
    *("L1", "L1-L2", "L2", "L2-L3", "L3", "L3-L4", "L4", "L4-L5", "L5", "L5-S1", "L5-L6", "L6", "L6-S1", "sacrum"),
)
HINTS = {
    "background": "no structure here; well inside one: the whole of it goes",
    "body": "a vertebra whose name does not matter",
    "disc": "a disc whose name does not matter",
    "split": "two vertebrae meet here",
    "join": "this piece and that of the next 'join' are one",
}
#: What Slicer sets for its own Python and libraries, and what would break those of the command.
_SLICERS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "QT_PLUGIN_PATH", "SSL_CERT_FILE")
COMMAND = "cascade-segment"


class CascadeSpineError(Exception):
    """The command cannot be run, or it failed; the message is for the user."""


@dataclass(frozen=True)
class Files:
    """Where one run reads and writes.

    Parameters
    ----------
    folder : Path
        A folder of its own.
    """

    folder: Path

    @property
    def scan(self) -> Path:
        """The volume, as Slicer saves it."""
        return self.folder / "scan.nii.gz"

    @property
    def segmentation(self) -> Path:
        """Named, coloured and coded, as Slicer loads it."""
        return self.folder / "levels.seg.nrrd"

    @property
    def json(self) -> Path:
        """Levels, numbering, warnings."""
        return self.folder / "levels.json"

    @property
    def clicks(self) -> Path:
        """Points, as the command takes them."""
        return self.folder / "clicks.json"


@dataclass(frozen=True)
class Result:
    """What is to be shown of a run.

    Parameters
    ----------
    levels : tuple of mapping
        ``name``, ``volume_ml``, ``confidence``, from head to foot.
    warnings : tuple of (str, str)
        Code and text.
    confidence : float
        Of the numbering.
    """

    levels: tuple[Mapping[str, Any], ...]
    warnings: tuple[tuple[str, str], ...]
    confidence: float

    @property
    def text(self) -> str:
        """Levels and warnings, a line each."""
        lines = [f"{level['name']}: {level['volume_ml']:.1f} ml, confidence {_rounded_down(level['confidence'])}" for level in self.levels]
        return "\n".join([*(f"{code}: {text}" for code, text in self.warnings), *lines])


def _rounded_down(confidence: float) -> str:
    """So that only what is certain reads as 1."""
    return f"{math.floor(100 * confidence + 1e-6) / 100:.2f}"


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Parameters
    ----------
    device : str
    known : mapping of str to str
        ``lowest``, ``highest`` or ``count`` and its value.
    """

    device: str = "auto"
    known: Mapping[str, str] = field(default_factory=dict)


def find_command(chosen: str = "") -> str:
    """The program: the one chosen in the settings, or the one on the path.

    Raises
    ------
    CascadeSpineError
        There is none.
    """
    found = shutil.which(chosen or COMMAND)
    if not found:
        raise CascadeSpineError(
            f"{chosen or COMMAND}: expected the command of cascade; it is not there. In a clone of cascade type "
            "'python -m venv spine', then 'spine/bin/pip install -c constraints.txt \".[itk]\"', and choose spine/bin/cascade-segment here."
        )
    return found


def build_command(program: str, files: Files, options: Optional[Options] = None, *, with_clicks: bool = False) -> list[str]:
    """The words of the command.

    Examples
    --------
    >>> build_command("cascade-segment", Files(Path("run")), Options(known={"lowest": "L4"}), with_clicks=True)[3:]
    ['run/levels.seg.nrrd', '--extended', '--json', 'run/levels.json', '--device', 'auto', '--lowest', 'L4', '--clicks', 'run/clicks.json']
    """
    options = options or Options()
    words = [program, str(files.scan), "-o", str(files.segmentation), "--extended", "--json", str(files.json), "--device", options.device]
    for name, value in options.known.items():
        words += [f"--{name}", value]
    return [*words, "--clicks", str(files.clicks)] if with_clicks else words


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Slicer set for itself; what it keeps as ``SLICER_ORIGINAL_...`` comes back."""
    clean = {key: value for key, value in environment.items() if key not in _SLICERS_OWN and not key.startswith("SLICER_ORIGINAL_")}
    for key in _SLICERS_OWN:
        if original := environment.get(f"SLICER_ORIGINAL_{key}"):
            clean[key] = original
    return clean


def run(command: list[str], wait: Optional[Callable[[], None]] = None) -> list[tuple[str, str]]:
    """Run the command to its end; return its alarms and warnings.

    Parameters
    ----------
    command : list of str
    wait : callable, optional
        Called about ten times a second meanwhile, to keep a window alive.

    Raises
    ------
    CascadeSpineError
        It could not be started or failed; the message is its own.
    """
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=clean_environment(os.environ)
        )
    except OSError as error:
        raise CascadeSpineError(f"{command[0]}: cannot be started ({error.strerror or error})") from error
    while True:
        try:
            _, said = process.communicate(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if wait:
                wait()
    if process.returncode:
        raise CascadeSpineError("\n".join(_messages(said, "error")) or said.strip()[-2000:] or f"exit status {process.returncode}")
    return [parse_warning(line) for rank in ("alarm", "warning") for line in _messages(said, rank)]


def _messages(said: str, kind: str) -> list[str]:
    prefix = f"cascade: {kind}: "
    return [line[len(prefix) :] for line in said.splitlines() if line.startswith(prefix)]


def parse_warning(line: str) -> tuple[str, str]:
    """Code and text of a line of warning, without the file.

    >>> parse_warning("C:/t 2/scan.nii.gz: no-sacrum-in-view: the sacrum is not in view: look")
    ('no-sacrum-in-view', 'the sacrum is not in view: look')
    """
    words = line.split(": ")
    at = next((i for i, word in enumerate(words[1:-1], start=1) if word and " " not in word and word == word.lower()), None)
    return ("", line) if at is None else (words[at], ": ".join(words[at + 1 :]))


def read_result(path: Path) -> Result:
    """Read the JSON of a run.

    Raises
    ------
    CascadeSpineError
        It is not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        warnings = tuple((notice["code"], notice["text"]) for notice in content["warnings"])
        return Result(tuple(content["levels"]), warnings, float(content["numbering"]["confidence"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CascadeSpineError(f"{path}: expected the JSON of {COMMAND}; it cannot be read ({error})") from error


def write_clicks(points: Iterable[tuple[str, tuple[float, float, float]]], path: Path) -> int:
    """Write points as clicks; return how many there are.

    Parameters
    ----------
    points : iterable of (str, (3,) tuple of float)
        Label and place in RAS mm, as Slicer's scene has it.
    path : Path
    """
    clicks = [{"position_mm": [float(v) for v in place], "structure": label_to_structure(label)} for label, place in points]
    path.write_text(json.dumps(clicks, indent=2), encoding="utf-8")
    return len(clicks)


def label_to_structure(label: str) -> str:
    """The structure that a point's label says.

    Raises
    ------
    CascadeSpineError
        It says none.
    """
    plain = label.strip()
    for known in (*WORDS, *LEVELS):
        if plain.lower() in (known.lower(), known.lower().replace("-", "/")):
            return known
    raise CascadeSpineError(f"expected points with the names of levels, or {', '.join(WORDS)}; found {label!r}; rename the point")

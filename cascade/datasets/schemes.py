"""In which scheme are the tags of somebody's folder? Told by its owner, noted in the files, or recognised, never guessed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from cascade.datasets.axes import restated
from cascade.datasets.base import Options
from cascade.datasets.masks import name_tags, read_tags
from cascade.datasets.problems import Log
from cascade.datasets.reading import ScanFile, read_scan
from cascade.errors import InputError, RefusedError
from cascade.io.formats import NIFTI, find_suffix
from cascade.io.nifti import noted_scheme
from cascade.io.schemes import Reading, distinct, doubt, known_numbers, leans, look_at, readings
from cascade.labels import SCHEMES, LabelScheme, get_scheme
from cascade.volume import Grid, LabelMap, Volume

_WAY_OUT = "say it with --from-scheme, or what each tag means with --mapping"
_HIGHEST_TAG = 65535


def common_scheme(files: Iterable[ScanFile], options: Options) -> LabelScheme | None:
    """The scheme that was said; else the one that all label files fit, as far as they fit any; None if there is no such file.

    Raises
    ------
    InputError
        Several readings fit all files, or none does although each file has one.
    """
    if options.from_scheme:
        return get_scheme(options.from_scheme)
    found = {file.path: fitting for file in files if (fitting := _readings_of(file, options))}
    left = dict.fromkeys(SCHEMES)
    for path, fitting in found.items():
        names = {reading.scheme.name for reading in fitting}
        if not names & set(left):
            other = next(file for file, earlier in found.items() if not names & {reading.scheme.name for reading in earlier})
            raise InputError(
                f"{path}: expected tags in the label scheme of {other.name}, which are {_or(found[other])}; "
                f"found {_or(fitting)}; keep the two in folders of their own, or {_WAY_OUT}"
            )
        left = {name: None for name in left if name in names}
    if not found:
        return None
    _check_distinct(found, left)
    return SCHEMES[next(iter(left))]


def labels_in_scheme(image: Volume, file: ScanFile, scheme: LabelScheme | None, options: Options, log: Log) -> LabelMap:
    """Read tags in a scheme, and say how it is known.

    Raises
    ------
    RefusedError
        The tags do not lie as the recognised scheme says, or follow none that is known; or as for `read_tags`.
    """
    every = {number: name for known in map(known_numbers, SCHEMES.values()) for number, name in known.items()}
    tags = known_numbers(scheme) if scheme else every
    values = read_tags(image, file, tags, log)
    grid, name = _stated(image.grid, options), file.path.name
    if scheme and options.from_scheme:
        if words := doubt(values, grid, scheme):
            log.add("scheme-doubtful", f"{name}: {words}")
        return name_tags(values, image.grid, tags)
    tagged = look_at(values, grid)
    own = readings(tagged, [scheme]) if scheme else ()
    if leans(tagged):
        raise RefusedError("axes-implausible", f"{name}: expected a chain from head to foot; by the header it lies across; set --axes")
    if scheme is None or not (own or _noted(file) == scheme):
        shown = " ".join(map(str, sorted(tagged)[:12]))
        wanted = f"label scheme {scheme.name}, as the other cases" if scheme else "a label scheme that is known"
        raise RefusedError("scheme-unknown", f"{name}: expected tags of {wanted}; found {shown}, which lie otherwise; {_WAY_OUT}")
    how = "as noted in the file" if _noted(file) == scheme else "by order, distances and shapes"
    log.add("scheme-recognised", f"{name}: tags of {own[0] if own else scheme.name}, {how}")
    return name_tags(values, image.grid, tags)


def _readings_of(file: ScanFile, options: Options) -> tuple[Reading, ...]:
    """What the tags of a file can mean; nothing for one that cannot be read, which is told when it is its turn."""
    try:
        volume, _ = read_scan(file)
    except InputError:
        return ()
    values = np.rint(volume.data)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > _HIGHEST_TAG:
        return ()
    tagged = look_at(values.astype(np.uint16), _stated(volume.grid, options))
    noted = _noted(file)
    if noted and (known := {number: name for number in tagged if (name := known_numbers(noted).get(number))}):
        return (Reading(noted, known, (), upside_down=False),)
    return readings(tagged)


def _noted(file: ScanFile) -> LabelScheme | None:
    return noted_scheme(file.path) if find_suffix(file.path.name, NIFTI.suffixes) else None


def _stated(grid: Grid, options: Options) -> Grid:
    return restated(grid, options.axes) if options.axes else grid


def _check_distinct(found: dict[Path, tuple[Reading, ...]], schemes: Iterable[str]) -> None:
    """Refuse schemes that say different things about some file."""
    for path, fitting in found.items():
        left = distinct(reading for reading in fitting if reading.scheme.name in schemes)
        if len(left) > 1:
            raise InputError(f"{path}: expected tags of one label scheme; they may be {_or(left)}; {_WAY_OUT}")


def _or(found: Iterable[Reading]) -> str:
    return " or ".join(map(str, distinct(found)))

"""Label files of any tool made ready to be measured: every number accounted for, whole vertebrae cut to bodies."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.errors import InputError
from cascade.io.schemes import BESIDE
from cascade.labels import PARTLY, SPIDER, LabelScheme
from cascade.measure.whole import cut_bodies, whole_vertebrae
from cascade.volume import Grid, LabelMap, label_dtype


def ready(
    numbers: NDArray[Any], grid: Grid, scheme: LabelScheme, *, path: Path, ignore: Collection[int] = ()
) -> tuple[LabelMap, tuple[str, ...], str]:
    """Turn the numbers of a label file into labels that can be measured.

    Parameters
    ----------
    numbers : array of int, shape = grid.shape
    grid : Grid
    scheme : LabelScheme
    path : Path
        For messages.
    ignore : collection of int
        Numbers to leave out.

    Returns
    -------
    labels : LabelMap
        Of bodies, discs, sacrum and canal.
    cut : tuple of str
        Vertebrae that the file says are only partly in view.
    note : str
        What was done to whole vertebrae; empty if there are none.

    Raises
    ------
    InputError
        A number has no meaning in the scheme, or vertebrae are whole and no canal is labelled to cut them along.
    """
    present = {int(value) for value in np.unique(numbers)} - {0}
    partly = {value: value - PARTLY for value in present if scheme.name == SPIDER.name and value - PARTLY in scheme.ids.values()}
    partly = {value: whole for value, whole in partly.items() if value not in scheme.ids.values()}
    dropped = BESIDE.get(scheme.name, frozenset()) | set(ignore)
    unknown = sorted(present - set(scheme.ids.values()) - dropped - set(partly))
    if unknown:
        raise InputError(
            f"{path}: expected numbers of scheme {scheme.name!r}; found {' '.join(map(str, unknown[:12]))}, which it does not know; "
            "give the scheme that the file has (--scheme), or the numbers to leave out (--ignore)"
        )
    table = np.zeros(max(present, default=0) + 1, dtype=label_dtype(scheme))
    for value in present - (dropped - set(scheme.ids.values())) - set(ignore):
        table[value] = partly.get(value, value)
    labels = LabelMap(table[numbers], grid, scheme)
    if not labels.values:
        raise InputError(f"{path}: expected vertebrae or discs of scheme {scheme.name!r}; found none")
    bodies, note = _to_bodies(labels, path)
    return bodies, tuple(scheme.structure(value) for value in partly.values()), note


def _to_bodies(labels: LabelMap, path: Path) -> tuple[LabelMap, str]:
    whole = whole_vertebrae(labels)
    if not whole:
        return labels, ""
    cut = cut_bodies(labels)
    if cut is None:
        raise InputError(
            f"{path}: expected vertebral bodies, or a canal to cut whole vertebrae along; found whole vertebrae ({' '.join(whole)}) and no "
            "canal; heights, slips and depths of whole vertebrae mean nothing; label the canal, or segment with cascade-segment"
        )
    bodies, before_ml, after_ml = cut
    return bodies, f"whole vertebrae ({before_ml:.0f} ml) cut to bodies ({after_ml:.0f} ml) along the canal"

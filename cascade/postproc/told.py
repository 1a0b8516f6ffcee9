"""What is told about what is not in the output: pieces that were left out, and structures that a label scheme has no number for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cascade.labels import CASCADE, SACRUM, LabelScheme, rank
from cascade.notices import Notice

if TYPE_CHECKING:
    from cascade.postproc.identify import Identified
    from cascade.postproc.instances import Instance


def about_strays(strays: Sequence[Instance], bodies: Sequence[Instance], named: Mapping[str, Instance]) -> Notice:
    """The notice of what was left out: a warning if the centre of a piece lies within a body's length of that of a named body or disc.

    Parameters
    ----------
    strays : sequence of Instance
        At least one.
    bodies : sequence of Instance
        Their median length counts.
    named : mapping of str to Instance
    """
    length_mm = float(np.median([body.length_mm for body in bodies]))
    chain_mm = np.array([instance.centroid_mm for name, instance in named.items() if name != SACRUM])
    near = any((np.linalg.norm(chain_mm - stray.centroid_mm, axis=1) < length_mm).any() for stray in strays)
    kinds = ", ".join(sorted({stray.kind for stray in strays}))
    text = f"{len(strays)} component(s) {'beside' if near else 'off'} the chain were left out ({kinds})"
    return Notice("stray-component-removed", None, text, "warning" if near else "note")


def about_labels(found: Identified, scheme: LabelScheme) -> Iterator[Notice]:
    """The notices of `found` but those of cuts through what the scheme leaves out, and one about what it leaves out.

    Of the default scheme everybody knows that it has nine structures; it says nothing of the others.
    """
    yield from (notice for notice in found.notices if notice.code != "cut-by-border" or (notice.level or "") in scheme)
    missing = not_in_scheme(found.structures, scheme)
    if missing and scheme != CASCADE:
        yield Notice("structures-not-in-scheme", None, f"scheme {scheme.name} has no number for {', '.join(missing)}")


def not_in_scheme(structures: Iterable[str], scheme: LabelScheme) -> tuple[str, ...]:
    """The structures that a scheme has no number for, from head to foot.

    >>> not_in_scheme(["sacrum", "L5", "T12"], CASCADE)
    ('T12', 'sacrum')
    """
    return tuple(sorted((name for name in structures if name not in scheme), key=rank))

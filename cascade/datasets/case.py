"""One case, from the source's files to an image and a label map that can be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.datasets.axes import check_axes, order_is_monotone, restated
from cascade.datasets.base import DataSet, Options, RawCase
from cascade.datasets.masks import read_volume, warn_scattered
from cascade.datasets.problems import Log, Problem
from cascade.errors import RefusedError
from cascade.labels import BODIES, CANAL, SACRUM, LabelScheme, disc_below, get_scheme, in_order, is_disc, rank, skipped
from cascade.notices import count_of
from cascade.volume import Grid, LabelMap, Volume

#: Bodies that other bodies or the sacrum lie below: left out, they would be taken for background.
_INSIDE = ("T13", "L6")


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """What is written for a case.

    Parameters
    ----------
    image, labels : Volume, LabelMap
        On one grid, axes along RAS.
    unlabelled : tuple of str
        What is visible, or may be, and not labelled.
    problems : tuple of Problem
    """

    image: Volume
    labels: LabelMap
    unlabelled: tuple[str, ...]
    problems: tuple[Problem, ...]


def prepare_case(dataset: DataSet, raw: RawCase, options: Options) -> PreparedCase:
    """Read, unify, check and renumber one case.

    Raises
    ------
    InputError
        It cannot be used; `RefusedError` has the code, other errors are about files that cannot be read.
    """
    log = Log(raw.name, list(raw.problems))
    image = _finite(read_volume(raw.image, log), raw, log)
    labels = dataset.draft(raw, image, options, log)
    if options.axes:
        grid = restated(image.grid, options.axes)
        image, labels = Volume(image.data, grid), LabelMap(labels.data, grid, labels.scheme)
    image, labels = check_axes(image, labels, dataset.named, log, repair=options.axes is None)
    labels = dataset.finish(labels, options, log)
    image, labels = _with_position(image, labels, log)
    _check_levels(labels, raw, log)
    unlabelled = what_is_unlabelled(labels)
    labels, dropped = _renumbered(labels, get_scheme(options.scheme), log)
    return PreparedCase(image, labels, (*unlabelled, *dropped), tuple(log.problems))


def what_is_unlabelled(labels: LabelMap) -> tuple[str, ...]:
    """Structures that are, or may be, in view without a label.

    Levels that the labels pass over by name; ``bodies``, ``discs``, ``sacrum``, ``canal`` where there is none of them; the
    lumbosacral disc where other discs are labelled; ``above X`` for the levels above the highest labelled one X, ``below X`` for
    those below if the labels end before the sacrum.
    """
    names = in_order(labels.structures)
    bodies = [n for n in names if n in BODIES]
    discs = [n for n in names if is_disc(n)]
    found = list(skipped(names))
    lowest = bodies[-1] if bodies else None
    if discs and lowest in ("L5", "L6") and disc_below(lowest) not in discs:
        found.append(disc_below(lowest))
    found += [word for word, there in (("bodies", bodies), ("discs", discs)) if not there]
    found += [word for word in (SACRUM, CANAL) if word not in labels.structures]
    found.append(f"above {names[0]}")
    if rank(names[-1]) < rank("L5"):
        found.append(f"below {names[-1]}")
    return tuple(dict.fromkeys(found))


def _finite(image: Volume, raw: RawCase, log: Log) -> Volume:
    finite = np.isfinite(image.data)
    if not finite.any() or image.data[finite].min() == image.data[finite].max():
        raise RefusedError("image-constant", f"{raw.image.path.name}: expected an image; no two voxels differ")
    if finite.all():
        return image
    log.add("not-finite", f"{raw.image.path.name}: {1 - finite.mean():.2%} of the voxels")
    return Volume(np.where(finite, image.data, image.data[finite].min()), image.grid)


def _with_position(image: Volume, labels: LabelMap, log: Log) -> tuple[Volume, LabelMap]:
    """A header with its origin at 0 and straight axes was never given a position: put the world's origin into the scan's middle."""
    affine = image.grid.vox2world
    corner = np.array([0 if step > 0 else n - 1 for step, n in zip(np.diag(affine), image.grid.shape, strict=False)])
    straight = np.allclose(affine[:3, :3], np.diag(np.diag(affine)[:3]), atol=1e-6)
    if not straight or np.abs(image.grid.to_world(corner)).max() > 1e-6:
        return image, labels
    moved = affine.copy()
    moved[:3, 3] = -affine[:3, :3] @ ((np.asarray(image.grid.shape) - 1) / 2)
    log.add("position-unknown", "the origin is at the first voxel")
    grid = Grid(image.grid.shape, moved)
    return Volume(image.data, grid), LabelMap(labels.data, grid, labels.scheme)


def _check_levels(labels: LabelMap, raw: RawCase, log: Log) -> None:
    warn_scattered(labels, log)
    bodies = [n for n in labels.structures if n in BODIES]
    if raw.bodies is not None and len(bodies) != raw.bodies:
        log.add(
            "body-count",
            f"the data set announces {count_of(raw.bodies, 'body', 'bodies')}; found {len(bodies)}; the lowest is taken for L5",
        )
    if not order_is_monotone(labels):
        log.add("name-order", f"by height the order of {' '.join(sorted(bodies, key=rank)) or 'the discs'} is another")


def _renumbered(labels: LabelMap, scheme: LabelScheme, log: Log) -> tuple[LabelMap, tuple[str, ...]]:
    """Into the wanted scheme; returns also what has no number there."""
    lost = tuple(n for n in in_order(labels.structures) if n not in scheme)
    inside = [name for name in lost if name in _INSIDE]
    if inside:
        raise RefusedError("level-not-in-scheme", f"scheme {scheme.name} has no {' '.join(inside)}; use --scheme cascade-extended or verse")
    if lost:
        log.add("structures-not-in-scheme", f"scheme {scheme.name} has no {' '.join(lost)}")
    result = labels.to_scheme(scheme, lost="drop")
    if not result.values:
        raise RefusedError("no-labels", f"scheme {scheme.name} has a number for none of {' '.join(lost)}; choose another --scheme")
    canal = (CANAL,) if CANAL in labels.structures and CANAL not in scheme else ()
    return result, (*lost, *canal)

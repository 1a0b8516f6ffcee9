"""From label files of any kind to one label map on the image's grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.datasets.problems import Log
from cascade.datasets.reading import ScanFile, read_scan
from cascade.errors import RefusedError
from cascade.labels import VERSE, LabelScheme
from cascade.notices import count_of
from cascade.volume import Grid, LabelMap, Volume, label_dtype, resample_array

#: Whatever structures the data sets name, it numbers them: drafts are kept in this scheme until they are written.
DRAFT_SCHEME: LabelScheme = VERSE
#: A mask with grey values is thresholded if at least this share of its voxels above half is at its maximum (solid inside, soft edge).
SOLID_SHARE = 0.5
#: Tags are taken for blended if more than this share of the labelled voxels lies outside the largest piece of its tag.
SCATTER_LIMIT = 0.10
#: The same for a single structure is worth a warning.
SCATTER_WARNING = 0.05
#: A label that loses more than this share of its volume on the way to the image's grid lies elsewhere.
LOST_SHARE = 0.05
OUTSIDE_SHARE = 0.5
_TOUCHING = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class MaskFile:
    """A label file that holds one structure."""

    scan: ScanFile
    structure: str


def labels_from_tags(image: Volume, file: ScanFile, tags: Mapping[int, str | None], log: Log) -> LabelMap:
    """Read one file with a tag per structure: `read_tags`, then `name_tags`."""
    return name_tags(read_tags(image, file, tags, log), image.grid, tags)


def read_tags(image: Volume, file: ScanFile, tags: Mapping[int, str | None], log: Log) -> NDArray[np.uint16]:
    """Read one file with a tag per structure onto the image's grid.

    Parameters
    ----------
    image : Volume
    file : ScanFile
    tags : mapping of int to (str or None)
        Tags that are known; None for those that are left out on purpose.
    log : Log

    Returns
    -------
    array of uint16, shape = image.grid.shape

    Raises
    ------
    RefusedError
        Tags were blended by an interpolation, lie outside the image, or none is known.
    """
    values = _whole_numbers(_on_grid(read_volume(file, log), image.grid, file, log), file)
    _check_blended(values, tags, file)
    present = [int(v) for v in np.flatnonzero(np.bincount(values.ravel())) if v]
    unknown = [v for v in present if v not in tags]
    if unknown:
        amount = np.isin(values, unknown).sum() * image.grid.voxel_mm3 / 1000
        log.add("unknown-tags", f"{file.path.name}: no structure for {_few(unknown)} ({amount:.1f} ml); name them with --mapping")
    if not any(tags.get(v) for v in present):
        raise RefusedError("no-labels", f"{file.path.name}: expected tags {_few(sorted(tags))}; found {_few(present) or 'only background'}")
    return values


def name_tags(values: NDArray[np.uint16], grid: Grid, tags: Mapping[int, str | None]) -> LabelMap:
    """Renumber tags into the scheme of drafts; those without a structure become background. Two tags may mean one structure."""
    table = np.zeros(int(values.max(initial=0)) + 1, dtype=label_dtype(DRAFT_SCHEME))
    for tag, structure in tags.items():
        if structure and tag < len(table):
            table[tag] = DRAFT_SCHEME[structure]
    return LabelMap(table[values], grid, DRAFT_SCHEME)


def labels_from_masks(image: Volume, masks: tuple[MaskFile, ...], log: Log) -> LabelMap:
    """Read one file a structure and unify them; a voxel in two masks goes to the smaller structure.

    Raises
    ------
    RefusedError
        No mask is left.
    """
    found: dict[str, NDArray[np.bool_]] = {}
    for mask in masks:
        if mask.structure in found:
            log.add("duplicate-mask", f"{mask.scan.path.name}: {mask.structure} was already read from another file")
            continue
        inside = read_mask(image, mask.scan, log)
        if inside is not None:
            found[mask.structure] = inside
    if not found:
        raise RefusedError("no-labels", f"expected masks of single structures; none of {len(masks)} can be used")
    return unify(found, image.grid, log)


def read_mask(image: Volume, file: ScanFile, log: Log) -> NDArray[np.bool_] | None:
    """Read a mask of one structure onto the image's grid; None if it is empty or grey throughout."""
    raw = read_volume(file, log)
    solid = threshold(raw.data, file.path.name, log)
    if solid is None:
        return None
    return _on_grid(Volume(solid.astype(np.float32), raw.grid), image.grid, file, log) > 0.5


def read_volume(file: ScanFile, log: Log) -> Volume:
    """Read a volume; a note of its header or a file that cannot be read goes to the log, or ends the case."""
    volume, notices = read_scan(file)
    for notice in notices:
        log.add(notice.code, f"{file.path.name}: {notice.text}")
    return volume


def threshold(values: NDArray[np.float32], name: str, log: Log) -> NDArray[np.bool_] | None:
    """Tell a mask from a grey one: at most one value beside 0, else half the maximum if it is solid inside.

    A mask resized with interpolation keeps its maximum inside and gets grey edges; an image has grey inside.

    Returns
    -------
    array of bool, or None
        None if the mask is empty or grey throughout; the log says which.
    """
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    levels = np.unique(finite)
    if len(levels) == 1 or levels.max() <= 0:
        log.add("mask-empty", f"{name}: every voxel has the value {levels[-1]:g}")
        return None
    if len(levels) == 2 and levels[0] == 0:
        return np.asarray(finite > 0)
    top = float(levels[-1])
    inside = finite >= top / 2
    solid = float((finite >= 0.9 * top).sum()) / float(inside.sum())
    text = f"{name}: {len(levels)} values from {levels[0]:g} to {top:g}; {solid:.0%} of the voxels above half are at the maximum"
    if solid < SOLID_SHARE or levels[0] < -0.5 * top:
        log.add("mask-refused", text)
        return None
    log.add("mask-grey", text)
    return np.asarray(inside)


def unify(masks: Mapping[str, NDArray[np.bool_]], grid: Grid, log: Log) -> LabelMap:
    """Paint masks into one map, the largest first, so that a voxel in two masks goes to the smaller structure."""
    sizes = {name: int(mask.sum()) for name, mask in masks.items()}
    order = sorted((name for name in masks if sizes[name]), key=lambda name: (-sizes[name], name))
    data = np.zeros(grid.shape, dtype=label_dtype(DRAFT_SCHEME))
    for name in order:
        taken = np.unique(data[masks[name] & (data > 0)])
        for value in taken:
            other = DRAFT_SCHEME.structure(int(value))
            shared = int((masks[name] & (data == value)).sum())
            log.add(
                "masks-overlap", f"{name} and {other} share {shared} voxels ({shared * grid.voxel_mm3 / 1000:.2f} ml); {name} keeps them"
            )
        data[masks[name]] = DRAFT_SCHEME[name]
    return LabelMap(data, grid, DRAFT_SCHEME)


def warn_scattered(labels: LabelMap, log: Log) -> None:
    """Warn of structures in several pieces."""
    for value, box in enumerate(ndimage.find_objects(labels.data), start=1):
        if box is not None:
            piece = labels.data[box] == value
            share = _outside_largest(piece) / int(piece.sum())
            if share > SCATTER_WARNING:
                name = labels.scheme.structure(value)
                log.add("tags-scattered", f"{name}: {share:.0%} of its voxels lie outside its largest piece")


def _whole_numbers(values: NDArray[np.float32], file: ScanFile) -> NDArray[np.uint16]:
    rounded = np.rint(values)
    if not np.isfinite(values).all() or np.abs(values - rounded).max() > 1e-3 or values.min() < 0 or values.max() > 65535:
        low, high = np.nanmin(values), np.nanmax(values)
        raise RefusedError("grey-labels", f"{file.path.name}: expected whole tags; found fractions or values from {low:g} to {high:g}")
    return rounded.astype(np.uint16)


def _check_blended(values: NDArray[np.uint16], tags: Mapping[int, str | None], file: ScanFile) -> None:
    """Interpolated tags leave rims of in-between values around every structure: pieces of other tags, shells of unknown ones."""
    total = scattered = 0
    for value, box in enumerate(ndimage.find_objects(values.astype(np.int32)), start=1):
        if box is None or tags.get(value, "") is None:
            continue
        piece = values[box] == value
        total += int(piece.sum())
        shell = value not in tags and not ndimage.binary_erosion(np.pad(piece, 1)).any()
        scattered += int(piece.sum()) if shell else _outside_largest(piece)
    if total and scattered > SCATTER_LIMIT * total:
        count = len(np.unique(values)) - 1
        share = scattered / total
        raise RefusedError(
            "grey-labels", f"{file.path.name}: {count_of(count, 'value')}, {share:.0%} of the voxels are rims, fragments or unknown tags"
        )


def _outside_largest(mask: NDArray[np.bool_]) -> int:
    pieces, count = ndimage.label(mask, structure=_TOUCHING)
    if count < 2:
        return 0
    sizes = np.bincount(pieces.ravel())[1:]
    return int(sizes.sum() - sizes.max())


def _on_grid(mask: Volume, grid: Grid, file: ScanFile, log: Log) -> NDArray[np.float32]:
    """The nearest voxel of a label onto the image's grid.

    A label of the image's shape whose header puts it outside the image (an identity header after a change of format, as a rule)
    is taken voxel by voxel.
    """
    if mask.grid.matches(grid, tol_mm=0.01):
        return mask.data
    before = float((mask.data > 0).sum()) * mask.grid.voxel_mm3
    moved = _nearest(mask, grid)
    after = float((moved > 0).sum()) * grid.voxel_mm3
    lost = 1 - after / before if before else 0.0
    apart = float(np.linalg.norm(_centre(mask.grid) - _centre(grid)))
    name = file.path.name
    if lost > LOST_SHARE and mask.data.shape == grid.shape:
        log.add("mask-header", f"{name}: by its header {lost:.0%} of it would lie outside the image, {apart:.0f} mm away")
        return mask.data
    if lost > OUTSIDE_SHARE:
        raise RefusedError(
            "mask-outside", f"{name}: {lost:.0%} of the label lies outside the image; the two are not of one scan, or a header lies"
        )
    text = f"{name}: from {_describe(mask.grid)} to {_describe(grid)}, centres {apart:.1f} mm apart"
    log.add("mask-resampled", f"{text}, volume {before / 1000:.2f} -> {after / 1000:.2f} ml")
    return moved


def _nearest(mask: Volume, grid: Grid) -> NDArray[np.float32]:
    """The nearest voxel within the mask's field of view, 0 beyond: a label that touches its border does not grow."""
    x, y, z = (slice(-1, n + 1) for n in mask.grid.shape)
    return resample_array(np.pad(mask.data, 1), mask.grid.cropped((x, y, z)), grid, order=0)


def _centre(grid: Grid) -> NDArray[np.floating[Any]]:
    return grid.to_world((np.asarray(grid.shape) - 1) / 2)


def _describe(grid: Grid) -> str:
    return f"{'x'.join(map(str, grid.shape))} voxels of {'x'.join(f'{s:.3g}' for s in grid.spacing_mm)} mm"


def _few(values: list[int]) -> str:
    return " ".join(map(str, values[:12])) + (" ..." if len(values) > 12 else "")

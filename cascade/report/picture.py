"""A picture to judge a segmentation by: the scan cut along the middle of the column, levels outlined and named."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.segmentation import find_boundaries

from cascade.io.files import replacing
from cascade.labels import is_disc
from cascade.terminology import colour_of
from cascade.volume import FloatArray, Grid, LabelMap, Volume

#: Pixels of the curved cuts.
PIXEL_MM = 0.6
_OPACITY = 0.35


def save_picture(scan: Volume, labels: LabelMap, centreline_mm: FloatArray, path: Path) -> None:
    """Write `draw` as PNG, whole or not at all."""
    with replacing(path, ".png") as temporary:
        draw(scan, labels, centreline_mm).save(temporary, format="PNG")


def draw(scan: Volume, labels: LabelMap, centreline_mm: FloatArray, *others: LabelMap) -> Image.Image:
    """Draw the plain cut and, beside it, the cut with levels in colour; once more for each of `others`.

    The cut is sagittal and follows the column sideways: each row is taken at the column's own left-right position.

    Parameters
    ----------
    scan : Volume
    labels : LabelMap
        Same grid.
    centreline_mm : (n, 3) array
        RAS+.
    *others : LabelMap
        Same grid; to be compared with `labels`.
    """
    cuts = [curved_sagittal(scan, one, centreline_mm) for one in (labels, *others)]
    grey = to_grey(cuts[0][0], window(cuts[0][0]))
    plain = np.repeat(grey[..., None], 3, axis=2)
    tinted = [_tinted(plain, numbers, one) for (_, numbers), one in zip(cuts, (labels, *others), strict=True)]
    picture = Image.fromarray(np.hstack([plain, *tinted]))
    for column, ((_, numbers), one) in enumerate(zip(cuts, (labels, *others), strict=True), start=1):
        _write_names(picture, numbers, one, offset=column * plain.shape[1])
    return picture


def _tinted(plain: NDArray[np.uint8], numbers: NDArray[np.unsignedinteger[Any]], labels: LabelMap) -> NDArray[np.uint8]:
    colours = np.zeros((max(labels.scheme.ids.values()) + 1, 3), dtype=np.uint8)
    for name, number in labels.scheme.ids.items():
        colours[number] = colour_of(name)
    tinted = plain.astype(float)
    tinted[numbers > 0] = (1 - _OPACITY) * tinted[numbers > 0] + _OPACITY * colours[numbers[numbers > 0]]
    edges = find_boundaries(numbers, mode="inner")
    tinted[edges] = colours[numbers[edges]]
    return tinted.astype(np.uint8)


def curved_sagittal(
    scan: Volume, labels: LabelMap, centreline_mm: FloatArray
) -> tuple[NDArray[np.float32], NDArray[np.unsignedinteger[Any]]]:
    """Image and labels on the curved cut, rows from head to foot, columns from front to back, pixels of 0.6 mm."""
    volume, numbers = scan.reoriented("RAS"), labels.reoriented("RAS")
    points = curved_cut(volume.grid, centreline_mm)
    image = ndimage.map_coordinates(volume.data, points, order=1, mode="nearest")
    return image, ndimage.map_coordinates(numbers.data, points, order=0, mode="nearest")


def curved_cut(grid: Grid, centreline_mm: FloatArray, plane: Literal["sagittal", "coronal"] = "sagittal") -> FloatArray:
    """Voxel coordinates (3, rows, columns) of a cut that follows the column in each row; pixels of 0.6 mm.

    Rows run from head to foot, columns from front to back (sagittal) or from the patient's right to the left (coronal).

    Parameters
    ----------
    grid : Grid
        With axes along RAS.
    centreline_mm : (n, 3) array
        RAS+.
    plane : {"sagittal", "coronal"}
    """
    across, follow = (1, 0) if plane == "sagittal" else (0, 1)
    line = grid.to_voxels(centreline_mm)
    ascending = line[np.argsort(line[:, 2])]
    z, columns = (np.arange(grid.shape[axis] - 1, -0.01, -PIXEL_MM / grid.spacing_mm[axis]) for axis in (2, across))
    points = np.empty((3, len(z), len(columns)))
    points[2], points[across] = z[:, None], columns
    points[follow] = np.interp(z, ascending[:, 2], ascending[:, follow])[:, None]
    return points


def window(image: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """The intensities to show as black and white: percentiles 1 and 99.5 of what is brighter than the darkest."""
    if not np.ptp(image):
        return 0.0, 1.0
    low, high = np.percentile(image[image > image.min()], (1, 99.5))
    return float(low), max(float(high), float(low) + 1e-6)


def to_grey(image: NDArray[np.floating[Any]], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Scale intensities between `limits` to 0..255."""
    grey: NDArray[np.uint8] = (np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1) * 255).astype(np.uint8)
    return grey


def display_name(structure: str) -> str:
    """How a structure is written in pictures.

    >>> display_name("L5-S1"), display_name("sacrum")
    ('L5/S1', 'S1')
    """
    return structure.replace("sacrum", "S1").replace("-", "/")


def display_span(structure: str) -> str:
    """How the levels from one to another are written.

    >>> display_span("L1-S1")
    'L1 to S1'
    """
    return structure.replace("-", " to ")


def _write_names(picture: Image.Image, numbers: NDArray[np.unsignedinteger[Any]], labels: LabelMap, offset: int) -> None:
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    for value, name in zip(labels.values, labels.structures, strict=True):
        rows, columns = np.nonzero(numbers == value)
        if not len(rows) or name == "canal":
            continue
        text = display_name(name)
        at = (offset + float(columns.mean()), float(rows.mean()))
        if is_disc(name):
            at = (offset + float(columns.min()) - 24, float(rows[columns.argmin()]))
        pen.text(at, text, fill=(255, 255, 255), font=font, anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0))


def as_html(picture: Image.Image, head: Sequence[str], rows: Iterable[Sequence[str]], notes: Iterable[str]) -> str:
    """A picture, a table and notes as a piece of HTML, for notebooks."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    lines = [
        "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) for tag, cells in (("th", head), *(("td", row) for row in rows))
    ]
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    said = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f'<div><img alt="the levels" src="data:image/png;base64,{encoded}"><table>{table}</table>{said}</div>'

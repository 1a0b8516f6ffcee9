"""Draw a picture of every warning that can be seen, for warnings.md, and make sure that the warning is really given.

    python docs/make_warning_pictures.py [FOLDER] [--only CODE ...]

Every scan is the phantom of `cascade.phantom` with a fault; the networks are the packaged ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cascade import LabelMap, Numbering, Segmenter, Volume
from cascade.phantom import PhantomSpec, render
from cascade.report.picture import draw

Example = Callable[[], tuple[Volume, Numbering | None]]
COLOURS, SCALE = 96, 0.7


def main() -> None:
    """Segment each example and save its picture; stop at one whose warning is not given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "pictures" / "warnings")
    parser.add_argument("--only", nargs="+", choices=EXAMPLES, default=list(EXAMPLES))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    segmenter = Segmenter.from_pretrained()
    for code in options.only:
        scan, numbering = EXAMPLES[code]()
        result = segmenter.segment(scan, scheme="verse", numbering=numbering)
        given = {notice.code: notice.text for notice in result.warnings}
        print(code, "|", given.get(code), "|", *(sorted(given)), flush=True)
        if code not in given:
            raise SystemExit(f"{code}: expected this warning; found {', '.join(given) or 'none'}; change its example")
        picture = draw(result.scan, result.labels, result.spine.centreline_mm)
        small = picture.resize((round(SCALE * picture.width), round(SCALE * picture.height)), Image.Resampling.LANCZOS)
        small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(options.folder / f"{code}.png", optimize=True)


def phantom(lumbar: int = 5, **spec: object) -> tuple[Volume, LabelMap]:
    """A phantom that goes on above the field of view."""
    return render(PhantomSpec(lumbar=lumbar, thoracic=3, **spec))  # type: ignore[arg-type]


def as_is(lumbar: int = 5, numbering: Numbering | None = None, **spec: object) -> Example:
    """The phantom of a specification."""
    return lambda: (phantom(lumbar, **spec)[0], numbering)


def between(highest: str | None, lowest: str | None, beyond_mm: float = 3.0) -> Example:
    """The phantom cut above and below these bodies; negative `beyond_mm` cuts through them."""

    def example() -> tuple[Volume, Numbering | None]:
        scan, labels = phantom()
        low = _rows(labels, lowest).min() if lowest else 0
        high = _rows(labels, highest).max() if highest else scan.grid.shape[2] - 1
        more = round(beyond_mm / scan.grid.spacing_mm[2])
        x, y, rows = scan.grid.shape
        box = (slice(0, x), slice(0, y), slice(max(0, low - more), min(rows, high + more + 1)))
        return scan.cropped(box), None

    return example


def _rows(labels: LabelMap, structure: str) -> np.ndarray:
    return np.flatnonzero(labels[structure].any(axis=(0, 1)))


def replaced(structure: str, value: float) -> Example:
    """The phantom with one structure all of one value."""

    def example() -> tuple[Volume, Numbering | None]:
        scan, labels = phantom()
        data = scan.data.copy()
        data[labels[structure]] = value
        return Volume(data, scan.grid), None

    return example


def fused() -> tuple[Volume, Numbering | None]:
    """The phantom with marrow in place of a disc and its end plates."""
    scan, labels = phantom()
    marrow = np.median(scan.data[labels["L2"]])
    return Volume(np.where(_grown(labels, ("L1-L2",), 3), marrow, scan.data), scan.grid), None


def covered() -> tuple[Volume, Numbering | None]:
    """The phantom with blurred noise in place of a body and its discs."""
    scan, labels = phantom()
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=scan.grid.shape), (1, 6, 6))
    grey = np.abs(3000 * noise + 200).astype(np.float32)
    return Volume(np.where(_grown(labels, ("L1-L2", "L2", "L2-L3"), 2), grey, scan.data), scan.grid), None


def _grown(labels: LabelMap, structures: tuple[str, ...], voxels: int) -> NDArray[np.bool_]:
    """Structures and so many voxels around them in each slice."""
    inside = np.logical_or.reduce([labels[name] for name in structures])
    return np.asarray(ndimage.binary_dilation(inside, np.ones((1, 3, 3)), iterations=voxels))


def doubled(structures: tuple[str, ...], by_mm: tuple[float, float, float]) -> Example:
    """The phantom with a copy of structures elsewhere."""

    def example() -> tuple[Volume, Numbering | None]:
        scan, labels = phantom()
        voxels = np.argwhere(np.logical_or.reduce([labels[name] for name in structures]))
        moved = voxels + np.rint(np.divide(by_mm, scan.grid.spacing_mm)).astype(int)
        there = ((moved >= 0) & (moved < scan.grid.shape)).all(axis=1)
        data = scan.data.copy()
        data[tuple(moved[there].T)] = scan.data[tuple(voxels[there].T)]
        return Volume(data, scan.grid), None

    return example


EXAMPLES: dict[str, Example] = {
    "numbering-uncertain": between("L2", "L4"),
    "no-sacrum-in-view": between(None, "L5"),
    "possible-lstv": as_is(lumbar=6),
    "lumbar-count-6": as_is(lumbar=6, numbering=Numbering(count=6)),
    "lumbar-count-4": as_is(lumbar=4, numbering=Numbering(count=4)),
    "missing-body": covered,
    "cut-by-border": between("L1", None, beyond_mm=-12.0),
    "body-split": fused,  # missing-disc, too
    "stray-component-removed": doubled(("L2", "L2-L3", "L3"), (0.0, 60.0, 0.0)),
    "few-slices": as_is(shape=(7, 270, 330)),
    "not-finite": replaced("L1", np.nan),
}


if __name__ == "__main__":
    main()

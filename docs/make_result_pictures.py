"""Draw scans and what the packaged weights make of them, for the model card.

    python docs/make_result_pictures.py FOLDER [--scan FILE ...] [--case IMAGE LABELS ...]

A scan is drawn plain and with the result; a case, with its own labels between the two. Each picture is named like its image
and the folder it is in.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cascade import LabelMap, Segmenter
from cascade.io.cases import read_known_labels
from cascade.labels import get_scheme
from cascade.report.picture import draw

HEIGHT, COLOURS = 380, 128


def main() -> None:
    """Segment each scan and save its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scan", type=Path, action="append", default=[])
    parser.add_argument(
        "--case", type=Path, nargs=2, action="append", default=[], metavar=("IMAGE", "LABELS"), help="labels in VerSe numbers"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    segmenter = Segmenter.from_pretrained()
    for image, *references in [*([scan] for scan in options.scan), *options.case]:
        save(segmenter, image, [read_known_labels(path, get_scheme("verse"))[0] for path in references], options.folder)


def save(segmenter: Segmenter, image: Path, references: Sequence[LabelMap], folder: Path) -> None:
    """Draw one scan, what is known of it, and the result."""
    result = segmenter.segment(image, scheme="verse")
    print(image, *(f"{notice.code}: {notice.text}" for notice in result.warnings), sep=" | ", flush=True)
    first, *others = (*references, result.labels)
    picture = draw(result.scan, first, result.spine.centreline_mm, *others)
    small = picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT), Image.Resampling.LANCZOS)
    small.quantize(COLOURS, Image.Quantize.FASTOCTREE).save(folder / f"{image.parent.name}_{image.name.split('.')[0]}.png", optimize=True)


if __name__ == "__main__":
    main()

"""The demo: a real scan that nobody labelled, and a phantom, which is compared with what was put into it."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

from cascade.cohorts.job import Job
from cascade.cohorts.keep import Keep
from cascade.evaluation.metrics import dice
from cascade.io.files import replacing
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CASCADE
from cascade.phantom import render
from cascade.pipeline import Segmenter
from cascade.segmentation import Segmentation

NINE = tuple(CASCADE.ids)
#: Where it comes from, and under which licence, is said beside it.
_SCAN = "t2_sagittal.nii.gz"


@dataclass(frozen=True)
class Demo:
    """What came out.

    Parameters
    ----------
    scan : Segmentation
        Of the real scan.
    phantom_dice : dict of str to float
        Of the nine structures of the phantom.
    open_first : Path
        The page of the real scan.
    """

    scan: Segmentation
    phantom_dice: dict[str, float]
    open_first: Path


def run_demo(folder: Path, segmenter: Segmenter) -> Demo:
    """Write image, labels, JSON, picture, table and report of both to `folder`, and the phantom's reference.

    Raises
    ------
    OutputError
        `folder` cannot be written.
    """
    with replacing(folder / "scan.nii.gz") as temporary:
        temporary.write_bytes(importlib.resources.files(__name__).joinpath(_SCAN).read_bytes())
    scan = _segment(folder / "scan.nii.gz", segmenter)
    image, truth = render()
    reference = truth.to_scheme(CASCADE, lost="drop")
    write_volume(image, folder / "phantom.nii.gz")
    write_labels(reference, folder / "phantom_reference.nii.gz")
    labels = _segment(folder / "phantom.nii.gz", segmenter).labels
    return Demo(scan, {name: dice(labels[name], reference[name]) for name in NINE}, folder / "scan.html")


def _segment(image: Path, segmenter: Segmenter) -> Segmentation:
    result, start = segmenter.segment(image), image.with_name(image.name.removesuffix(".nii.gz"))
    json, picture, table, report = (start.with_suffix(suffix) for suffix in (".json", ".png", ".tsv", ".html"))
    Keep()(result, Job(image, image.with_name(f"{start.name}_levels.nii.gz"), json, picture, table, report))
    return result

"""The demo: a phantom scan, segmented and compared with what was put into it."""

from __future__ import annotations

from pathlib import Path

from cascade.evaluation.metrics import dice
from cascade.io.nifti import write_labels, write_volume
from cascade.labels import CASCADE
from cascade.phantom import render
from cascade.pipeline import Segmenter

NINE = tuple(CASCADE.ids)


def run_demo(folder: Path, segmenter: Segmenter) -> dict[str, float]:
    """Write image, reference, result, JSON and picture to `folder`; return Dice of the nine structures.

    Raises
    ------
    OutputError
        `folder` cannot be written.
    """
    image, truth = render()
    reference = truth.to_scheme(CASCADE, lost="drop")
    write_volume(image, folder / "demo_image.nii.gz")
    write_labels(reference, folder / "demo_reference.nii.gz")
    result = segmenter.segment(folder / "demo_image.nii.gz")
    result.save(folder / "demo_levels.nii.gz")
    result.save_json(folder / "demo.json", input="demo_image.nii.gz", output="demo_levels.nii.gz")
    result.save_picture(folder / "demo.png")
    return {name: dice(result.labels[name], reference[name]) for name in NINE}

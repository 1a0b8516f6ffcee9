"""What is measured on results against what is measured on reference labels: bias and limits of agreement.

Run: ``cascade-segment CASES -o PREDICTIONS --scheme verse``, then ``python benchmarks/measured_results.py PREDICTIONS CASES`` (the folder
with ``cases.tsv``; split ``val``). A row of a structure counts where both labels have it and both measure the quantity; bias is the mean of
result minus reference, limits of agreement are 1.96 standard deviations to either side (Bland and Altman 1986, Lancet 1:307-310).
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cascade.io.nifti import read_image, read_label_array
from cascade.labels import VERSE, get_scheme
from cascade.measure import Measurement, measure
from cascade.volume import LabelMap

_SIZES = ("volume_ml", "anterior_mm", "middle_mm", "posterior_mm", "depth_mm", "width_mm", "wedge_deg")
_BESIDE = ("canal_ap_mm", "canal_area_mm2", "csf_signal", "signal")
_LOSSES = ("anterior_loss_percent", "middle_loss_percent", "posterior_loss_percent")
QUANTITIES = {
    "body": (*_SIZES, *_BESIDE, "segment_deg", "slip_mm", "slip_percent", *_LOSSES),
    "disc": (*_SIZES, *_BESIDE, "height_index", "nucleus_signal", "annulus_signal"),
    "sacrum": ("slope_deg",),
    "canal": ("canal_ap_mm",),
    "bone": ("signal",),
    "cobb": ("cobb_deg",),
    "lordosis": ("segment_deg",),
}
#: Units by the end of a column, the longest first.
_UNITS = {"_percent": "%", "_deg": "°", "_mm2": "mm²", "_mm": "mm", "_ml": "ml"}
_CAPITALS = {"ap": "AP", "csf": "CSF"}
#: Fragments and posterior elements, which have no place in the scheme.
REST = 90


def rows_of(labels: Path, image: Path, scheme: str) -> dict[tuple[str, str], Measurement]:
    """Rows of one label file by kind and structure."""
    numbers, grid = read_label_array(labels)
    chosen = get_scheme(scheme)
    known = np.where(numbers == REST, 0, numbers).astype(np.uint8)
    return {(row.kind, row.structure): row for row in measure(LabelMap(known, grid, chosen), read_image(image)[0])}


def differences(result: Path, case: dict[str, str], folder: Path) -> Iterator[tuple[str, str, float]]:
    """Kind, quantity and difference for every number that both have."""
    image, reference = (folder / case["dataset"] / f"{case['case']}_{what}.nii.gz" for what in ("image", "labels"))
    ours, theirs = rows_of(result, image, VERSE.name), rows_of(reference, image, VERSE.name)
    for key, row in theirs.items():
        for quantity in QUANTITIES.get(row.kind, ()) if key in ours else ():
            value, other = getattr(row, quantity), getattr(ours[key], quantity)
            same = row.kind in ("body", "disc") and quantity.endswith("signal") and row.signal_reference != ours[key].signal_reference
            if value is not None and other is not None and not same:
                yield row.kind, quantity, other - value


def words(quantity: str) -> str:
    """A column for people.

    >>> words("canal_ap_mm")
    'canal AP (mm)'
    """
    unit = next((end for end in _UNITS if quantity.endswith(end)), "")
    name = " ".join(_CAPITALS.get(word, word) for word in quantity.removesuffix(unit).split("_"))
    return name + (f" ({_UNITS[unit]})" if unit else "")


def main() -> None:
    """Print the table."""
    predictions, folder = Path(sys.argv[1]), Path(sys.argv[2])
    found, scans = defaultdict(list), defaultdict(set)
    with (folder / "cases.tsv").open(encoding="utf-8") as stream:
        cases = [row for row in csv.DictReader(stream, delimiter="\t") if row["split"] == "val"]
    for case in cases:
        result = predictions / case["dataset"] / f"{case['case']}_image.nii.gz"
        for kind, quantity, difference in differences(result, case, folder):
            found[kind, quantity].append(difference)
            scans[kind, quantity].add((case["dataset"], case["case"]))
    headings = ("structure", "measure", "scans", "structures", "bias", "limits of agreement", "median difference", "95 % within")
    print(f"| {' | '.join(headings)} |\n{'|---' * len(headings)}|")
    for (kind, quantity), values in sorted(found.items()):
        bias, spread, off = np.mean(values), 1.96 * np.std(values), np.abs(values)
        limits = f"{bias - spread:+.2f} to {bias + spread:+.2f} | {np.median(off):.2f} | {np.percentile(off, 95):.2f}"
        print(f"| {kind} | {words(quantity)} | {len(scans[kind, quantity])} | {len(values)} | {bias:+.2f} | {limits} |")


if __name__ == "__main__":
    main()

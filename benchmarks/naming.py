"""Fit the numbers of naming that are fitted, on labelled scans, and show what they rest on.

    python benchmarks/naming.py DATA [--split train] [--weights DIR] [--out DIR]

DATA is a folder with cases.tsv, as for cascade-train. The networks see every case once; then of the scans that are named right

  half_sacral       beside how likely the sacrum is in true bodies, and in what was left out below them or called sacrum
  remnant_disc      the disc below L5 beside those above: 1 in 100 is smaller than the remnant of S1/S2
  whole_disc        all but those that are smaller than remnant_disc are larger than this
  remnant_below_l5  -log of how often it is smaller than remnant_disc
  uncertain_below   the lowest confidence; a limit above it flags scans that are right
  possible          how many would carry possible-lstv with each limit

are shown. The models of the spine's shape and of how S1 looks are fitted when stage 2 is trained, and kept here.
`half_sacral`, `uncertain_below` and `possible` are choices between two kinds of error: the command shows both and keeps what the
checkpoint says. With --out a stage 2 is written that carries the others. Every other number in
cascade/postproc/parameters.py was set by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade import CascadeError, LabelMap, Segmenter
from cascade.io.cases import read_cases
from cascade.labels import BODIES, SACRUM
from cascade.networks.checkpoint import save_checkpoint
from cascade.postproc.chain import build_chain
from cascade.postproc.costs import disc_below_share
from cascade.postproc.identify import Identified, identify
from cascade.postproc.parameters import NamingParameters
from cascade.segmentation import Perception

LIMITS = (0.0, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class Row:
    """What one scan says.

    Parameters
    ----------
    right : bool
        Every labelled body that was found carries its name.
    disc_share : float
        Of the disc below the lowest body beside those above; NaN where that is not L5 or no sacrum follows.
    in_bodies, in_others : tuple of float
        By how much likelier the sacrum is than usual in the named bodies, and in what was not named so.
    confidence : float
    other_count : float
        Cost of another lumbar count beyond the names', in nats.
    """

    right: bool
    disc_share: float
    in_bodies: tuple[float, ...]
    in_others: tuple[float, ...]
    confidence: float
    other_count: float


def main() -> None:
    """See every case, fit, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    segmenter, cases = Segmenter.from_pretrained(weights=options.weights), read_cases(options.data, options.split)
    given = segmenter.stage2.spec.naming_parameters
    rows = []
    for case in cases:
        scan, labels = case.load()
        try:
            rows.append(read(segmenter.perceive(scan), labels, given))
        except CascadeError as error:
            print(f"left out: {case.dataset} {case.name}: {error}", flush=True)
    fitted = fit(rows, given)
    show(rows, fitted)
    if options.out:
        spec = dataclasses.replace(segmenter.stage2.spec, naming=fitted.to_json())
        save_checkpoint(segmenter.stage2.network, spec, options.out)


def read(seen: Perception, labels: LabelMap, given: NamingParameters) -> Row:
    """Name a scan, with every other lumbar count mentioned, and compare."""
    told = dataclasses.replace(given, costs=dataclasses.replace(given.costs, possible=1000.0))
    found = identify(dataclasses.replace(seen.evidence, parameters=told))
    chain, names = build_chain(found.instances.instances, given.chain), found.naming.names
    last = max(i for i, name in enumerate(names) if name)
    above_sacrum = names[last] == "L5" and chain.sacrum is not None
    traces = [(link.body, name, trace) for link, name, trace in zip(chain.links, names, chain.sacral, strict=True)]
    return Row(
        right=is_right(found, labels),
        disc_share=disc_below_share(chain, last) if above_sacrum else math.nan,
        in_bodies=tuple(trace for body, name, trace in traces if body and name in BODIES and not body.touches_border),
        in_others=tuple(trace for body, name, trace in traces if body and name in (None, SACRUM) and not body.touches_border),
        confidence=found.naming.confidence,
        other_count=found.naming.possible_margin,
    )


def is_right(found: Identified, labels: LabelMap) -> bool:
    """Whether the centre of every named body that lies in a labelled one lies in the one of its name."""
    for name, instance in found.structures.items():
        voxel = np.rint(labels.grid.to_voxels(instance.centroid_mm)).astype(int)
        inside = bool(((voxel >= 0) & (voxel < labels.grid.shape)).all())
        value = int(labels.data[tuple(voxel)]) if name in BODIES and inside else 0
        if value in labels.values and labels.scheme.structure(value) in BODIES and labels.scheme.structure(value) != name:
            return False
    return True


def fit(rows: list[Row], given: NamingParameters) -> NamingParameters:
    """The numbers that are counted."""
    shares = np.sort([row.disc_share for row in rows if row.right and np.isfinite(row.disc_share)])
    if len(shares) < 50:
        return given
    remnants = max(1, int((shares < given.costs.remnant_disc).sum()))
    costs = dataclasses.replace(
        given.costs,
        remnant_disc=min(given.costs.remnant_disc, round(float(np.percentile(shares, 1)), 2)),
        whole_disc=round(float(shares[shares >= given.costs.remnant_disc].min()) - 0.05, 2),
        remnant_below_l5=round(-math.log(remnants / len(shares)), 1),
    )
    return dataclasses.replace(given, costs=costs)


def show(rows: list[Row], fitted: NamingParameters) -> None:
    """Print what the numbers rest on."""
    right, costs = [row for row in rows if row.right], fitted.costs
    print(f"{len(right)} of {len(rows)} scans named right")
    bodies, others = (sorted(trace for row in right for trace in getattr(row, kind)) for kind in ("in_bodies", "in_others"))
    beside = f"true bodies up to {bodies[-1]:.3f}, others {[round(trace, 3) for trace in others]}"
    print(f"half_sacral       {fitted.chain.half_sacral:g}: {beside}")
    shares = sorted(row.disc_share for row in right if np.isfinite(row.disc_share))
    smallest = [round(share, 2) for share in shares[:5]]
    print(f"remnant_disc      {costs.remnant_disc:g}: the smallest discs below L5 are {smallest} of {len(shares)}")
    print(f"whole_disc        {costs.whole_disc:g}")
    print(f"remnant_below_l5  {costs.remnant_below_l5:g}")
    lowest = sorted(row.confidence for row in right)[:5]
    print(f"uncertain_below   {costs.uncertain_below:g}: the lowest confidences are {[round(confidence, 4) for confidence in lowest]}")
    told = ", ".join(f"{sum(row.other_count < limit for row in right)} below {limit:g}" for limit in LIMITS)
    print(f"possible          {costs.possible:g}: {told} nats")
    if fitted.shape_model:
        print(f"temperature       {fitted.shape_model.temperature:g}")


if __name__ == "__main__":
    main()

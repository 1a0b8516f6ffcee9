"""What the picture of a disc says of its degeneration, in numbers that gain and gamma leave as they are.

Each disc is seen in a sagittal patch of its own frame (`cascade.measure.endplates`). Intensities become *tones*: on a logarithmic scale
from 0, the darkest tenth of the darkest disc of the scan, to 1, the fluid of its canal. A gain moves, a gamma stretches both ends alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.labels import BODIES, CANAL, VERSE, is_disc
from cascade.measure.endplates import patient_axes
from cascade.measure.structures import find_structures, fit_morphometries
from cascade.volume import FloatArray, LabelMap, Volume

Mask = NDArray[np.bool_]
Numbers = dict[str, float]
Tone = Callable[[FloatArray], FloatArray]
#: The patch: to the rear, to the front, up and down, and its pixel.
REAR_MM, FRONT_MM, UP_MM, PIXEL_MM = 50.0, 36.0, 26.0, 0.5
#: This part of the fluid is added before the logarithm is taken, so that noise near zero counts little.
_FLOOR = 0.02
_FLUID_PERCENTILE = 85
_BODY_NUMBERS = [VERSE[name] for name in BODIES if name in VERSE.ids]


@dataclass(frozen=True, eq=False)
class Patch:
    """A disc as it is seen: logarithms of intensity, label numbers, mm to the front and up; all of one shape."""

    log: FloatArray
    numbers: NDArray[np.integer]
    front: FloatArray
    up: FloatArray
    disc: Mask

    def near(self, number: int, reach_mm: float) -> Mask:
        """A structure within so many mm of the disc's middle, up and down."""
        return np.asarray((self.numbers == number) & (np.abs(self.up) < reach_mm))


def see(labels: LabelMap, scan: Volume, tones: Mapping[str, Tone]) -> dict[str, dict[str, Numbers]]:
    """Numbers of every whole disc of a scan, by tone and structure; empty where no canal is labelled.

    Each of `tones` changes the intensities before anything is read from them; labels are in VerSe's numbers.
    """
    structures = find_structures(labels, frozenset())
    fits = fit_morphometries(structures, patient_axes(labels.grid))
    discs = {s.name: (s.centroid_mm, fits[s.name].axes) for s in structures if is_disc(s.name) and s.name in fits}
    canal = labels[CANAL] if CANAL in labels.structures else np.zeros(labels.grid.shape, dtype=bool)
    found = {}
    for key, tone in tones.items() if canal.any() else ():
        data = np.maximum(tone(scan.data.astype(np.float64)), 0)
        fluid = float(np.percentile(data[canal], _FLUID_PERCENTILE))
        logs = np.log(data + _FLOOR * fluid)
        numbers = {name: _numbers(_patch(labels, logs, name, *place)) for name, place in discs.items()}
        found[key] = _as_tones({name: row for name, row in numbers.items() if row}, float(np.log(fluid * (1 + _FLOOR))))
    return found


def _patch(labels: LabelMap, logs: FloatArray, name: str, centre_mm: FloatArray, axes: FloatArray) -> Patch:
    front, up = np.meshgrid(np.arange(-REAR_MM, FRONT_MM + 0.01, PIXEL_MM), np.arange(-UP_MM, UP_MM + 0.01, PIXEL_MM), indexing="ij")
    places = np.moveaxis(labels.grid.to_voxels(centre_mm + front[..., None] * axes[1] + up[..., None] * axes[2]), -1, 0)
    log = ndimage.map_coordinates(logs, places, order=1, cval=logs.min())
    numbers = ndimage.map_coordinates(labels.data, places, order=0, cval=0)
    return Patch(log, numbers, front, up, numbers == VERSE[name])


def _numbers(patch: Patch) -> Numbers:
    """Logarithms, which `_as_tones` relates to fluid and darkest disc, and lengths over the depth of the bodies; empty for a scrap."""
    bodies = np.isin(patch.numbers, _BODY_NUMBERS)
    core = ndimage.binary_erosion(bodies, iterations=4)
    if patch.disc.sum() < 60 or core.sum() < 100:
        return {}
    middle, half, heights = _outline(patch)
    depth_mm = float(np.ptp(np.percentile(patch.front[bodies & (np.abs(patch.up) < 15)], [2, 98])))
    along, across = (patch.front - middle) / half, _across(patch, heights)
    return _signals(patch, along, across, core, bodies) | _lengths(patch, along, heights, depth_mm) | _canal(patch)


def _outline(patch: Patch) -> tuple[float, float, FloatArray]:
    """Middle and half of the depth, in mm, and the height in each column."""
    low, high = np.percentile(patch.front[patch.disc], [1, 99])
    return float(low + high) / 2, max(float(high - low) / 2, 1.0), patch.disc.sum(axis=1) * PIXEL_MM


def _across(patch: Patch, heights: FloatArray) -> FloatArray:
    """-1 to 1 from the lower to the upper face of the disc, column by column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without disc has no middle
        middle = np.nanmean(np.where(patch.disc, patch.up, np.nan), axis=1)
    return np.asarray((patch.up - middle[:, None]) / np.maximum(heights[:, None] / 2, PIXEL_MM))


def _signals(patch: Patch, along: FloatArray, across: FloatArray, core: Mask, bodies: Mask) -> Numbers:
    inside = patch.disc & (np.abs(across) < 0.6)
    nucleus = inside & (along > -0.6) & (along < 0.4)
    thick = patch.disc & (along > -0.6) & (along < 0.4)
    low, high = np.percentile(patch.log[nucleus], [10, 90]) if nucleus.any() else (np.nan, np.nan)
    from_disc = ndimage.distance_transform_edt(~patch.disc) * PIXEL_MM
    plates = bodies & (from_disc > 2) & (from_disc < 6)
    bone = float(np.median(patch.log[core]))
    bands = [_mean(patch.log, thick & (across >= at) & (across < at + 0.4)) for at in (-0.6, -0.2, 0.2)]
    canal = patch.near(VERSE[CANAL], 15)
    return {
        "nucleus_low": float(low),
        "nucleus_high": float(high),
        "nucleus": _mean(patch.log, nucleus),
        "disc_dark": float(np.percentile(patch.log[patch.disc], 10)),
        "disc_median": float(np.median(patch.log[patch.disc])),
        "rear": _mean(patch.log, inside & (along < -0.75)),
        "front": _mean(patch.log, inside & (along > 0.6)),
        "bone": bone,
        "near_fluid": float(np.percentile(patch.log[canal], 80)) if canal.sum() > 60 else np.nan,
        "spread_nucleus": float(patch.log[nucleus].std()) if nucleus.any() else np.nan,
        "spread_plates": float(np.percentile(patch.log[plates], 85)) - bone if plates.any() else np.nan,
        "spread_cleft": (bands[0] + bands[2]) / 2 - bands[1],
        "two_parts": _two_parts(patch.log[patch.disc]),
    }


def _lengths(patch: Patch, along: FloatArray, heights: FloatArray, depth_mm: float) -> Numbers:
    where = along[:, 0]
    low, high = np.percentile(patch.front[patch.disc], [1, 99])
    parts = {"height": np.abs(where) < 1, "height_rear": np.abs(where + 0.7) < 0.2, "height_front": np.abs(where - 0.7) < 0.2}
    sizes = {name: float(np.log(max(heights[part].mean() if part.any() else 0.0, PIXEL_MM) / depth_mm)) for name, part in parts.items()}
    return sizes | {"depth": float(np.log((high - low) / depth_mm))}


def _canal(patch: Patch) -> Numbers:
    """The canal at the disc over that 10 to 15 mm above and below it, as a logarithm."""
    here, far = (float(patch.near(VERSE[CANAL], reach).sum()) for reach in (4.0, 15.0))
    beyond = far - float(patch.near(VERSE[CANAL], 10.0).sum())
    return {"canal": float(np.clip(np.log(max(here / 8, 4.0) / max(beyond / 10, 4.0)), -2, 1))}


def _mean(values: FloatArray, part: Mask) -> float:
    return float(values[part].mean()) if part.any() else float("nan")


def _two_parts(values: FloatArray) -> float:
    """The share of the variance that the best cut in two explains (Otsu 1979, IEEE Trans Syst Man Cybern 9:62-66)."""
    ordered = np.sort(values)
    count, sums, size = len(ordered), np.cumsum(ordered), np.arange(1, len(ordered))
    gap = (sums[-1] - sums[:-1]) / (count - size) - sums[:-1] / size
    return float((size * (count - size) * gap**2).max() / count**2 / (ordered.var() + 1e-6))


def _as_tones(found: Mapping[str, Numbers], fluid: float) -> dict[str, Numbers]:
    """Relate the logarithms of a scan to its fluid and its darkest disc, and add what is known of all its discs together."""
    if not found:
        return {}
    floor = min(row["disc_dark"] for row in found.values())
    plain = ("height", "height_rear", "height_front", "depth", "canal", "two_parts")
    result = {}
    for name, row in found.items():
        span = max(fluid - floor, 0.3)
        result[name] = {
            key: value if key in plain else value / span if key.startswith("spread") else (value - floor) / span
            for key, value in row.items()
        }
    bone = float(np.median([row["bone"] for row in result.values()]))
    for row in result.values():
        row |= {
            "near_fluid": row["near_fluid"] if np.isfinite(row["near_fluid"]) else 1.0,
            "bones": bone,
            "nucleus_by_bone": row["nucleus"] / (bone + 0.2),
            "most_uneven": float(np.nanmax([other["spread_nucleus"] for other in result.values()])),
            "brightest": float(np.nanmax([other["nucleus"] for other in result.values()])),
        }
    return result

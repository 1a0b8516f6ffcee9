"""One scan: predicted labels against reference labels, structure by structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cascade.errors import InputError
from cascade.evaluation.metrics import dice_of_sizes, surface_distances, volume_error_percent
from cascade.io.cases import GRID_TOLERANCE_MM
from cascade.labels import CANAL, KINDS, VERSE, Kind, in_order, kind_of, rank
from cascade.volume import LabelMap

#: What is scored, in order.
SCORED: tuple[Kind, ...] = (*KINDS, CANAL)
#: A structure is detected if the Dice with its match is above this.
DETECTED_DICE = 0.5
#: A case is all right if every structure has its right name and a Dice with its match above this.
ALL_RIGHT_DICE = 0.3
#: Structures that touch the first or last axial layer are left out if they are smaller than this share of the median.
SLIVER_SHARE = 0.3
#: Structures above this vertebra are left out unless the caller says otherwise.
HIGHEST = "T11"

_Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class StructureScore:
    """One labelled structure and what was predicted there.

    Parameters
    ----------
    structure : str
        Its name in the reference.
    kind : str
        One of `SCORED`.
    match : str
        The predicted structure of the same kind that overlaps it most; empty if there is none.
    dice : float
        With the prediction of the same name.
    matched_dice : float
        With the match, whatever its name; 0 without one.
    mean_distance_mm, distance95_mm : float
        Between the surfaces of structure and match (`cascade.evaluation.metrics.surface_distances`); NaN without a match.
    reference_ml, prediction_ml : float
        Volumes of structure and match.
    """

    structure: str
    kind: str
    match: str
    dice: float
    matched_dice: float
    mean_distance_mm: float
    distance95_mm: float
    reference_ml: float
    prediction_ml: float

    @property
    def detected(self) -> bool:
        """Whether the Dice with the match is above `DETECTED_DICE`."""
        return self.matched_dice > DETECTED_DICE

    @property
    def level_right(self) -> bool:
        """Whether the match has the right name."""
        return self.match == self.structure

    @property
    def volume_error_percent(self) -> float:
        """Signed volume error of the match in percent; NaN without a match."""
        return volume_error_percent(self.prediction_ml, self.reference_ml) if self.match else float("nan")


@dataclass(frozen=True)
class KindScore:
    """All labelled structures of one kind in one scan.

    Parameters
    ----------
    kind : str
    structures : tuple of StructureScore
        Cranial to caudal; never empty.
    extra : tuple of str
        Predicted structures that overlap no labelled one although their centre lies between the highest and the lowest
        labelled axial layer.
    """

    kind: str
    structures: tuple[StructureScore, ...]
    extra: tuple[str, ...]

    @property
    def all_right(self) -> bool:
        """Whether every structure is found (Dice with the match above `ALL_RIGHT_DICE`) and carries the right name."""
        return all(score.level_right and score.matched_dice > ALL_RIGHT_DICE for score in self.structures)


def compare(prediction: LabelMap, reference: LabelMap, highest: str = HIGHEST) -> tuple[KindScore, ...]:
    """Score every labelled structure, from `highest` down, that the prediction's scheme has a number for.

    The canal is scored in the axial layers in which the reference labels it.

    What the reference does not label is not background: a prediction there is neither right nor wrong, unless it lies
    between labelled structures of its kind. Slivers that the field of view left of a structure at its upper or lower end are not scored.

    Parameters
    ----------
    prediction, reference : LabelMap
        On one grid (axes may be stored in another order), each in a scheme of its own.
    highest : str
        Vertebra.

    Returns
    -------
    tuple of KindScore
        One for each of `SCORED` that has a structure to score.

    Raises
    ------
    InputError
        The grids differ.
    SchemeError
        `highest` is no vertebra.
    """
    overlap = _Overlap(prediction, reference)
    scored = tuple(_score_kind(kind, overlap, rank(highest)) for kind in SCORED)
    return tuple(score for score in scored if score.structures)


class _Overlap:
    """Both label maps in one numbering and orientation, and how many voxels every pair of labels shares."""

    def __init__(self, prediction: LabelMap, reference: LabelMap) -> None:
        scheme = prediction.scheme.for_chain(reference.structures)
        prediction, reference = prediction.reoriented("RAS"), reference.reoriented("RAS")
        if not prediction.grid.matches(reference.grid, GRID_TOLERANCE_MM):
            raise InputError(_differing_grids(prediction, reference))
        self.grid = reference.grid
        self.prediction = prediction.to_scheme(VERSE, lost="drop")
        self.reference = reference.to_scheme(VERSE, lost="drop")
        self.scorable = {name for name in self.reference.structures if name in scheme}
        size = max(VERSE.ids.values()) + 1
        pairs = self.reference.data.astype(np.uint16) * size + self.prediction.data
        self._counts = np.bincount(pairs.ravel(), minlength=size**2).reshape(size, size)
        self._boxes = {id(labels): ndimage.find_objects(labels.data, size - 1) for labels in (self.prediction, self.reference)}

    def voxels(self, *, reference: str = "", predicted: str = "") -> int:
        """Voxels with these names; without a name, of any label and of none."""
        counts = self._counts[VERSE[reference]] if reference else self._counts.sum(axis=0)
        return int(counts[VERSE[predicted]] if predicted else counts.sum())

    def predicted_in(self, structure: str) -> dict[str, int]:
        """Predicted structures inside a reference structure, with their voxels there."""
        shared = {name: self.voxels(reference=structure, predicted=name) for name in self.prediction.structures}
        return {name: voxels for name, voxels in shared.items() if voxels}

    def dice(self, structure: str, predicted: str) -> float:
        shared = self.voxels(reference=structure, predicted=predicted)
        return dice_of_sizes(shared, self.voxels(predicted=predicted), self.voxels(reference=structure))

    def masks(self, structure: str, predicted: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Predicted and reference structure, cropped to the box that holds both."""
        boxes = (self._box(self.prediction, predicted), self._box(self.reference, structure))
        x, y, z = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
        return self.prediction.data[x, y, z] == VERSE[predicted], self.reference.data[x, y, z] == VERSE[structure]

    def layers(self, structure: str) -> slice:
        """Axial layers that a reference structure covers."""
        return self._box(self.reference, structure)[2]

    def canal(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Predicted and reference canal, in the axial layers that the reference labels."""
        layers = self.layers(CANAL)
        return self.prediction.data[:, :, layers] == VERSE[CANAL], self.reference.data[:, :, layers] == VERSE[CANAL]

    def centre_layer(self, predicted: str) -> float:
        """Axial layer of a predicted structure's centre, as a voxel index."""
        box = self._box(self.prediction, predicted)
        layers = np.nonzero(self.prediction.data[box] == VERSE[predicted])[2]
        return float(box[2].start + layers.mean())

    def _box(self, labels: LabelMap, structure: str) -> _Box:
        box: _Box = self._boxes[id(labels)][VERSE[structure] - 1]
        return box


def _differing_grids(prediction: LabelMap, reference: LabelMap) -> str:
    found, expected = prediction.grid, reference.grid
    if found.shape != expected.shape:
        differ = f"{_times(found.shape)} voxels instead of {_times(expected.shape)} (axes R, A, S)"
    else:
        last = np.asarray(found.shape) - 1
        apart = max(np.abs(found.to_world(v) - expected.to_world(v)).max() for v in (np.zeros(3), last))
        differ = f"voxels up to {apart:.2g} mm away"
    return f"expected labels on the grid of the reference; found {differ}; resample them to it first (nearest neighbour)"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _score_kind(kind: str, overlap: _Overlap, highest: float) -> KindScore:
    if kind == CANAL:
        return KindScore(CANAL, (_score_canal(overlap),) if CANAL in overlap.scorable else (), ())
    labelled = [name for name in _of_kind(kind, overlap.reference) if name in overlap.scorable and rank(name) >= highest]
    slivers = _slivers(labelled, overlap)
    scored = [name for name in labelled if name not in slivers]
    scores = tuple(_score_structure(name, kind, overlap) for name in scored)
    used = {score.match for score in scores} | {name for sliver in slivers for name in overlap.predicted_in(sliver)}
    candidates = [name for name in _of_kind(kind, overlap.prediction) if name not in used and rank(name) >= highest]
    layers = [overlap.layers(name) for name in scored]
    low, high = min((s.start for s in layers), default=0), max((s.stop for s in layers), default=0) - 1
    return KindScore(kind, scores, tuple(name for name in candidates if low <= overlap.centre_layer(name) <= high))


def _score_canal(overlap: _Overlap) -> StructureScore:
    prediction, reference = overlap.canal()
    voxel_ml, sizes = overlap.grid.voxel_mm3 / 1000, (int(prediction.sum()), int(reference.sum()))
    both = surface_distances(prediction, reference, overlap.grid.spacing_mm) if sizes[0] else None
    score = dice_of_sizes(int((prediction & reference).sum()), *sizes)
    return StructureScore(
        CANAL,
        CANAL,
        CANAL if both else "",
        dice=score,
        matched_dice=score,
        mean_distance_mm=both.mean_mm if both else float("nan"),
        distance95_mm=both.percentile95_mm if both else float("nan"),
        reference_ml=sizes[1] * voxel_ml,
        prediction_ml=sizes[0] * voxel_ml,
    )


def _of_kind(kind: str, labels: LabelMap) -> list[str]:
    return [name for name in in_order(labels.structures) if kind_of(name) == kind]


def _slivers(structures: list[str], overlap: _Overlap) -> set[str]:
    """What the field of view left of structures at its upper and lower end, where that is little."""
    sizes = {name: overlap.voxels(reference=name) for name in structures}
    last = overlap.grid.shape[2]
    edge = [name for name in structures if overlap.layers(name).start == 0 or overlap.layers(name).stop == last]
    return {name for name in edge if sizes[name] < SLIVER_SHARE * np.median(list(sizes.values()))}


def _score_structure(structure: str, kind: str, overlap: _Overlap) -> StructureScore:
    shared = {name: voxels for name, voxels in overlap.predicted_in(structure).items() if kind_of(name) == kind}
    match = max(shared, key=lambda name: shared[name], default="")
    voxel_ml = overlap.grid.voxel_mm3 / 1000
    mean_mm, distance95_mm = _distances(structure, match, overlap)
    return StructureScore(
        structure,
        kind,
        match,
        dice=overlap.dice(structure, structure),
        matched_dice=overlap.dice(structure, match) if match else 0.0,
        mean_distance_mm=mean_mm,
        distance95_mm=distance95_mm,
        reference_ml=overlap.voxels(reference=structure) * voxel_ml,
        prediction_ml=overlap.voxels(predicted=match) * voxel_ml if match else 0.0,
    )


def _distances(structure: str, match: str, overlap: _Overlap) -> tuple[float, float]:
    if not match:
        return float("nan"), float("nan")
    found = surface_distances(*overlap.masks(structure, match), overlap.grid.spacing_mm)
    return found.mean_mm, found.percentile95_mm

"""What all measurements of a label map rest on, found once: its structures, their shapes, its canal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cascade.measure.canal import Canal, cut_canal
from cascade.measure.endplates import Morphometry, patient_axes
from cascade.measure.structures import Structure, find_structures, fit_morphometries
from cascade.volume import FloatArray, LabelMap


@dataclass(frozen=True, eq=False)
class Fitted:
    """Shapes fitted to a label map.

    Parameters
    ----------
    axes : (3, 3) array
        Rows right, front, up of the patient, RAS+.
    structures : list of Structure
        From head to foot.
    shapes : mapping of str to Morphometry
        Of those that are not cut by an end of the field of view.
    canal : Canal or None
    """

    axes: FloatArray
    structures: list[Structure]
    shapes: Mapping[str, Morphometry]
    canal: Canal | None

    @classmethod
    def to(cls, labels: LabelMap, cut: Collection[str] = ()) -> Fitted:
        """Fit to a label map of any scheme and orientation; `cut` as for `cascade.measure.measure`."""
        axes = patient_axes(labels.grid)
        structures = find_structures(labels, frozenset(cut))
        return cls(axes, structures, fit_morphometries(structures, axes), cut_canal(labels, axes))

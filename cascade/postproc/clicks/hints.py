"""Components edited as a person says: cut where two bodies meet, joined where two pieces are one, kept however small."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.labels import rank
from cascade.postproc.identify import Evidence
from cascade.postproc.instances import Voxel, thinnest
from cascade.volume import FloatArray


@dataclass(frozen=True, eq=False)
class Hints:
    """What a person knows about components, by voxel.

    Parameters
    ----------
    evidence : Evidence
    cuts : tuple of voxel
        Two bodies meet here.
    joins : tuple of pairs of voxels
        Pieces of one structure.
    names : tuple of (str, voxel)
        Bodies by name: two names are two bodies.
    clicked : tuple of voxel
        Here is a structure, however small.
    """

    evidence: Evidence
    cuts: tuple[Voxel, ...] = ()
    joins: tuple[tuple[Voxel, Voxel], ...] = ()
    names: tuple[tuple[str, Voxel], ...] = ()
    clicked: tuple[Voxel, ...] = ()

    def cut(self, components: NDArray[np.int32], kind: str) -> NDArray[np.int32]:
        """Cut bodies by planes across the spine, through the points where two of them meet."""
        if kind != "body":
            return components
        for voxel in self.cuts:
            value = int(components[voxel])
            if value:
                components = self._parted(components, value, [self._position(voxel)])
        return components

    def join(self, components: NDArray[np.int32], kind: str) -> NDArray[np.int32]:
        """Cut bodies that hold several names between them, where they are thinnest; join pairs."""
        for value in sorted({int(components[voxel]) for _, voxel in self.names} - {0} if kind == "body" else ()):
            places = {name: self._position(voxel) for name, voxel in self.names if components[voxel] == value}
            if len(places) > 1:
                components = self._between(components, value, [places[name] for name in sorted(places, key=rank)])
        for first, second in self.joins:
            a, b = int(components[first]), int(components[second])
            if a and b and a != b:
                components = np.where(components == b, a, components)
        return components

    def kept(self, components: NDArray[np.int32], kind: str) -> frozenset[int]:
        """The components that hold a click."""
        del kind
        return frozenset(int(components[voxel]) for voxel in self.clicked) - {0}

    def _position(self, voxel: Voxel) -> float:
        return float(self.evidence.line.locate(self.evidence.grid.to_world([voxel]))[0][0])

    def _between(self, components: NDArray[np.int32], value: int, positions: list[float]) -> NDArray[np.int32]:
        voxels, along = self._along(components, value)
        disc = self.evidence.probabilities[self.evidence.classes.index("disc")]
        thinner, cuts = self.evidence.parameters.instances.clearly_thinner, []
        for upper, lower in itertools.pairwise(positions):
            inner = (along > min(upper, lower)) & (along < max(upper, lower))
            enough = inner.any() and np.ptp(along[inner]) >= 2.0
            cuts.append(thinnest(along[inner], voxels[inner], disc, [2], thinner)[0] if enough else (upper + lower) / 2)
        return self._parted(components, value, cuts)

    def _parted(self, components: NDArray[np.int32], value: int, cuts: list[float]) -> NDArray[np.int32]:
        """Give the parts of a component between planes across the spine values of their own."""
        voxels, along = self._along(components, value)
        piece = np.searchsorted(np.sort(cuts), along)
        result, fresh = components.copy(), int(components.max())
        for k in range(1, len(cuts) + 1):
            result[tuple(voxels[piece == k].T)] = fresh + k
        return result

    def _along(self, components: NDArray[np.int32], value: int) -> tuple[NDArray[np.intp], FloatArray]:
        voxels = np.argwhere(components == value)
        return voxels, self.evidence.line.locate(self.evidence.grid.to_world(voxels))[0]

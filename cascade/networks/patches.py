"""Running a network over patches of a volume, blended with Gaussian weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cascade.networks.progress import told
from cascade.networks.spec import StageSpec
from cascade.volume import Shape

#: Width of the blending weights as a fraction of the patch; at the patch's border they have fallen to about 2 %.
_SIGMA = 0.18


class Network(Protocol):
    """A checkpoint's network, ready to run: `cascade.networks.checkpoint.Checkpoint` or `cascade.networks.backends.OnnxCheckpoint`."""

    @property
    def spec(self) -> StageSpec:
        """What is known about it."""

    @property
    def backend(self) -> Literal["torch", "onnx"]:
        """What runs it."""

    def probabilities(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities (classes, x, y, z) of a patch of normalised intensities (x, y, z)."""

    def each(self, patches: Iterable[NDArray[np.float32]], count: int, /) -> Iterator[NDArray[np.float32]]:
        """`probabilities` of `count` patches, in their order."""


def patch_shape_for(shape: Shape, spec: StageSpec) -> Shape:
    """The patch that the spec asks for, cut down to the scan (in multiples of the network's stride): no work on air.

    Along the last axis it has at least two strides, as networks that normalise over space need more than one voxel
    at their coarsest level.

    >>> from types import SimpleNamespace as Spec
    >>> patch_shape_for((35, 312, 312), Spec(patch_shape=(128, 128, 128), stride=(16, 32, 32)))
    (48, 128, 128)
    """
    x, y, z = (
        min(largest, max(-(-length // stride), least) * stride)
        for length, largest, stride, least in zip(shape, spec.patch_shape, spec.stride, (1, 1, 2), strict=True)
    )
    return x, y, z


def predict_at(data: NDArray[np.float32], starts: Iterable[tuple[int, ...]], patch: Shape, network: Network) -> NDArray[np.float32]:
    """Class probabilities from overlapping patches.

    Parameters
    ----------
    data : array of float32, (x, y, z)
        Network input; where a patch reaches beyond it, it is padded with its smallest value.
    starts : iterable of (3,) tuple of int
        First voxel of each patch.
    patch : (3,) tuple of int
        Patch shape.
    network : Network

    Returns
    -------
    array of float32, (classes, x, y, z)
        Probabilities; certain background where no patch reached.
    """
    total = np.zeros((len(network.spec.classes), *data.shape), dtype=np.float32)
    weight = np.zeros(data.shape, dtype=np.float32)
    window = _gaussian(patch)
    starts = list(starts)
    answers = network.each(_cut(data, starts, patch), len(starts))
    for start, p in zip(told(starts, network.spec.stage), answers, strict=True):
        inside, within = _overlap(start, patch, data.shape)
        for channel, probability in zip(total, p, strict=True):
            channel[inside] += probability[within] * window[within]
        weight[inside] += window[within]
    covered = weight > 0
    np.divide(total, weight, out=total, where=covered)
    np.copyto(total[0], 1.0, where=~covered)
    return total


def _cut(data: NDArray[np.float32], starts: Iterable[tuple[int, ...]], patch: Shape) -> Iterator[NDArray[np.float32]]:
    """The patches, padded with the smallest value where they reach beyond `data`."""
    air = data.min()
    for start in starts:
        inside, within = _overlap(start, patch, data.shape)
        padded = np.full(patch, air, dtype=np.float32)
        padded[within] = data[inside]
        yield padded


def _overlap(start: tuple[int, ...], patch: Shape, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Which part of a volume a patch covers, and which part of the patch that is."""
    inside = tuple(slice(max(0, a), min(n, a + p)) for a, p, n in zip(start, patch, shape, strict=True))
    return inside, tuple(slice(s.start - a, s.stop - a) for s, a in zip(inside, start, strict=True))


def tiles(shape: Shape, patch: Shape) -> list[tuple[int, ...]]:
    """First voxels of the fewest evenly spread patches that cover `shape` with at least half overlap, or one if it fits."""
    x, y, z = (spread_evenly(length, size, size // 2) for length, size in zip(shape, patch, strict=True))
    return list(itertools.product(x, y, z))


def spread_evenly(length: int, size: int, step: float) -> list[int]:
    """Starts of the fewest pieces of `size`, at most `step` apart, that cover `length`; one in the middle where it is no longer.

    >>> spread_evenly(312, 128, 96)
    [0, 92, 184]
    >>> spread_evenly(100, 128, 96)
    [-14]
    """
    room = length - size
    return [room // 2] if room <= 0 else [round(start) for start in np.linspace(0, room, 1 + math.ceil(room / step))]


def _gaussian(shape: Shape) -> NDArray[np.float32]:
    profiles = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (_SIGMA * n)) ** 2) for n in shape]
    window: NDArray[np.float32] = np.einsum("i,j,k->ijk", *profiles).astype(np.float32)
    return window

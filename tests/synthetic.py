"""Spines with known answers: probability maps for naming, scans with coded intensities for the whole cascade."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cascade.labels import CANAL, SACRUM, VERSE, is_disc
from cascade.networks.checkpoint import build_network, save_checkpoint
from cascade.networks.spec import Normalisation, StageSpec
from cascade.phantom import PhantomSpec, render
from cascade.postproc.identify import Evidence, Identified, identify
from cascade.postproc.paint import paint
from cascade.stage2_levels.target import CLASSES
from cascade.volume import FloatArray, Grid, LabelMap, Volume

BACKGROUND, BODY, DISC, SACRAL = range(4)
_WITHOUT_CANAL = CLASSES[:4]


# ---------------------------------------------------------------------------------------------- probability maps


@dataclass(frozen=True)
class Blob:
    """A ball of one class somewhere, as networks hallucinate them."""

    kind: int
    centre_mm: tuple[float, float, float]
    radius_mm: float


#: A column sways sideways as the sine of its height over this.
WAVE_MM = 55.0


@dataclass(frozen=True)
class Column:
    """A column of bodies and discs, head to foot, that sways sideways and forwards.

    Faults are given by index: a disc that was not found, a body that was not found, a gap that was taken for bone,
    a body that fell into a left and a right half.
    """

    heights_mm: tuple[float, ...] = (24.0, 25.0, 26.0, 27.0, 27.0, 28.0)
    gaps_mm: tuple[float, ...] = (6.0, 7.0, 8.0, 9.0, 10.0, 9.0)
    sway_mm: tuple[float, float] = (6.0, 12.0)
    sacrum: bool = True
    missing_discs: frozenset[int] = frozenset()
    missing_bodies: frozenset[int] = frozenset()
    fused_gaps: frozenset[int] = frozenset()
    halved_bodies: frozenset[int] = frozenset()
    blobs: tuple[Blob, ...] = ()
    room_below_mm: float = 60.0
    radius_mm: float = 16.0

    @property
    def length_mm(self) -> float:
        return sum(self.heights_mm) + sum(self.gaps_mm)

    def segments(self) -> Iterable[tuple[str, int, float, float]]:
        """Kind, index, upper and lower end in mm below the top of the first body."""
        top = 0.0
        for i, (height, gap) in enumerate(zip(self.heights_mm, self.gaps_mm, strict=True)):
            yield "body", i, top, top + height
            yield "gap", i, top + height, top + height + gap
            top += height + gap
        if self.sacrum:
            yield "sacrum", 0, top, top + 28.0

    def path(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Centre of the column at these heights."""
        return self.sway_mm[0] * np.sin(z / WAVE_MM), self.sway_mm[1] * np.cos(z / 70.0)

    @property
    def grid(self) -> Grid:
        spacing = np.array([6.0, 5.0, 3.0])
        extent = np.array([110.0, 110.0, 30.0 + self.length_mm + self.room_below_mm])
        shape = np.ceil(extent / spacing).astype(int)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = [-55.0, -55.0, -self.length_mm / 2 - self.room_below_mm]
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    @property
    def top_mm(self) -> float:
        return self.length_mm / 2

    @property
    def centreline_mm(self) -> FloatArray:
        z = np.arange(self.top_mm, -self.top_mm - (28.0 if self.sacrum else 0.0), -3.0)
        x, y = self.path(z)
        return np.stack([x, y, z], axis=1)

    def classes(self) -> NDArray[np.uint8]:
        """The class of every voxel of `grid`."""
        grid = self.grid
        origin, spacing = grid.vox2world[:3, 3], grid.spacing_mm
        x, y, z = np.ogrid[tuple(slice(n) for n in grid.shape)]
        x, y, z = (origin[i] + spacing[i] * index for i, index in enumerate((x, y, z)))
        centre_x, centre_y = self.path(z)
        inside = (x - centre_x) ** 2 + (y - centre_y) ** 2 < self.radius_mm**2
        result = np.zeros(grid.shape, dtype=np.uint8)
        for kind, i, upper, lower in self.segments():
            here = inside & (z <= self.top_mm - upper) & (z > self.top_mm - lower)
            if kind == "body":
                if i in self.halved_bodies:
                    here &= np.abs(x - centre_x) > 5.5
                result[here] = BACKGROUND if i in self.missing_bodies else BODY
            elif kind == "gap":
                result[here] = BODY if i in self.fused_gaps else BACKGROUND if i in self.missing_discs else DISC
            else:
                result[here] = SACRAL
        for blob in self.blobs:
            ball = sum((axis - c) ** 2 for axis, c in zip((x, y, z), blob.centre_mm, strict=True)) < blob.radius_mm**2
            result[ball] = blob.kind
        return result

    def with_sacrum_of(self, depth_mm: float) -> NDArray[np.uint8]:
        """The same with a sacrum of that depth from front to back."""
        classes = self.classes()
        y_mm, z_mm = (self.grid.vox2world[i, 3] + self.grid.spacing_mm[i] * np.arange(self.grid.shape[i]) for i in (1, 2))
        classes[(classes == SACRAL) & (np.abs(y_mm[:, None] - self.path(z_mm)[1]) > depth_mm / 2)] = BACKGROUND
        return classes

    def probabilities(self) -> NDArray[np.float32]:
        return as_probabilities(self.classes())


def as_probabilities(classes: NDArray[np.uint8], certainty: float = 0.91) -> NDArray[np.float32]:
    """One channel a class, `certainty` for the right one."""
    rest = (1 - certainty) / (len(_WITHOUT_CANAL) - 1)
    tissues = [np.where(classes == c, certainty, rest) for c in range(len(_WITHOUT_CANAL))]
    return np.stack([*tissues, np.zeros(classes.shape)]).astype(np.float32)


def evidence_of(column: Column, probabilities: NDArray[np.float32] | None = None) -> Evidence:
    """What the networks say about a column (or said, with `probabilities` of the same grid); no shape model."""
    probabilities = column.probabilities() if probabilities is None else probabilities
    return Evidence(probabilities, CLASSES, column.grid, column.centreline_mm, column.grid)


def identified(column: Column) -> Identified:
    """Name a column."""
    return identify(evidence_of(column))


def painted(column: Column, found: Identified, target: Grid | None = None, **options: Any) -> LabelMap:
    """Paint a named column."""
    names = {value: name for value, name in found.names.items() if name in VERSE}
    return paint(
        column.probabilities(), CLASSES, column.grid, found.instances, names, target=target or column.grid, scheme=VERSE, **options
    )


# ---------------------------------------------------------------------------------------------- scans with coded intensities

#: Intensities of the coded scan. Values in between, as interpolation makes them, are background.
_CODES = {"background": 100.0, "canal": 100.0, "body": 300.0, "disc": 420.0, "sacrum": 540.0}
_SHAPE = (13, 113, 163)
_SPACING_MM = (4.0, 1.9, 1.9)


def turned(grid: Grid, degrees: tuple[float, float, float] = (4.0, -3.0, 5.0)) -> Grid:
    """The same lattice, turned about the world's axes: an oblique scan."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(4)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = turn @ matrix
    return Grid(grid.shape, matrix @ grid.vox2world)


def kind_of(structure: str) -> str:
    """What stage 2 takes a structure for."""
    if structure == CANAL:
        return "canal"
    return "sacrum" if structure == SACRUM else "disc" if is_disc(structure) else "body"


def coded_scan(**spec: Any) -> tuple[Volume, LabelMap]:
    """A scan whose intensities say what is what, and its labels (scheme VERSE)."""
    image, labels = render(PhantomSpec(**{"shape": _SHAPE, "spacing_mm": _SPACING_MM, **spec}))
    data = np.full(image.grid.shape, _CODES["background"], dtype=np.float32)
    for structure in labels.structures:
        data[labels[structure]] = _CODES[kind_of(structure)]
    data[0, 0, 0] = 0.0
    grid = turned(image.grid)
    return Volume(data, grid), LabelMap(labels.data, grid, labels.scheme)


def tiny_spec(stage: str, classes: tuple[str, ...], spacing_mm: tuple[float, float, float], **changes: Any) -> StageSpec:
    """A spec of a network that looks at one voxel at a time."""
    spec = StageSpec(
        stage=stage,
        network="AutoEncoder",
        network_arguments={
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": len(classes),
            "channels": [12],
            "strides": [1],
            "kernel_size": 1,
            "up_kernel_size": 1,
            "act": "relu",
            "norm": None,
        },
        classes=classes,
        spacing_mm=spacing_mm,
        patch_shape=(128, 128, 128),
        stride=(4, 4, 4),
        normalisation=Normalisation(0.0, 100.0),
    )
    return dataclasses.replace(spec, **changes)


def save_oracles(folder: Path, scan: Volume | None = None, *, blind: bool = False) -> None:
    """Write both checkpoints: networks that read the codes of a scan (by default the usual one), or that never see anything.

    Codes are read after normalisation, so a scan with another share of bone needs networks of its own.
    """
    scan = scan or coded_scan()[0]
    tissue = scan.data[scan.data > scan.data.min()].astype(float)
    scale = {name: (code - tissue.mean()) / tissue.std() for name, code in _CODES.items()}
    step = 110.0 / tissue.std()
    spec1 = tiny_spec("stage1_spine", ("background", "column"), (4.0, 2.0, 2.0))
    spec2 = tiny_spec("stage2_levels", _WITHOUT_CANAL, (_SPACING_MM[0], 1.0, 1.0))  # finer than the scan where structures are thin
    column = [(scale["body"] - 0.5 * step, 60.0), (scale["body"] + 0.1 * step, -60.0)]
    save_checkpoint(_network(spec1, {} if blind else {1: (column, -18.0)}), spec1, folder)
    tents = {i: (_tent(scale[name], 0.42 * step), -10.0) for i, name in enumerate(_WITHOUT_CANAL) if i}
    save_checkpoint(_network(spec2, {} if blind else tents), spec2, folder)


def _tent(centre: float, half: float) -> list[tuple[float, float]]:
    """Hinges (place, change of slope) of a tent of height 20."""
    slope = 20.0 / half
    return [(centre - half, slope), (centre, -2 * slope), (centre + half, slope)]


def _network(spec: StageSpec, logits: dict[int, tuple[list[tuple[float, float]], float]]) -> torch.nn.Module:
    """A network whose logits are piecewise linear in the intensity: hinges and an offset by class; the others are 0, background 5."""
    network = build_network(spec)
    state = {name: torch.zeros_like(tensor) for name, tensor in network.state_dict().items()}
    weights = sorted((n for n in state if n.endswith("weight")), reverse=True)
    (enter, leave) = (next(n for n in weights if n.startswith(part)) for part in ("encode", "decode"))
    enter_bias, leave_bias = enter.replace("weight", "bias"), leave.replace("weight", "bias")
    unit = 0
    state[leave_bias][:] = -5.0
    state[leave_bias][0] = 5.0
    for channel, (hinges, offset) in logits.items():
        state[leave_bias][channel] = offset
        for place, slope in hinges:
            state[enter][unit] = 1.0
            state[enter_bias][unit] = -place
            state[leave].view(12, -1)[unit, channel] = slope
            unit += 1
    network.load_state_dict(state)
    return network

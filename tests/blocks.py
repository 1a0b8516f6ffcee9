"""Small scans and labels whose every voxel is different from its neighbours: three different primes as shape, oblique, anisotropic."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from cascade.labels import CASCADE_EXTENDED
from cascade.volume import Grid, LabelMap, Volume

SHAPE = (7, 11, 13)
#: Every way to lay three axes along the body: "RAS", "LAS", ... 48 in all.
ORIENTATIONS = ["".join(codes) for order in permutations(("RL", "AP", "SI")) for codes in product(*order)]
STRUCTURES = ("L4", "L4-L5", "L5", "L5-S1", "sacrum", "L6")


def oblique_grid(angle_deg: float = 12.0) -> Grid:
    """An RAS grid, turned about two axes, that lies off the world's origin."""
    a, b = np.deg2rad(angle_deg), np.deg2rad(0.6 * angle_deg)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([4.0, 0.9, 1.1])
    affine[:3, 3] = [-31.5, 20.25, -87.125]
    return Grid(SHAPE, affine)


def scan(axcodes: str = "RAS", angle_deg: float = 12.0) -> Volume:
    """A scan whose voxels all have different values."""
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    return Volume(values, oblique_grid(angle_deg)).reoriented(axcodes)


def labels(axcodes: str = "RAS", angle_deg: float = 12.0) -> LabelMap:
    """Labels that look different from every side; the outermost slices hold some too."""
    data = np.zeros(SHAPE, dtype=np.uint8)
    for n, name in enumerate(STRUCTURES):
        data[n % 5 : n % 5 + 3, 2 + n : 4 + n, 1 + 2 * n : 4 + 2 * n] = CASCADE_EXTENDED[name]
    data[0, 0, 0] = data[-1, -1, -1] = data[-1, 0, 2] = CASCADE_EXTENDED["L4"]
    return LabelMap(data, oblique_grid(angle_deg), CASCADE_EXTENDED).reoriented(axcodes)

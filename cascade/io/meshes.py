"""Surfaces of structures as STL, in world millimetres (RAS+), for 3D printing and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import marching_cubes

from cascade.io.files import replacing
from cascade.volume import Grid, LabelMap

#: Binary STL: 80 bytes of text, the number of facets, and for each its normal, three corners and two bytes that nobody uses.
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
#: 3D Slicer, which takes an STL for LPS otherwise, reads the frame from here.
_HEADER = b"cascade; SPACE=RAS; unit mm".ljust(80)


def write_meshes(labels: LabelMap, folder: Path) -> None:
    """Write ``NAME.stl`` for each structure into a folder; those of structures that are not in `labels` are removed from it.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    boxes = ndimage.find_objects(labels.data)
    there = {name for name in labels.structures if boxes[labels.scheme[name] - 1] is not None}
    for name in there:
        with replacing(folder / f"{name}.stl") as temporary:
            temporary.write_bytes(stl_of(surface_mm(labels.data == labels.scheme[name], labels.grid)))
    for name in labels.scheme.ids.keys() - there:
        (folder / f"{name}.stl").unlink(missing_ok=True)


def surface_mm(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """The surface between the voxels of a mask and the others, by marching cubes (Lewiner et al. 2003, in scikit-image).

    Parameters
    ----------
    mask : array of bool, (x, y, z)
        At least one voxel is set.
    grid : Grid

    Returns
    -------
    triangles_mm : (n, 3, 3) array
        The corners of each triangle in RAS+ mm, counter-clockwise as seen from outside.
    """
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    corners, faces, _, _ = marching_cubes(np.pad(mask[box], 1).astype(np.float32), 0.5, allow_degenerate=False)
    triangles_mm: NDArray[np.float64] = grid.to_world(corners - 1 + [part.start for part in box])[faces]
    return triangles_mm[:, ::-1] if np.linalg.det(grid.vox2world[:3, :3]) > 0 else triangles_mm


def stl_of(triangles_mm: NDArray[np.float64]) -> bytes:
    """Triangles as the bytes of a binary STL file."""
    facets = np.zeros(len(triangles_mm), _FACET)
    first, second, third = np.moveaxis(triangles_mm, 1, 0)
    normals = np.cross(second - first, third - first)
    facets["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(float).tiny)
    facets["corners"] = triangles_mm
    return _HEADER + len(facets).to_bytes(4, "little") + facets.tobytes()

"""Surfaces of structures as STL."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cascade.io.meshes import surface_mm, write_meshes
from cascade.labels import VERSE
from cascade.volume import Grid, LabelMap, Volume

Coded = tuple[Volume, LabelMap]


def read_stl(path: Path) -> np.ndarray:
    """The corners of the facets, (n, 3, 3), by the format's definition."""
    content = path.read_bytes()
    (count,) = np.frombuffer(content[80:84], "<u4")
    assert len(content) == 84 + 50 * count
    return np.stack([np.frombuffer(content[84 + 50 * i + 12 : 84 + 50 * i + 48], "<f4").reshape(3, 3) for i in range(count)])


def volume_ml(corners_mm: np.ndarray) -> float:
    """What a closed surface encloses (the divergence theorem); positive if its triangles turn outward."""
    first, second, third = np.moveaxis(corners_mm.astype(float) - corners_mm.mean(axis=(0, 1)), 1, 0)
    return float(np.einsum("ij,ij->", first, np.cross(second, third))) / 6000


@pytest.mark.parametrize("axcodes", ["RAS", "PIR", "LPS"])
def test_each_structure_has_a_closed_surface_where_it_lies_in_the_world(axcodes: str, coded: Coded, tmp_path: Path) -> None:
    labels = coded[1].reoriented(axcodes)
    write_meshes(labels, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == set(labels.structures)
    for name in ("L3", "L3-L4"):
        corners = read_stl(tmp_path / f"{name}.stl")
        centre_mm = labels.grid.to_world(np.argwhere(labels[name])).mean(axis=0)
        assert np.abs(corners.mean(axis=(0, 1)) - centre_mm).max() < 3
        assert volume_ml(corners) == pytest.approx(labels[name].sum() * labels.grid.voxel_mm3 / 1000, rel=0.15)


def test_every_edge_belongs_to_two_triangles(coded: Coded) -> None:
    corners = surface_mm(coded[1]["L4"], coded[1].grid).round(6)
    edges = [tuple(sorted((tuple(t[i]), tuple(t[(i + 1) % 3])))) for t in corners for i in range(3)]
    assert set(np.unique(np.array([hash(edge) for edge in edges]), return_counts=True)[1]) == {2}


def test_a_structure_at_the_border_is_closed_too() -> None:
    corners = surface_mm(np.ones((3, 3, 3), bool), Grid((3, 3, 3), np.diag([4.0, 2.0, 1.0, 1.0])))
    assert volume_ml(corners) == pytest.approx(27 * 8 / 1000, rel=0.2)


def test_what_is_no_longer_found_does_not_stay_from_an_earlier_run(coded: Coded, tmp_path: Path) -> None:
    (tmp_path / "T1.stl").write_bytes(b"earlier")
    (tmp_path / "mine.stl").write_bytes(b"somebody else's")
    assert "T1" in VERSE
    write_meshes(coded[1].to_scheme(VERSE), tmp_path)
    assert not (tmp_path / "T1.stl").exists()
    assert (tmp_path / "mine.stl").exists()

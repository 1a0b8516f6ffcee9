"""Voxels that know where they are: orientations, resampling, labels."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import InputError, SchemeError
from cascade.labels import CASCADE, SPIDER, VERSE
from cascade.volume import Grid, LabelMap, Volume, label_dtype, reorient, resample_array
from tests.synthetic import turned

ORIENTATIONS = ["".join(code) for axes in permutations(("RL", "AP", "SI")) for code in product(*axes)]
SHAPE = (5, 7, 11)


def oblique(shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = (4.1, 0.9, 1.3)) -> Grid:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-13.0, 22.0, 5.0)
    return turned(Grid(shape, affine), (11.0, -7.0, 9.0))


def ramp(grid: Grid) -> Volume:
    """An image that holds a linear function of the world position."""
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return Volume((points @ [1.0, 2.0, -3.0]).astype(np.float32), grid)


def blocks(grid: Grid) -> LabelMap:
    """L1 to L5 as random boxes."""
    rng = np.random.default_rng(3)
    return LabelMap(rng.integers(0, 6, grid.shape).astype(np.uint8), grid, CASCADE)


grids = st.builds(
    lambda shape, spacing, degrees: turned(Grid(shape, np.diag([*spacing, 1.0])), degrees),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.tuples(*[st.floats(0.3, 6.0)] * 3),
    st.tuples(*[st.floats(-20, 20)] * 3),
)


class TestGrid:
    def test_it_knows_spacing_orientation_and_voxel_volume(self) -> None:
        grid = oblique()
        assert grid.spacing_mm == pytest.approx((4.1, 0.9, 1.3))
        assert grid.axcodes == "RAS"
        assert grid.voxel_mm3 == pytest.approx(4.1 * 0.9 * 1.3)

    @given(grids)
    def test_world_and_voxels_lead_to_one_another(self, grid: Grid) -> None:
        voxels = np.random.default_rng(0).uniform(-3, 12, (8, 3))
        assert np.allclose(grid.to_voxels(grid.to_world(voxels)), voxels)

    @pytest.mark.parametrize("axcodes", ORIENTATIONS)
    def test_reorienting_moves_no_voxel_centre(self, axcodes: str) -> None:
        grid = oblique()
        other = grid.reoriented(axcodes)
        assert other.axcodes == axcodes
        assert other.reoriented("RAS").matches(grid)
        assert sorted(other.shape) == sorted(grid.shape)
        assert np.allclose(np.sort(_centres(other), axis=0), np.sort(_centres(grid), axis=0))

    @given(grids, st.tuples(*[st.floats(0.4, 5.0)] * 3))
    def test_another_spacing_covers_the_same_field_of_view(self, grid: Grid, spacing: tuple[float, float, float]) -> None:
        other = grid.with_spacing(spacing)
        assert np.allclose(other.spacing_mm, spacing)
        assert np.allclose(_middle(other), _middle(grid))
        extent, others = np.multiply(grid.shape, grid.spacing_mm), np.multiply(other.shape, other.spacing_mm)
        assert (others >= extent * 0.995 - 1e-2).all()
        assert (others < extent + np.asarray(spacing) + 1e-6).all()

    def test_a_crop_keeps_world_positions(self) -> None:
        grid = oblique()
        part = grid.cropped((slice(1, 4), slice(2, 7), slice(0, 9)))
        assert part.shape == (3, 5, 9)
        assert np.allclose(part.to_world([0, 0, 0]), grid.to_world([1, 2, 0]))

    def test_image_and_labels_are_cropped_alike(self) -> None:
        grid, box = oblique(), (slice(1, 4), slice(2, 7), slice(0, 9))
        data = np.arange(np.prod(grid.shape)).reshape(grid.shape) % 2
        image, labels = Volume(data.astype(np.float32), grid).cropped(box), LabelMap(data.astype(np.uint8), grid, CASCADE).cropped(box)
        assert np.array_equal(image.data, data[box])
        assert np.array_equal(labels.data, data[box])
        assert image.grid.matches(labels.grid)
        assert image.grid.matches(grid.cropped(box))
        assert image.data.flags.c_contiguous

    def test_grids_match_within_a_tolerance_only(self) -> None:
        grid = oblique()
        moved = grid.vox2world.copy()
        moved[0, 3] += 0.01
        assert grid.matches(Grid(SHAPE, moved), tol_mm=0.02)
        assert not grid.matches(Grid(SHAPE, moved))
        assert not grid.matches(oblique((5, 7, 13)))

    def test_a_grid_cannot_be_changed(self) -> None:
        affine = np.eye(4)
        grid = Grid(SHAPE, affine)
        affine[0, 0] = 9.0
        assert grid.spacing_mm == (1.0, 1.0, 1.0)
        with pytest.raises(ValueError, match="read-only"):
            grid.vox2world[0, 0] = 2.0

    @pytest.mark.parametrize(
        ("shape", "affine", "said"),
        [
            ((5, 7), np.eye(4), "three positive lengths"),
            ((5, 0, 7), np.eye(4), "three positive lengths"),
            (SHAPE, np.eye(3), "finite 4 x 4"),
            (SHAPE, np.diag([1, np.nan, 1, 1]), "finite 4 x 4"),
            (SHAPE, np.diag([1, 0, 1, 1]), "invertible"),
            (SHAPE, np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "invertible"),
        ],
    )
    def test_an_impossible_grid_is_refused(self, shape: tuple[int, ...], affine: np.ndarray, said: str) -> None:
        with pytest.raises(InputError, match=said):
            Grid(shape, affine)  # type: ignore[arg-type]


class TestVolume:
    def test_data_and_grid_must_have_one_shape(self) -> None:
        with pytest.raises(InputError, match=r"expected data of shape \(5, 7, 11\)"):
            Volume(np.zeros((5, 7, 12), np.float32), oblique())

    @pytest.mark.parametrize("axcodes", ORIENTATIONS)
    def test_every_voxel_keeps_its_value_in_every_orientation(self, axcodes: str) -> None:
        image = ramp(oblique())
        other = image.reoriented(axcodes)
        assert np.allclose(other.data, ramp(other.grid).data, atol=1e-3)
        assert np.array_equal(other.reoriented("RAS").data, image.data)

    @given(st.tuples(*[st.floats(0.5, 1.9)] * 3), st.tuples(*[st.floats(-10, 10)] * 3))
    def test_resampling_keeps_world_positions(self, spacing: tuple[float, float, float], degrees: tuple[float, float, float]) -> None:
        image = ramp(oblique((9, 11, 13), (2.0, 1.5, 1.8)))
        finer = turned(image.grid.with_spacing(spacing), degrees)
        moved = image.resampled(finer)
        inside = image.grid.to_voxels(_centres(finer))
        inner = ((inside >= 0) & (inside <= np.asarray(image.grid.shape) - 1)).all(axis=1)
        assert inner.any()
        assert np.allclose(moved.data.ravel()[inner], ramp(finer).data.ravel()[inner], atol=0.02)

    def test_resampling_to_its_own_grid_changes_nothing(self) -> None:
        image = ramp(oblique())
        assert np.allclose(image.resampled(image.grid).data, image.data, atol=1e-4)

    def test_much_coarser_grids_average_instead_of_picking(self) -> None:
        fine = Grid((8, 8, 64), np.eye(4))
        stripes = Volume(np.broadcast_to(np.arange(64) % 2, fine.shape).astype(np.float32), fine)
        assert np.ptp(stripes.resampled(fine.with_spacing((1, 1, 5))).data) < 0.3

    def test_the_first_and_last_slice_keep_their_thickness(self) -> None:
        thick = Grid((3, 4, 4), np.diag([6.0, 1, 1, 1]))
        image = Volume(np.full(thick.shape, 7.0, np.float32), thick)
        assert np.allclose(image.resampled(thick.with_spacing((1, 1, 1))).data, 7.0)


class TestLabelMap:
    def test_a_structure_is_a_boolean_array(self) -> None:
        labels = blocks(oblique())
        assert labels["L4"].dtype == bool
        assert np.array_equal(labels["L4"], labels.data == 4)
        assert not labels["L1-L2"].any()
        assert labels.values == (1, 2, 3, 4, 5)
        assert labels.structures == ("L1", "L2", "L3", "L4", "L5")

    def test_values_outside_the_scheme_are_refused(self) -> None:
        with pytest.raises(SchemeError, match=r"values \[12\] are not in the label scheme 'cascade'"):
            LabelMap(np.full(SHAPE, 12, np.uint8), oblique(), CASCADE)

    def test_an_empty_map_has_no_structures(self) -> None:
        assert LabelMap(np.zeros(SHAPE, np.uint8), oblique(), CASCADE).structures == ()

    @pytest.mark.parametrize("axcodes", ORIENTATIONS)
    def test_reorienting_and_back_is_exact(self, axcodes: str) -> None:
        labels = blocks(oblique())
        other = labels.reoriented(axcodes)
        assert np.array_equal(np.bincount(other.data.ravel()), np.bincount(labels.data.ravel()))
        assert np.array_equal(other.reoriented("RAS").data, labels.data)

    def test_resampling_takes_the_nearest_label_and_invents_none(self) -> None:
        labels = blocks(oblique())
        other = labels.resampled(turned(labels.grid.with_spacing((1.7, 1.1, 0.8)), (5.0, 5.0, 5.0)))
        assert set(np.unique(other.data)) <= set(np.unique(labels.data))
        assert other.data.dtype == labels.data.dtype

    @pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 0.7, 1.6), (3.0, 2.0, 1.0)])
    def test_resampling_keeps_the_volume_of_labels(self, spacing: tuple[float, float, float]) -> None:
        grid = oblique((17, 41, 43), (2.0, 1.1, 0.9))
        centre = grid.to_world((np.asarray(grid.shape) - 1) / 2)
        distance = np.linalg.norm(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - centre, axis=-1)
        labels = LabelMap((distance < 12).astype(np.uint8), grid, CASCADE)
        other = labels.resampled(grid.with_spacing(spacing))
        volumes = [m["L1"].sum() * m.grid.voxel_mm3 for m in (labels, other)]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
        assert np.allclose(
            labels.grid.to_world(np.argwhere(labels["L1"]).mean(axis=0)),
            other.grid.to_world(np.argwhere(other["L1"]).mean(axis=0)),
            atol=0.3,
        )

    def test_renumbering_keeps_every_voxel(self) -> None:
        labels = blocks(oblique())
        verse = labels.to_scheme(VERSE)
        assert all(np.array_equal(labels[name], verse[name]) for name in labels.structures)
        assert np.array_equal(verse.to_scheme("cascade").data, labels.data)

    def test_structures_without_a_number_are_refused_or_dropped_as_asked(self) -> None:
        labels = LabelMap(np.array([[[0, 20, 26]]], np.uint8), Grid((1, 1, 3), np.eye(4)), VERSE)
        with pytest.raises(SchemeError, match="'cascade' has no sacrum; use lost='drop'"):
            labels.to_scheme(CASCADE)
        assert labels.to_scheme(CASCADE, lost="drop").data.tolist() == [[[0, 1, 0]]]

    def test_renumbering_to_spider_counts_from_below(self) -> None:
        labels = LabelMap(np.array([[[24, 25, 124]]], np.uint8), Grid((1, 1, 3), np.eye(4)), VERSE)
        assert labels.to_scheme(SPIDER).data.tolist() == [[[2, 1, 202]]]

    def test_labels_are_stored_in_the_smallest_type(self) -> None:
        assert label_dtype(VERSE) is np.uint8
        assert label_dtype(type(VERSE)("big", {"L1": 300}, "test")) is np.uint16


def test_arrays_of_any_type_are_reoriented() -> None:
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    assert np.array_equal(reorient(data, "RAS", "SPL"), data.transpose(2, 1, 0)[:, ::-1, ::-1])


def test_nothing_is_sampled_from_outside() -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    far = Grid((3, 3, 3), np.array([[1, 0, 0, 50], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert not resample_array(np.ones(grid.shape), grid, far, order=1).any()


def _centres(grid: Grid) -> np.ndarray:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)).reshape(-1, 3)


def _middle(grid: Grid) -> np.ndarray:
    return grid.to_world((np.asarray(grid.shape) - 1) / 2)

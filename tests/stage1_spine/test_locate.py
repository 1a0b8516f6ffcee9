"""Where the spine is: largest column, centreline, and a clear word where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from cascade.errors import NoSpineError
from cascade.io.formats import read_labels_file, read_scan_file
from cascade.labels import VERSE, is_disc
from cascade.networks.checkpoint import load_checkpoint, packaged_weights
from cascade.stage1_spine.locate import centreline, largest_column, locate
from cascade.volume import Grid, LabelMap, Volume
from tests.synthetic import tiny_spec

needs_weights = pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet")


def test_the_largest_column_is_the_component_with_the_most_probability() -> None:
    probability = np.zeros((20, 20, 40), np.float32)
    probability[2:6, 2:6, 2:30] = 0.9
    probability[10:18, 10:18, 2:9] = 0.75
    column = largest_column(probability)
    assert np.array_equal(column, probability == np.float32(0.9))


def test_components_that_touch_only_at_an_edge_are_apart() -> None:
    probability = np.zeros((4, 4, 4), np.float32)
    probability[0:2, 0:2, 0:3] = 0.9
    probability[2:4, 2:4, 0:2] = 0.9
    assert largest_column(probability).sum() == 12


def test_an_empty_map_has_an_empty_column() -> None:
    column = largest_column(np.full((5, 6, 7), 0.5, np.float32))
    assert column.dtype == bool
    assert column.shape == (5, 6, 7)
    assert not column.any()


def test_the_centreline_runs_from_head_to_foot_through_the_middle() -> None:
    grid = Grid((20, 40, 60), np.diag([4.0, 2.0, 2.0, 1.0]))
    x, y, z = np.moveaxis(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)), -1, 0)
    middle = 40 + 8 * np.sin(z / 40)
    probability = np.where(((x - 38) ** 2 + (y - middle) ** 2 < 14**2) & (z > 10) & (z < 110), 0.95, 0.02).astype(np.float32)
    line = centreline(probability, largest_column(probability), Volume(probability, grid))
    assert (np.diff(line[:, 2]) < 0).all()
    assert line[0, 2] == pytest.approx(108)
    assert line[-1, 2] == pytest.approx(12)
    inner = slice(8, -8)
    assert np.abs(line[inner, 0] - 38).max() < 1.0
    assert np.abs(line[inner, 1] - (40 + 8 * np.sin(line[inner, 2] / 40))).max() < 1.5


def test_a_gap_between_rows_does_not_break_the_centreline() -> None:
    probability = np.zeros((10, 10, 20), np.float32)
    probability[4:6, 4:6, 3:8] = 0.9
    probability[4:6, 4:6, 12:17] = 0.9
    line = centreline(probability, probability > 0.5, Volume(probability, Grid(probability.shape, np.eye(4))))
    assert np.isfinite(line).all()
    assert len(line) == 10


def test_a_spine_is_located_in_a_scan(coded: tuple[Volume, LabelMap], oracle_weights: Path) -> None:
    scan, labels = coded
    spine = locate(scan, load_checkpoint("stage1_spine", oracle_weights))
    assert spine.confidence > 0.8
    assert spine.probability.grid.axcodes == "RAS"
    names = [name for name in labels.structures if name != "canal" and not is_disc(name)]
    for name in names[1:-1]:
        centroid = labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0))
        assert np.linalg.norm(spine.centreline_mm - centroid, axis=1).min() < 6.0, name
    low, high = spine.box_mm()
    assert ((high - low) > (20, 20, 150)).all()


def test_an_empty_map_is_no_spine(coded: tuple[Volume, LabelMap], blind_weights: Path) -> None:
    with pytest.raises(NoSpineError, match=r"no spine found: expected .* at least 6 ml, the largest candidate has 0\.0 ml"):
        locate(coded[0], load_checkpoint("stage1_spine", blind_weights))


def test_something_too_small_is_no_spine(oracle_weights: Path, coded: tuple[Volume, LabelMap]) -> None:
    scan, labels = coded
    data, elsewhere = scan.data.copy(), ~labels["T11-T12"]
    data[elsewhere] = np.random.default_rng(0).permutation(data[elsewhere])
    with pytest.raises(NoSpineError, match=r"the largest candidate has [1-5]\.\d ml"):
        locate(Volume(data, scan.grid), load_checkpoint("stage1_spine", oracle_weights))


class Answering:
    """A network that says of each scan that it sees in turn how much of it, from below, is the column, and how sure it is."""

    backend: Literal["torch"] = "torch"
    spec = tiny_spec("stage1_spine", ("background", "column"), (2.0, 2.0, 2.0), patch_shape=(32, 32, 96), stride=(16, 16, 16))

    def __init__(self, *answers: tuple[int, float]) -> None:
        self.answers = list(answers)

    def probabilities(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        rows, sure = self.answers.pop(0)
        column = np.zeros(patch.shape, np.float32)
        column[8:24, 8:24, :rows] = sure
        return np.stack([1 - column, column])

    def each(self, patches: Iterable[NDArray[np.float32]], count: int, /) -> Iterator[NDArray[np.float32]]:
        yield from map(self.probabilities, patches)


def noise() -> Volume:
    data = np.random.default_rng(0).gamma(4.0, 60.0, (32, 32, 96)).astype(np.float32)
    return Volume(data, Grid(data.shape, np.diag([2.0, 2.0, 2.0, 1.0])))


@pytest.mark.parametrize(
    ("answers", "rows", "left"),
    [
        ([(40, 0.98), (90, 0.99)], 40, 1),
        ([(40, 0.95), (90, 0.94)], 90, 0),
        ([(40, 0.95), (42, 0.99)], 40, 0),
        ([(40, 0.95), (0, 0.0)], 40, 0),
    ],
    ids=["sure", "more with another contrast", "no more with another contrast", "nothing with another contrast"],
)
def test_a_scan_of_which_the_network_is_not_sure_is_looked_at_again(answers: list[tuple[int, float]], rows: int, left: int) -> None:
    network = Answering(*answers)
    spine = locate(noise(), network)
    assert len(spine.centreline_mm) == rows
    assert len(network.answers) == left
    assert [notice.code for notice in spine.notices()] == ["unknown-contrast"] * (rows == 90)


def test_a_column_that_is_not_sure_is_told() -> None:
    spine = locate(noise(), Answering((40, 0.8), (41, 0.9)))
    assert [(notice.code, notice.text.endswith("only 0.80")) for notice in spine.notices()] == [("stage1-low-confidence", True)]


@needs_weights
def test_the_spine_of_a_t1_slice_through_a_t1_like_tone_curve_is_found_down_to_the_sacrum(data_folder: Path) -> None:
    """As in `benchmarks/slices.py`; with one look it ended 96 mm above L5/S1."""
    folder = data_folder / "spider_mid2d"
    if not folder.is_dir():
        pytest.skip("needs the single slices, too")
    image = read_scan_file(folder / "203_t1_image.nii.gz")[0].reoriented("RAS")
    low, high = np.percentile(image.data, (1, 99))
    toned = np.interp((image.data - low) / (high - low), np.linspace(0, 1, 6), (0.0, 0.5, 0.75, 0.7, 0.45, 0.2)) * 1000
    slab = np.repeat(toned, 11, axis=0)
    slab += np.random.default_rng(0).normal(0, 0.01 * slab.std(), slab.shape)
    grid = Grid(slab.shape, image.grid.vox2world @ np.diag([4.0 / image.grid.spacing_mm[0], 1.0, 1.0, 1.0]))
    marks, marks_grid = read_labels_file(folder / "203_t1_points.nii.gz")
    l5_s1_mm = marks_grid.to_world(np.argwhere(marks == VERSE["L5-S1"]).mean(axis=0))[2]
    line_mm = locate(Volume(slab.astype(np.float32), grid), load_checkpoint("stage1_spine")).centreline_mm
    assert line_mm[-1, 2] < l5_s1_mm - 20

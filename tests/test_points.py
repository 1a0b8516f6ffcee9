"""Scans of which only points are known: what follows from them by height, and nothing more."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from cascade.errors import InputError
from cascade.labels import SACRUM, VERSE, is_disc
from cascade.phantom import PhantomSpec, render
from cascade.points import disagreement, read_points
from cascade.stage1_spine.target import target as target1
from cascade.stage2_levels.target import target as target2
from cascade.volume import FloatArray, LabelMap

BODY, DISC, SACRAL, CANAL = (1 << i for i in range(1, 5))
DISCS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")


@pytest.fixture(scope="module")
def truth() -> LabelMap:
    """Everything that can be seen."""
    return render(PhantomSpec(shape=(9, 91, 141), spacing_mm=(6.0, 2.2, 2.2), thoracic=2))[1]


@pytest.fixture(scope="module")
def unlabelled(truth: LabelMap) -> LabelMap:
    return LabelMap(np.zeros_like(truth.data), truth.grid, VERSE)


def posterior(truth: LabelMap, name: str) -> FloatArray:
    """The posterior edge of a structure in the middle slice."""
    mm = truth.grid.to_world(np.argwhere(truth[name]))
    middle = mm[np.abs(mm[:, 0] - np.median(mm[:, 0])) < 4]
    return np.asarray(middle[middle[:, 1] <= np.percentile(middle[:, 1], 10)].mean(axis=0))


def centre(truth: LabelMap, name: str) -> FloatArray:
    return truth.grid.to_world(np.argwhere(truth[name])).mean(axis=0)


def away_from_the_disc(truth: LabelMap) -> np.ndarray:
    """The part of the sacrum that is more than 18 mm from the disc above it."""
    to_disc = ndimage.distance_transform_edt(~truth["L5-S1"], sampling=truth.grid.spacing_mm)
    return np.asarray(truth[SACRUM] & (to_disc > 18))


anywhere_in_a_disc = pytest.mark.parametrize("point_of", [posterior, centre], ids=["posterior edges", "centres"])


def allowed_by(truth: LabelMap, unlabelled: LabelMap, point_of=posterior, names=DISCS) -> np.ndarray:  # type: ignore[no-untyped-def]
    return target2(unlabelled, {name: point_of(truth, name) for name in names})


class TestTargets:
    @anywhere_in_a_disc
    def test_what_is_there_is_possible(self, truth: LabelMap, unlabelled: LabelMap, point_of: object) -> None:
        allowed = allowed_by(truth, unlabelled, point_of)
        for name in truth.structures:
            bit = CANAL if name == "canal" else SACRAL if name == SACRUM else DISC if is_disc(name) else BODY
            assert ((allowed[truth[name]] & bit) > 0).mean() > 0.97, name
        assert (allowed & 1 > 0).all()

    @anywhere_in_a_disc
    def test_below_the_lowest_disc_no_vertebra_is_possible(self, truth: LabelMap, unlabelled: LabelMap, point_of: object) -> None:
        allowed = allowed_by(truth, unlabelled, point_of)
        sacrum = truth[SACRUM]
        assert ((allowed[sacrum] & BODY) > 0).mean() < 0.4
        assert not (allowed[away_from_the_disc(truth)] & BODY).any()
        assert ((allowed[sacrum] & SACRAL) > 0).all()

    @anywhere_in_a_disc
    def test_above_the_lowest_vertebra_no_sacrum_is_possible(self, truth: LabelMap, unlabelled: LabelMap, point_of: object) -> None:
        allowed = allowed_by(truth, unlabelled, point_of)
        for name in ("T12", "L1", "L4", "L4-L5"):
            assert not (allowed[truth[name]] & SACRAL).any()
        assert ((allowed[truth["L5"]] & SACRAL) > 0).mean() < 0.5

    def test_the_border_to_the_sacrum_stays_open(self, truth: LabelMap, unlabelled: LabelMap) -> None:
        allowed = allowed_by(truth, unlabelled)
        disc = allowed[truth["L5-S1"]]
        assert ((disc & (BODY | DISC | SACRAL)) == (BODY | DISC | SACRAL)).mean() > 0.9

    def test_without_the_lowest_disc_more_vertebrae_may_follow_below(self, truth: LabelMap, unlabelled: LabelMap) -> None:
        allowed = allowed_by(truth, unlabelled, names=("L1-L2", "L2-L3"))
        for name in ("L4", "L5", SACRUM):
            assert ((allowed[truth[name]] & BODY) > 0).all(), name
        assert ((allowed[truth[SACRUM]] & SACRAL) > 0).all()

    def test_far_from_the_spine_is_background(self, truth: LabelMap, unlabelled: LabelMap) -> None:
        allowed = allowed_by(truth, unlabelled, centre)
        assert (allowed[:, -3:, 60:80] == 1).all()

    def test_points_narrow_what_labels_leave_open(self, truth: LabelMap) -> None:
        upper = np.isin(truth.data, [VERSE[name] for name in ("L2", "L3", "L2-L3")])
        labels = LabelMap(np.where(upper, truth.data, 0).astype(np.uint8), truth.grid, VERSE)
        points = {name: posterior(truth, name) for name in DISCS}
        alone, both = target2(labels), target2(labels, points)
        low = away_from_the_disc(truth)
        assert ((alone[low] & BODY) > 0).all()
        assert not (both[low] & BODY).any()
        assert (both[labels["L2"]] == BODY).all()
        assert ((both & ~alone) == 0).all()

    def test_the_column_cannot_be_learned_from_points(self, truth: LabelMap, unlabelled: LabelMap) -> None:
        with pytest.raises(InputError, match="points alone do not show the column"):
            target1(unlabelled, {name: posterior(truth, name) for name in DISCS})


class TestFiles:
    def test_an_image_of_points_names_the_middle_of_its_voxels(self, tmp_path: Path) -> None:
        data = np.zeros((1, 20, 30), np.uint8)
        data[0, 5, 20], data[0, 6, 10], data[0, 8, 10] = 123, 124, 124
        nib.save(nib.Nifti1Image(data, np.diag([4.0, 0.5, 2.0, 1.0])), tmp_path / "a_points.nii.gz")
        points = read_points(tmp_path / "a_points.nii.gz", VERSE)
        assert list(points) == ["L4-L5", "L5-S1"]
        np.testing.assert_allclose(points["L4-L5"], [0, 2.5, 40])
        np.testing.assert_allclose(points["L5-S1"], [0, 3.5, 20])

    def test_a_table_of_points_is_read_from_head_to_foot(self, tmp_path: Path) -> None:
        path = tmp_path / "a_points.tsv"
        path.write_text("name\tx_mm\ty_mm\tz_mm\nL5-S1\t0\t1\t-40\nL4\t1.5\t2\t0\n")
        points = read_points(path, VERSE)
        assert list(points) == ["L4", "L5-S1"]
        np.testing.assert_allclose(points["L4"], [1.5, 2, 0])

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("name\tx_mm\ty_mm\tz_mm\nL4\t0\t0\t0\n", "at least two"),
            ("name\tx\ty\tz\nL4\t0\t0\t0\n", "x_mm"),
            ("name\tx_mm\ty_mm\tz_mm\nL4\t0\t0\tlow\nL5\t0\t0\t0\n", "RAS"),
            ("name\tx_mm\ty_mm\tz_mm\nhip\t0\t0\t0\nL5\t0\t0\t0\n", "hip"),
            ("name\tx_mm\ty_mm\tz_mm\nL4\t0\t0\tnan\nL5\t0\t0\t0\n", "finite"),
            ("name\tx_mm\nL4\t0\nL5\n", "RAS"),
        ],
    )
    def test_what_is_no_table_of_points_is_refused(self, tmp_path: Path, text: str, expected: str) -> None:
        path = tmp_path / "a_points.tsv"
        path.write_text(text)
        with pytest.raises(InputError, match=expected):
            read_points(path, VERSE)

    def test_points_in_another_order_than_a_spines_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "a_points.tsv"
        path.write_text("name\tx_mm\ty_mm\tz_mm\nL3-L4\t0\t1\t-40\nL5-S1\t0\t2\t0\n")
        with pytest.raises(InputError, match="expected L3-L4 above L5-S1; found it below"):
            read_points(path, VERSE)


class TestAgreement:
    @pytest.fixture
    def points(self, truth: LabelMap) -> dict[str, FloatArray]:
        return {name: posterior(truth, name) for name in DISCS}

    @staticmethod
    def components(truth: LabelMap, **changed: tuple[str, ...]) -> dict[str, list[FloatArray]]:
        """All structures as a perfect teacher has them; `without` some, `as_body` others."""
        found: dict[str, list[FloatArray]] = {"body": [], "disc": [], "sacrum": []}
        for name in truth.structures:
            if name == "canal" or name in changed.get("without", ()):
                continue
            kind = "sacrum" if name == SACRUM else "disc" if is_disc(name) else "body"
            found["body" if name in changed.get("as_body", ()) else kind].append(truth.grid.to_world(np.argwhere(truth[name])))
        return found

    def test_a_perfect_answer_agrees(self, truth: LabelMap, points: dict[str, FloatArray]) -> None:
        assert disagreement(points, self.components(truth)) == ""

    @pytest.mark.parametrize("name", ["L3", "L5", "L3-L4", "L5-S1"])
    def test_a_structure_that_is_missing_disagrees(self, truth: LabelMap, points: dict[str, FloatArray], name: str) -> None:
        assert disagreement(points, self.components(truth, without=(name,)))

    def test_a_first_sacral_vertebra_that_is_taken_for_lumbar_disagrees(self, truth: LabelMap, points: dict[str, FloatArray]) -> None:
        assert "below the lowest disc" in disagreement(points, self.components(truth, as_body=(SACRUM,)))

    def test_bodies_that_have_grown_together_disagree(self, truth: LabelMap, points: dict[str, FloatArray]) -> None:
        found = self.components(truth)
        bodies = [name for name in truth.structures if name not in ("canal", SACRUM) and not is_disc(name)]
        l2, l3 = bodies.index("L2"), bodies.index("L3")
        found["body"] = [b for i, b in enumerate(found["body"]) if i not in (l2, l3)] + [np.vstack([found["body"][l2], found["body"][l3]])]
        assert disagreement(points, found)

    def test_points_a_level_off_disagree_with_the_sacrum(self, truth: LabelMap) -> None:
        points = {"L2-L3": posterior(truth, "L1-L2"), "L3-L4": posterior(truth, "L2-L3"), "L4-L5": posterior(truth, "L3-L4")}
        off = {**points, "L5-S1": posterior(truth, "L4-L5")}
        assert disagreement(off, self.components(truth))

    def test_points_of_bodies_want_one_disc_between_neighbours(self, truth: LabelMap) -> None:
        points = {name: centre(truth, name) for name in ("L3", "L4", "L5")}
        assert disagreement(points, self.components(truth)) == ""
        assert disagreement(points, self.components(truth, without=("L4-L5",)))

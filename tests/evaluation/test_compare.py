from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import InputError, SchemeError
from cascade.evaluation.compare import KindScore, StructureScore, compare
from cascade.evaluation.metrics import dice, surface_distances
from cascade.labels import CASCADE, SPIDER, VERSE
from cascade.volume import Grid, LabelMap
from tests.evaluation.spines import GRID, edited, stack

LUMBAR = ("L5", "L4", "L3", "L2", "L1")


def only(scores: tuple[KindScore, ...]) -> KindScore:
    (score,) = scores
    return score


def of(score: KindScore, structure: str) -> StructureScore:
    return next(s for s in score.structures if s.structure == structure)


def test_a_perfect_prediction_is_perfect() -> None:
    reference = stack(["sacrum", "L5-S1", "L5", "L4-L5", "L4"])
    scores = compare(reference, reference)
    assert [score.kind for score in scores] == ["body", "disc", "sacrum"]
    assert [s.structure for s in scores[0].structures] == ["L4", "L5"]
    for score in scores:
        assert score.all_right
        assert score.extra == ()
        for s in score.structures:
            assert (s.dice, s.matched_dice, s.mean_distance_mm, s.distance95_mm, s.volume_error_percent) == (1, 1, 0, 0, 0)
            assert s.reference_ml == pytest.approx(5 * 9 * 5 * GRID.voxel_mm3 / 1000)


def test_a_wrong_name_costs_the_dice_of_that_name_but_not_that_of_the_match() -> None:
    score = only(compare(stack(LUMBAR, names=("L4", "L3", "L2", "L1", "T12")), stack(LUMBAR)))
    assert all(s.dice == 0 and s.matched_dice == 1 and s.detected and not s.level_right for s in score.structures)
    assert of(score, "L3").match == "L2"
    assert not score.all_right
    assert score.extra == ()


def test_a_missing_structure_has_no_match_and_no_distance() -> None:
    score = only(compare(stack(LUMBAR, names=("L5", "", "L3", "L2", "L1")), stack(LUMBAR)))
    missing = of(score, "L4")
    assert (missing.match, missing.dice, missing.matched_dice, missing.detected) == ("", 0, 0, False)
    assert math.isnan(missing.mean_distance_mm)
    assert math.isnan(missing.volume_error_percent)
    assert not score.all_right
    assert of(score, "L3").dice == 1


def test_two_structures_in_one_prediction_share_their_match() -> None:
    score = only(compare(stack(LUMBAR, names=("L5", "L4", "L4", "L2", "L1")), stack(LUMBAR)))
    assert of(score, "L4").match == of(score, "L3").match == "L4"
    assert of(score, "L4").dice == pytest.approx(2 / 3)
    assert of(score, "L4").volume_error_percent == pytest.approx(100)


def test_what_is_not_labelled_is_neither_right_nor_wrong() -> None:
    prediction = stack(("L5-S1", *LUMBAR, "T12", "T11"))
    reference = stack(("L5-S1", *LUMBAR, "T12", "T11"), names=("", "", "L4", "L3", "L2", "", "", ""))
    score = only(compare(prediction, reference))
    assert [s.structure for s in score.structures] == ["L2", "L3", "L4"]
    assert score.all_right
    assert score.extra == ()


def test_a_ghost_between_labelled_structures_is_extra() -> None:
    reference = stack(LUMBAR, names=("L5", "L4", "", "L2", "L1"))
    prediction = edited(reference, np.s_[0:1, 0:2, 18:21], "T12")
    assert only(compare(prediction, reference)).extra == ("T12",)
    above = edited(reference, np.s_[0:1, 0:2, 50:53], "T12")
    assert only(compare(above, reference)).extra == ()


def test_a_disc_is_no_match_for_a_body_nor_the_sacrum_for_l5() -> None:
    reference = stack(["L5", "L4"])
    score = only(compare(stack(["L5", "L4"], names=("sacrum", "L4-L5")), reference))
    assert [s.match for s in score.structures] == ["", ""]
    assert score.extra == ()


def test_a_sliver_at_the_border_is_not_scored_and_its_prediction_is_not_extra() -> None:
    reference = stack(LUMBAR, bottom=-4)
    prediction = edited(reference, np.s_[0:7, 0:13, 1:2], "L5")
    score = only(compare(prediction, reference))
    assert [s.structure for s in score.structures] == ["L1", "L2", "L3", "L4"]
    assert score.extra == ()
    half_cut = only(compare(stack(LUMBAR, bottom=-3), stack(LUMBAR, bottom=-3)))
    assert [s.structure for s in half_cut.structures] == ["L1", "L2", "L3", "L4", "L5"]


def test_a_small_structure_away_from_the_border_is_scored() -> None:
    reference = edited(stack(LUMBAR), np.s_[:, :, 4:8], "")
    assert "L5" in {s.structure for s in only(compare(reference, reference)).structures}


def test_structures_above_the_highest_are_left_out() -> None:
    reference = stack(["T12", "T11", "T10-T11", "T10"])
    scores = {score.kind: score for score in compare(reference, reference)}
    assert [s.structure for s in scores["body"].structures] == ["T11", "T12"]
    assert "disc" not in scores
    assert len(only(compare(reference, reference, highest="T12")).structures) == 1
    with pytest.raises(SchemeError):
        compare(reference, reference, highest="L9")


def test_a_prediction_is_not_charged_for_what_its_scheme_cannot_hold() -> None:
    reference = stack(["L5-S1", "L5", "L4-L5", "L4", "T12"])
    prediction = reference.to_scheme(CASCADE, lost="drop")
    scores = {score.kind: [s.structure for s in score.structures] for score in compare(prediction, reference)}
    assert scores == {"body": ["L4", "L5"], "disc": ["L4-L5"]}


def test_a_scheme_that_counts_from_below_can_hold_a_sixth_lumbar_vertebra() -> None:
    reference = stack(["L6", "L5", "L4"])
    score = only(compare(reference.to_scheme(SPIDER), reference))
    assert score.all_right
    assert len(score.structures) == 3


def test_nothing_labelled_gives_no_scores() -> None:
    nothing = LabelMap(np.zeros(GRID.shape, dtype=np.uint8), GRID, VERSE)
    assert compare(stack(LUMBAR), nothing) == ()


@given(axcodes=st.sampled_from(["LPS", "SAR", "PIR", "ILA", "RSP"]))
def test_the_order_in_which_axes_are_stored_changes_nothing(axcodes: str) -> None:
    reference = stack(LUMBAR)
    prediction = edited(stack(LUMBAR, bottom=4), np.s_[0:2, 2:5, 3:9], "")
    (plain,), (turned,) = compare(prediction, reference), compare(prediction.reoriented(axcodes), reference)
    for one, other in zip(plain.structures, turned.structures, strict=True):
        assert dataclasses.astuple(other)[:3] == dataclasses.astuple(one)[:3]
        assert dataclasses.astuple(other)[3:] == pytest.approx(dataclasses.astuple(one)[3:])


def test_another_grid_is_refused_with_what_differs() -> None:
    reference = stack(LUMBAR)
    smaller = LabelMap(reference.data[1:], Grid((6, 13, 61), reference.grid.vox2world), VERSE)
    with pytest.raises(InputError, match=r"6 x 13 x 61 voxels instead of 7 x 13 x 61"):
        compare(smaller, reference)
    moved = reference.grid.vox2world + np.array([[0, 0, 0, 2.0], *np.zeros((3, 4))])
    with pytest.raises(InputError, match="voxels up to 2 mm away"):
        compare(LabelMap(reference.data, Grid(reference.grid.shape, moved), VERSE), reference)


@given(seed=st.integers(0, 1000))
def test_every_figure_is_that_of_the_masks_taken_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = stack(LUMBAR)
    prediction = LabelMap(np.roll(reference.data, rng.integers(-3, 4, 3), axis=(0, 1, 2)), GRID, VERSE)
    prediction = edited(prediction, np.s_[0:3, 0:6, 5:20], rng.choice(["", "L1", "L5"]))
    for s in only(compare(prediction, reference)).structures:
        mask = reference[s.structure]
        overlaps = {name: np.logical_and(prediction[name], mask).sum() for name in prediction.structures}
        best = max(overlaps.values())
        assert overlaps[s.match] == best
        assert s.dice == dice(prediction[s.structure], mask)
        assert best > 0
        distances = surface_distances(prediction[s.match], mask, GRID.spacing_mm)
        assert s.matched_dice == dice(prediction[s.match], mask)
        assert (s.mean_distance_mm, s.distance95_mm) == (distances.mean_mm, distances.percentile95_mm)


class TestCanal:
    @staticmethod
    def with_canal(labels: LabelMap, layers: slice, column: int = 11) -> LabelMap:
        return edited(labels, (slice(2, 5), slice(column, column + 2), layers), "canal")

    def test_it_is_scored_in_the_layers_that_the_reference_labels(self) -> None:
        reference = self.with_canal(stack(LUMBAR), slice(10, 40))
        longer = self.with_canal(stack(LUMBAR), slice(0, 61))
        _, score = compare(longer, reference)
        assert (score.kind, score.all_right, score.extra) == ("canal", True, ())
        assert (of(score, "canal").dice, of(score, "canal").mean_distance_mm) == (1, 0)

    def test_a_part_that_is_missing_costs(self) -> None:
        reference = self.with_canal(stack(LUMBAR), slice(10, 40))
        shorter = self.with_canal(stack(LUMBAR), slice(25, 61))
        assert of(compare(shorter, reference)[1], "canal").dice == pytest.approx(2 / 3)

    def test_a_canal_that_is_not_found_has_no_match(self) -> None:
        score = of(compare(stack(LUMBAR), self.with_canal(stack(LUMBAR), slice(10, 40)))[1], "canal")
        assert (score.match, score.dice, score.detected) == ("", 0, False)

    def test_where_it_is_not_labelled_it_is_not_scored(self) -> None:
        assert [score.kind for score in compare(self.with_canal(stack(LUMBAR), slice(0, 61)), stack(LUMBAR))] == ["body"]

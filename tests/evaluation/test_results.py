from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.evaluation.pairs import pair_up
from cascade.evaluation.results import evaluate, write_table
from cascade.io.nifti import write_labels
from cascade.labels import CASCADE, VERSE
from cascade.volume import Grid, LabelMap
from tests.evaluation.results import result, structure
from tests.evaluation.spines import GRID, stack


def test_a_good_pair_has_scores_and_no_notices(tmp_path: Path) -> None:
    write_labels(stack(["L5", "L4"]), tmp_path / "p.nii")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "p.nii")
    scored = evaluate(pair)
    assert (scored.notices, scored.failed) == ((), "")
    assert scored.kinds[0].all_right


def test_a_prediction_on_another_grid_counts_as_empty_and_the_notice_names_both_files(tmp_path: Path) -> None:
    reference = stack(["L5", "L4"])
    write_labels(reference, tmp_path / "r.nii")
    write_labels(LabelMap(reference.data[1:], Grid((6, 13, 61), GRID.vox2world), VERSE), tmp_path / "p.nii")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    scored = evaluate(pair)
    assert [score.dice for score in scored.kinds[0].structures] == [0, 0]
    assert str(tmp_path / "p.nii") in scored.failed
    assert str(tmp_path / "r.nii") in scored.failed
    assert "\n" not in scored.failed


def test_a_damaged_prediction_counts_as_empty(tmp_path: Path) -> None:
    write_labels(stack(["L5", "L4"]), tmp_path / "r.nii")
    (tmp_path / "p.nii").write_bytes(b"no image")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "r.nii")
    scored = evaluate(pair)
    assert "p.nii" in scored.failed
    assert "r.nii" in scored.failed
    assert not scored.kinds[0].all_right


def test_values_outside_the_scheme_are_told(tmp_path: Path) -> None:
    write_labels(stack(["L5", "L4", "T12"]), tmp_path / "p.nii")
    (pair,) = pair_up(tmp_path / "p.nii", tmp_path / "p.nii", prediction_scheme="totalsegmentator_mr", reference_scheme="verse")
    (notice,) = evaluate(pair).notices
    assert notice.code == "values-not-in-scheme"
    assert "values 19, 23, 24 are not in scheme 'totalsegmentator_mr'" in notice.text


def test_a_reference_without_anything_to_score_is_refused_with_both_schemes(tmp_path: Path) -> None:
    write_labels(stack(["L5", "L4"]).to_scheme(CASCADE), tmp_path / "r.nii")
    (pair,) = pair_up(tmp_path / "r.nii", tmp_path / "r.nii", reference_scheme="verse")
    with pytest.raises(InputError, match=r"r\.nii: expected labelled structures from T11 down .*'cascade'.*'verse'; check both schemes"):
        evaluate(pair)


def test_the_table_has_a_line_for_every_structure_and_nothing_where_a_figure_is_undefined(tmp_path: Path) -> None:
    results = [
        result("a", "1", structure("L5", 0.75, found_ml=55.0), structure("L4", 0.0, match="", distance_mm=math.nan, found_ml=0.0)),
        result("a", "2", structure("L5", 1 / 3, match="L4")),
    ]
    write_table(results, tmp_path / "out/results.csv")
    with (tmp_path / "out/results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["case"], row["structure"], row["match"]) for row in rows] == [("1", "L5", "L5"), ("1", "L4", ""), ("2", "L5", "L4")]
    assert {name: rows[0][name] for name in ("dice", "detected", "level_right", "volume_error_percent", "patient")} == {
        "dice": "0.75",
        "detected": "1",
        "level_right": "1",
        "volume_error_percent": "10",
        "patient": "a-1",
    }
    assert (rows[1]["mean_distance_mm"], rows[1]["volume_error_percent"], rows[1]["prediction_ml"]) == ("", "", "0")
    assert np.isclose(float(rows[2]["matched_dice"]), 1 / 3, atol=1e-6)

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from cascade.errors import InputError
from cascade.evaluation.pairs import pair_up
from cascade.evaluation.results import CaseResult
from cascade.evaluation.summary import Evaluation, evaluate_all, worst_first, write_summary
from cascade.io.nifti import write_labels
from tests.evaluation.results import result, structure
from tests.evaluation.spines import stack


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "4"):
        write_labels(stack(["L5", "L4"]), tmp_path / f"ref/{name}.nii.gz")
        write_labels(stack(["L5", "L4"]), tmp_path / f"pred/{name}.nii.gz")
    (tmp_path / "pred/1.nii.gz").write_bytes(b"no image")
    (tmp_path / "pred/2.nii.gz").unlink()
    (tmp_path / "ref/3.nii.gz").write_bytes(b"no image")
    told: list[CaseResult | InputError] = []
    evaluation = evaluate_all(pair_up(tmp_path / "pred", tmp_path / "ref"), tell=told.append)
    assert [(r.pair.case.name, bool(r.failed)) for r in evaluation.results] == [("1", True), ("2", True), ("4", False)]
    assert "ref/3.nii.gz" in evaluation.unusable[0]
    assert [isinstance(one, InputError) for one in told] == [False, False, True, False]
    assert not evaluation.complete
    assert evaluation.groups[0].figures["dice"].mean == pytest.approx(1 / 3)


def test_without_any_usable_reference_there_is_nothing_to_evaluate(tmp_path: Path) -> None:
    for side in ("ref", "pred"):
        write_labels(stack(["T9", "T8"]), tmp_path / side / "1.nii.gz")
    with pytest.raises(InputError, match="at least one reference"):
        evaluate_all(pair_up(tmp_path / "pred", tmp_path / "ref"))


def test_the_summary_is_strict_json_with_settings_groups_structures_and_cases(tmp_path: Path) -> None:
    results = (
        result("a", "1", structure("L5", 0.9), extra=("L1",)),
        result("a", "2", structure("L5", 0.0, match="", distance_mm=math.nan)),
    )
    write_summary(Evaluation(results, ("bad.nii: broken",)), tmp_path / "summary.json")
    content = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert content["settings"]["bootstrap"] == {"over": "patients", "resamples": 2000, "seed": 1, "confidence": 0.95}
    assert content["groups"][0]["figures"]["dice"] == {"mean": 0.45, "low": 0.0, "high": 0.9}
    assert content["groups"][0]["figures"]["mean_distance_mm"] == {"mean": 1.0, "low": None, "high": None}
    assert [group["structure"] for group in content["structures"]] == ["L5"]
    assert content["cases"][0]["kinds"] == {"body": {"all_right": True, "extra": ["L1"]}}
    assert content["unusable"] == ["bad.nii: broken"]


def test_the_worst_case_comes_first() -> None:
    results = [result("a", "good", structure("L5", 0.9)), result("a", "bad", structure("L5", 0.9), structure("L4", 0.1))]
    assert [r.pair.case.name for r in worst_first(results)] == ["bad", "good"]

"""What the networks saw is kept for later corrections: exactly, whole or not at all, and used for nothing else than what it came from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cascade.cli.segment import main
from cascade.cohorts import answers
from cascade.cohorts.answers import Answer, answer_path, read_answer
from cascade.cohorts.manifest import digest_of
from cascade.io.nifti import write_volume
from cascade.io.scan import read_scan
from cascade.pipeline import Segmenter
from cascade.postproc.clicks.click import Click
from cascade.segmentation import Perception
from cascade.volume import LabelMap, Volume

Coded = tuple[Volume, LabelMap]


@pytest.fixture(scope="module")
def segmenter(oracle_weights: Path) -> Segmenter:
    return Segmenter.from_pretrained("cpu", oracle_weights)


def segment(scan: Path, labels: Path, weights: Path, *options: str) -> int:
    words: Sequence[str] = [str(scan), "-o", str(labels), "--keep-probabilities", "--device", "cpu", "--weights", str(weights), *options]
    return main(words)


@pytest.fixture(scope="module")
def made(coded: Coded, oracle_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan, its labels, and what was kept."""
    folder = tmp_path_factory.mktemp("made")
    write_volume(coded[0], folder / "scan.nii.gz")
    assert segment(folder / "scan.nii.gz", folder / "labels.nii.gz", oracle_weights) == 0
    return folder


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "kept")
    return tmp_path / "kept"


def read(folder: Path, segmenter: Segmenter) -> Perception | None:
    scan = folder / "scan.nii.gz"
    path, weights = answer_path(folder / "labels.nii.gz"), segmenter.checkpoint_sha256
    return read_answer(path, read_scan(scan), digest_of(scan), weights, segmenter.stage2.spec)


def test_a_correction_of_what_was_kept_is_that_of_the_networks_to_the_last_voxel(kept: Path, segmenter: Segmenter) -> None:
    seen = read(kept, segmenter)
    assert seen is not None
    place = segmenter.name(seen, scheme="verse").levels[3].centroid_mm
    clicks = [Click(place, "background")]
    expected = segmenter.segment(kept / "scan.nii.gz", scheme="verse", clicks=clicks)
    found = segmenter.name(seen, scheme="verse", clicks=clicks)
    np.testing.assert_array_equal(found.labels.data, expected.labels.data)
    assert [replace(notice) for notice in found.warnings] == list(expected.warnings)
    assert found.levels == expected.levels


def test_it_holds_four_bytes_a_class_and_voxel_and_no_voxel_of_the_scan(kept: Path, segmenter: Segmenter) -> None:
    seen = segmenter.perceive(kept / "scan.nii.gz")
    expected = seen.evidence.probabilities.nbytes + seen.spine.probability.data.nbytes + seen.spine.column.nbytes
    assert expected < (kept / "labels.seen.npz").stat().st_size < expected + 10_000
    with np.load(kept / "labels.seen.npz") as content:
        assert set(content.files) == {"header", "probabilities", "vox2world", "centreline_mm", "spine", "spine_vox2world", "column"}


def test_another_scan_in_its_place_is_not_taken_for_it(kept: Path, segmenter: Segmenter, coded: Coded) -> None:
    write_volume(replace(coded[0], data=coded[0].data + 1), kept / "scan.nii.gz")
    assert read(kept, segmenter) is None


def test_other_weights_run_again(kept: Path, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(kept, segmenter) is not None
    monkeypatch.setattr(Segmenter, "checkpoint_sha256", dict.fromkeys(segmenter.checkpoint_sha256, "0" * 64))
    assert read(kept, segmenter) is None


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_what_is_damaged_is_not_used(kept: Path, segmenter: Segmenter, share: float) -> None:
    path = kept / "labels.seen.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert read(kept, segmenter) is None


def test_nothing_in_it_is_unpickled(kept: Path, segmenter: Segmenter) -> None:
    path = kept / "labels.seen.npz"
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    np.savez(path, **(arrays | {"column": np.array([print], dtype=object)}))
    assert read(kept, segmenter) is None


def test_what_is_too_large_is_not_kept_and_not_read(
    kept: Path, segmenter: Segmenter, oracle_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_BYTES", 1000)
    monkeypatch.setattr(answers, "_ROOM", 0)
    assert read(kept, segmenter) is None
    assert segment(kept / "scan.nii.gz", kept / "labels.nii.gz", oracle_weights) == 0
    assert sorted(path.name for path in kept.iterdir()) == ["labels.nii.gz", "scan.nii.gz"]


def test_a_result_that_cannot_be_written_leaves_no_answer_either(kept: Path, oracle_weights: Path) -> None:
    (kept / "out").mkdir()
    (kept / "out" / "run.json").mkdir()
    assert segment(kept / "scan.nii.gz", kept / "out" / "labels.nii.gz", oracle_weights, "--json", str(kept / "out" / "run.json")) == 1
    assert [path.name for path in (kept / "out").iterdir()] == ["run.json"]


def test_a_folder_keeps_one_a_scan_and_the_manifest_says_so(coded: Coded, oracle_weights: Path, tmp_path: Path) -> None:
    for name in ("a", "sub/b"):
        write_volume(coded[0], tmp_path / "in" / f"{name}.nii.gz")
    assert segment(tmp_path / "in", tmp_path / "out", oracle_weights) == 0
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npz")) == [
        "a.seen.npz",
        "sub/b.seen.npz",
    ]
    lines = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["options"]["probabilities"] for line in lines] == [True, True]


def test_it_says_that_stage_1_looked_twice(kept: Path, segmenter: Segmenter) -> None:
    seen = read(kept, segmenter)
    assert seen is not None
    assert not seen.spine.second_look
    twice = replace(seen, spine=replace(seen.spine, second_look=True))
    Answer(twice, digest_of(kept / "scan.nii.gz"), segmenter.checkpoint_sha256).save(answer_path(kept / "labels.nii.gz"))
    again = read(kept, segmenter)
    assert again is not None
    assert "unknown-contrast" in [notice.code for notice in segmenter.name(again).warnings]


def test_it_says_what_ran_the_networks_and_so_do_corrections(kept: Path, segmenter: Segmenter) -> None:
    seen = read(kept, segmenter)
    assert seen is not None
    assert seen.backend == "torch"
    assert segmenter.name(replace(seen, backend="onnx")).provenance["backend"] == "onnx"

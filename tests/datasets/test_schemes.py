"""A folder of one's own whose tags nobody explained: the right scheme and a word about it, or a clear line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from cascade.cli.prepare import main
from cascade.datasets.problems import CODES
from cascade.io.nifti import read_label_array, write_labels
from cascade.labels import CASCADE, CASCADE_EXTENDED, SCHEMES, SPIDER, VERSE, LabelScheme, is_disc
from cascade.volume import LabelMap
from tests.datasets.miniatures import phantom, write

BODIES = ("L1", "L2", "L3", "L4", "L5")


def raw(folder: Path, case: str, scheme: LabelScheme, names: tuple[str, ...] = (), *, seed: int = 0) -> LabelMap:
    """Write a case in a scheme, without a note of it."""
    image, labels = phantom(seed)
    kept = names or tuple(name for name in labels.structures if name in scheme)
    data = np.where(np.isin(labels.data, [labels.scheme[name] for name in kept]), labels.data, 0).astype(np.uint8)
    numbers = LabelMap(data, labels.grid, labels.scheme).to_scheme(scheme.for_chain(kept))
    write(image.data, image.grid, folder / f"{case}_image.nii.gz")
    write(numbers.data, image.grid, folder / f"{case}_labels.nii.gz")
    return LabelMap(data, labels.grid, labels.scheme)


def prepared(folder: Path, *words: str) -> int:
    return main(["folder", str(folder / "raw"), "-o", str(folder / "out"), *words])


def written(folder: Path, case: str = "a") -> LabelMap:
    values, grid = read_label_array(folder / "out" / f"{case}_labels.nii.gz")
    return LabelMap(values, grid, CASCADE_EXTENDED)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_each_scheme_with_discs_is_recognised_and_told(scheme: LabelScheme, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not any(map(is_disc, scheme.ids)):
        pytest.skip("a scheme without discs counts its bodies as others do")
    truth = raw(tmp_path / "raw", "a", scheme)
    assert prepared(tmp_path) == 0
    assert re.search(rf"^cascade: a: a_labels.nii.gz: tags of {scheme.name} \(", capsys.readouterr().err, re.MULTILINE)
    labels = written(tmp_path)
    assert labels.structures
    assert all(np.array_equal(labels[name], truth[name]) for name in labels.structures)


def test_numbers_of_verse_are_not_relabelled_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = raw(tmp_path / "raw", "a", VERSE, tuple(name for name in phantom()[1].structures if name not in ("sacrum", "canal")))
    assert prepared(tmp_path) == 0
    assert "tags of verse (" in capsys.readouterr().err
    assert set(written(tmp_path).structures) == set(truth.structures)
    problems = json.loads((tmp_path / "out" / "problems.json").read_text(encoding="utf-8"))
    assert '"scheme-recognised"' in json.dumps(problems)
    assert CODES["scheme-recognised"].severity == "note"


def test_what_is_ambiguous_is_one_line_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(tmp_path / "raw", "a", SPIDER, BODIES)
    assert prepared(tmp_path) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"a_labels.nii.gz: expected tags of one label scheme; they may be spider \(.*\) or mrspineseg \(.*--from-scheme", line)
    assert not list((tmp_path / "out").glob("*.nii.gz"))


def test_another_file_of_the_folder_decides(tmp_path: Path) -> None:
    raw(tmp_path / "raw", "a", SPIDER, BODIES)
    raw(tmp_path / "raw", "b", SPIDER, seed=1)
    assert prepared(tmp_path) == 0
    assert set(written(tmp_path).structures) == set(BODIES)


def test_two_schemes_in_one_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(tmp_path / "raw", "a", VERSE)
    raw(tmp_path / "raw", "b", CASCADE, seed=1)
    assert prepared(tmp_path) == 1
    assert "expected tags in the label scheme of a_labels.nii.gz, which are verse (" in capsys.readouterr().err


def test_what_is_said_is_believed_and_doubted_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(tmp_path / "raw", "a", SPIDER, BODIES)
    assert prepared(tmp_path, "--from-scheme", "spider") == 0
    assert "scheme-doubtful" not in capsys.readouterr().err
    assert set(written(tmp_path).structures) == set(BODIES)
    raw(tmp_path / "other" / "raw", "a", VERSE, BODIES)
    prepared(tmp_path / "other", "--from-scheme", "cascade-extended")
    assert re.search(r"warning: a: scheme-doubtful: .*not those of cascade-extended, but of verse", capsys.readouterr().err)


def test_a_case_of_its_own_order_is_left_out_and_the_others_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(tmp_path / "raw", "a", VERSE, BODIES)
    image, labels = phantom(1)
    own = sum(np.where(labels[name], 25 - n, 0) for n, name in enumerate(BODIES, start=1))
    write(image.data, image.grid, tmp_path / "raw" / "b_image.nii.gz")
    write(np.asarray(own), image.grid, tmp_path / "raw" / "b_labels.nii.gz")
    assert prepared(tmp_path) == 1
    assert re.search(r"error: b: scheme-unknown: .* scheme verse, as the other cases; found 20 21", capsys.readouterr().err)
    assert set(written(tmp_path).structures) == set(BODIES)


def test_a_note_in_the_file_is_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, labels = phantom()
    bodies = LabelMap(np.where(np.isin(labels.data, [VERSE[name] for name in BODIES]), labels.data, 0), labels.grid, VERSE)
    write(image.data, image.grid, tmp_path / "raw" / "a_image.nii.gz")
    write_labels(bodies.to_scheme(SPIDER.for_chain(BODIES)), tmp_path / "raw" / "a_labels.nii.gz")
    assert prepared(tmp_path) == 0
    assert "as noted in the file" in capsys.readouterr().err
    assert set(written(tmp_path).structures) == set(BODIES)


@pytest.mark.parametrize("words", ["chu raw -o out --from-scheme verse", "folder raw -o out --from-scheme vers"])
def test_a_scheme_is_said_of_a_folder_and_by_name(words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words.split())
    assert caught.value.code == 2

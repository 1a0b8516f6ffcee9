"""Spines with names from the targets of a training: of labels, of what a teacher answered, and of nothing that is not certain."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from cascade.io.cases import read_cases
from cascade.io.nifti import write_labels, write_volume
from cascade.phantom import PhantomSpec, render
from cascade.postproc.shape_model import FEATURES
from cascade.stage2_levels.target import CLASSES, target
from cascade.training.examples import Example, prepare_examples
from cascade.training.shape import levels_of
from cascade.training.spines import measured_spines, named_target
from cascade.volume import LabelMap
from tests.synthetic import tiny_spec

NAMES = ("L1", "L2", "L3", "L4", "L5", "sacrum", "L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")


@pytest.fixture(scope="module")
def labels() -> LabelMap:
    return render(PhantomSpec(shape=(15, 120, 160), spacing_mm=(4.0, 1.8, 1.8)))[1]


@pytest.fixture(scope="module")
def example(labels: LabelMap, tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder = tmp_path_factory.mktemp("labelled")
    image = render(PhantomSpec(shape=(15, 120, 160), spacing_mm=(4.0, 1.8, 1.8)))[0]
    write_volume(image, folder / "a_image.nii.gz")
    write_labels(labels, folder / "a_labels.nii.gz")
    (folder / "cases.tsv").write_text("case\tpatient\na\ta\n", encoding="utf-8")
    prepared, _ = prepare_examples(read_cases(folder), tiny_spec("stage2_levels", CLASSES, (4.0, 1.8, 1.8)), target)
    return prepared[0]


def _named(example: Example) -> LabelMap:
    named = named_target(example, CLASSES)
    assert named is not None
    return named


def without(example: Example, kind: str, number: int | None = None) -> Example:
    """The example with nothing certain about a class, or about its component of that number from below."""
    components, _ = ndimage.label(example.allowed.numpy() == 1 << CLASSES.index(kind))
    sizes = np.bincount(components.ravel())
    large = np.flatnonzero(sizes > 100)[1:]
    order = large[np.argsort([z for _, _, z in ndimage.center_of_mass(components > 0, components, large)])]
    allowed = example.allowed.clone()
    allowed[torch.from_numpy(np.isin(components, order if number is None else order[number : number + 1]))] = 31
    return dataclasses.replace(example, allowed=allowed)


def test_the_names_of_a_target_are_those_of_its_labels(example: Example, labels: LabelMap) -> None:
    named = _named(example)
    assert set(NAMES) <= set(named.structures)
    for name in NAMES:
        centre_mm = labels.grid.to_world(np.argwhere(labels[name]).mean(axis=0))
        assert np.linalg.norm(named.grid.to_world(np.argwhere(named[name]).mean(axis=0)) - centre_mm) < 3


def test_a_row_ends_where_a_body_is_not_certain(example: Example) -> None:
    named = _named(without(example, "body", 3))
    assert {"L3", "L4", "L5"} <= set(named.structures)
    assert not {"L2", "L1", "T12"} & set(named.structures)


def test_labels_that_have_an_l5_need_no_sacrum_and_points_alone_do(example: Example) -> None:
    headless = without(example, "sacrum")
    named = _named(headless)
    assert "L5" in named.structures
    assert "sacrum" not in named.structures
    unlabelled = dataclasses.replace(headless, case=dataclasses.replace(headless.case, labels=Path("none"), points=Path("points.tsv")))
    assert named_target(unlabelled, CLASSES) is None


def test_without_certain_bodies_or_their_class_there_is_no_spine(example: Example) -> None:
    assert named_target(without(example, "body"), CLASSES) is None
    assert named_target(example, ("background", "spine")) is None


def test_shape_is_measured_in_labels_and_looks_in_targets(example: Example, labels: LabelMap) -> None:
    known, (measured,) = levels_of(labels), measured_spines([example], CLASSES)
    shape, looks = slice(0, len(FEATURES)), slice(len(FEATURES), None)
    assert np.allclose(measured[shape], known[shape], atol=1e-3, equal_nan=True)
    assert np.isfinite(measured[looks, :2]).all()
    bare = LabelMap(np.where(labels["sacrum"] | labels["L5-S1"], 0, labels.data).astype(labels.data.dtype), labels.grid, labels.scheme)
    write_labels(bare, example.case.labels.with_name("bare.nii.gz"))
    answered = dataclasses.replace(example, case=dataclasses.replace(example.case, labels=example.case.labels.with_name("bare.nii.gz")))
    (filled,) = measured_spines([answered], CLASSES)
    assert np.isnan(filled[shape, 0]).all()
    assert np.array_equal(filled[looks], measured[looks], equal_nan=True)

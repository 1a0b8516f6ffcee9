"""Spines with four, five and six lumbar vertebrae, as the packaged networks see them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from cascade import Numbering, Segmenter
from cascade.labels import BODIES, VERSE
from cascade.networks.checkpoint import packaged_weights
from cascade.phantom import PhantomSpec, render
from cascade.segmentation import Perception, Segmentation
from cascade.volume import LabelMap

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not list(packaged_weights().glob("*.safetensors")), reason="the weights are not in the checkout yet"),
]
MAY_BE_WRONG = {"numbering-uncertain", "possible-lstv"}

Seen = Callable[[int], tuple[Perception, LabelMap]]


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.from_pretrained("cpu")


@pytest.fixture(scope="module")
def seen(segmenter: Segmenter) -> Seen:
    """What the networks see in a phantom with so many lumbar vertebrae, which goes on above the field of view, and its labels."""

    @cache
    def of(lumbar: int) -> tuple[Perception, LabelMap]:
        scan, labels = render(PhantomSpec(lumbar=lumbar, thoracic=3))
        return segmenter.perceive(scan), labels

    return of


def names_are_right(result: Segmentation, labels: LabelMap) -> bool:
    """Whether every body of the result carries the name of the one that its centre lies in."""
    bodies = [level for level in result.levels if level.name in BODIES]
    voxels = labels.grid.to_voxels([level.centroid_mm for level in bodies]).round().astype(int)
    return [labels.data[tuple(voxel)] for voxel in voxels] == [VERSE[level.name] for level in bodies]


@pytest.mark.parametrize("lumbar", [4, 6])
def test_another_count_than_five_is_flagged_and_right_when_told(segmenter: Segmenter, seen: Seen, lumbar: int) -> None:
    perception, labels = seen(lumbar)
    automatic = segmenter.name(perception, scheme="verse")
    assert {notice.code for notice in automatic.warnings} & MAY_BE_WRONG
    told = segmenter.name(perception, scheme="verse", numbering=Numbering(count=lumbar))
    assert {notice.code: notice.rank for notice in told.warnings}[f"lumbar-count-{lumbar}"] == "note"
    assert names_are_right(told, labels)


def test_five_are_named_without_a_doubt(segmenter: Segmenter, seen: Seen) -> None:
    perception, labels = seen(5)
    result = segmenter.name(perception, scheme="verse")
    assert not {notice.code for notice in result.warnings} & MAY_BE_WRONG
    assert names_are_right(result, labels)

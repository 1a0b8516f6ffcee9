"""The guarantees hold on what the networks really put out, also when a fifth of it is deleted, merged or doubled at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cascade import Segmenter
from cascade.centreline import SpineLine
from cascade.io.cases import read_cases
from cascade.labels import VERSE, in_order
from cascade.postproc.identify import Evidence, identify
from cascade.postproc.paint import paint
from cascade.volume import LabelMap
from tests.postproc import test_guarantees as guarantees
from tests.synthetic import BACKGROUND, BODY, as_probabilities

pytestmark = [pytest.mark.full, pytest.mark.data]

Classes = NDArray[np.int64]
Damage = Callable[[Classes, NDArray[np.bool_], np.random.Generator], None]
SHARE = 0.2


@pytest.fixture(scope="module")
def outputs(data_folder: Path) -> list[tuple[str, Evidence]]:
    """What the networks say about every validation scan."""
    segmenter = Segmenter.from_pretrained()
    return [(f"{case.dataset} {case.name}", segmenter.perceive(case.load()[0]).evidence) for case in read_cases(data_folder, "val")]


def components(classes: Classes) -> Iterator[NDArray[np.bool_]]:
    for kind in range(1, 4):
        labels, count = ndimage.label(classes == kind)
        yield from (labels == value for value in range(1, count + 1) if (labels == value).sum() > 50)


def delete(classes: Classes, component: NDArray[np.bool_], _: np.random.Generator) -> None:
    classes[component] = BACKGROUND


def merge(classes: Classes, component: NDArray[np.bool_], _: np.random.Generator) -> None:
    """Let what it touches and itself become one body."""
    classes[ndimage.binary_dilation(component, iterations=4) & (classes != BACKGROUND)] = BODY


def double(classes: Classes, component: NDArray[np.bool_], rng: np.random.Generator) -> None:
    shift = rng.integers(-40, 41, 3)
    copy = ndimage.shift(component.astype(np.uint8), shift, order=0).astype(bool)
    classes[copy] = classes[component].max()


DAMAGES: dict[str, tuple[Damage, ...]] = {
    "untouched": (),
    "deleted": (delete,),
    "merged": (merge,),
    "doubled": (double,),
    "all three": (delete, merge, double),
}


def damaged(evidence: Evidence, ways: Sequence[Damage], rng: np.random.Generator) -> Evidence:
    """Do one of these to a fifth of the components each."""
    classes = evidence.probabilities.argmax(axis=0)
    whole = list(components(classes))
    for i in rng.choice(len(whole), max(1, round(SHARE * len(whole))), replace=False):
        rng.choice(np.array(ways))(classes, whole[i], rng)
    return dataclasses.replace(evidence, probabilities=as_probabilities(classes.astype(np.uint8)))


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_guarantees_hold_on_every_output(outputs: list[tuple[str, Evidence]], damage: str) -> None:
    for number, (name, output) in enumerate(outputs):
        ways = DAMAGES[damage]
        evidence = damaged(output, ways, np.random.default_rng(number)) if ways else output
        found = identify(evidence)
        names = {value: structure for value, structure in found.names.items() if structure in VERSE}
        source, target = evidence.grid, evidence.scan_grid
        labels = paint(evidence.probabilities, evidence.classes, source, found.instances, names, target=target, scheme=VERSE)
        guarantees.names_are_strictly_ordered(found)
        guarantees.every_disc_lies_between_its_vertebrae(found)
        guarantees.one_component_per_name(labels, found)
        painted_labels_are_ordered_along_the_spine(labels, evidence.line, name)


def painted_labels_are_ordered_along_the_spine(labels: LabelMap, line: SpineLine, name: str) -> None:
    ordered = in_order(labels.structures)  # the canal runs along all of them
    centroids = np.array([labels.grid.to_world(np.argwhere(labels[structure]).mean(axis=0)) for structure in ordered])
    places = dict(zip(ordered, line.locate(centroids)[0], strict=True))
    assert list(places) == sorted(places, key=lambda structure: places[structure]), (name, places)

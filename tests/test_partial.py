"""Partly labelled scans: nothing that is visible but unlabelled is ever taught as background."""

from __future__ import annotations

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.labels import SACRUM, VERSE, is_disc
from cascade.partial import spine_regions
from cascade.phantom import PhantomSpec, render
from cascade.stage1_spine.target import target as target1
from cascade.stage2_levels.target import CLASSES
from cascade.stage2_levels.target import target as target2
from cascade.volume import LabelMap

BACKGROUND, BODY, DISC, SACRAL, CANAL = (1 << i for i in range(5))


@pytest.fixture(scope="module")
def truth() -> LabelMap:
    """Everything that can be seen."""
    return render(PhantomSpec(shape=(9, 91, 141), spacing_mm=(6.0, 2.2, 2.2), thoracic=2))[1]


def keeping(truth: LabelMap, *structures: str) -> LabelMap:
    """What a data set labels that knows only these structures."""
    keep = np.isin(truth.data, [VERSE[name] for name in structures])
    return LabelMap(np.where(keep, truth.data, 0).astype(np.uint8), truth.grid, VERSE)


def bit(structure: str) -> int:
    return SACRAL if structure == SACRUM else DISC if is_disc(structure) else BODY


LUMBAR = ("L1", "L2", "L3", "L4", "L5")
DISCS = ("L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")
#: As the public data sets label: bodies only, bodies and discs, bodies with S1, discs only, the upper end cut off.
PARTIAL = {
    "bodies": LUMBAR,
    "bodies and discs": (*LUMBAR, *DISCS),
    "bodies and sacrum": (*LUMBAR, SACRUM),
    "discs": DISCS,
    "upper bodies": ("T12", "L1", "L2", "L3"),
    "two bodies": ("L4", "L5"),
}
partial = pytest.mark.parametrize("structures", PARTIAL.values(), ids=PARTIAL.keys())


@partial
def test_what_is_labelled_allows_its_own_class_only(truth: LabelMap, structures: tuple[str, ...]) -> None:
    labels = keeping(truth, *structures)
    allowed = target2(labels)
    for name in structures:
        assert set(np.unique(allowed[labels[name]])) == {bit(name)}


@partial
def test_what_is_visible_but_unlabelled_is_never_only_background(truth: LabelMap, structures: tuple[str, ...]) -> None:
    allowed = target2(keeping(truth, *structures))
    for name in truth.structures:
        if name in structures or name == "canal" or (name == SACRUM and "L5" not in structures and "L5-S1" not in structures):
            continue
        possible = (allowed[truth[name]] & bit(name)) > 0
        assert possible.mean() > 0.9, name


@partial
def test_every_voxel_allows_something_and_far_from_the_spine_only_background(truth: LabelMap, structures: tuple[str, ...]) -> None:
    labels = keeping(truth, *structures)
    allowed = target2(labels)
    assert allowed.dtype == np.uint8
    assert (allowed > 0).all()
    assert (allowed < 1 << len(CLASSES)).all()
    assert (allowed[:, :3, 60:80] == BACKGROUND).all()
    assert (allowed == BACKGROUND).mean() > 0.2


def test_a_class_that_a_scan_labels_is_not_allowed_between_its_labels(truth: LabelMap) -> None:
    labels = keeping(truth, *LUMBAR, *DISCS)
    regions = spine_regions(labels)
    between = regions.along & (labels.data == 0)
    assert set(np.unique(target2(labels)[between] & (BODY | DISC | SACRAL | BACKGROUND))) == {BACKGROUND}


def test_unlabelled_discs_may_be_anywhere_along_the_spine(truth: LabelMap) -> None:
    allowed = target2(keeping(truth, *LUMBAR))
    assert ((allowed[truth["L3-L4"]] & DISC) > 0).all()
    assert not (allowed[truth["L3-L4"]] & BODY).any()


def test_below_l5_there_is_no_body(truth: LabelMap) -> None:
    labels = keeping(truth, *LUMBAR)
    below = spine_regions(labels).below & (labels.data == 0)
    assert below.any()
    assert not (target2(labels)[below] & BODY).any()


def test_above_the_highest_label_the_spine_goes_on(truth: LabelMap) -> None:
    allowed = target2(keeping(truth, *LUMBAR, *DISCS))
    for name in ("T12", "T11"):
        assert ((allowed[truth[name]] & BODY) > 0).mean() > 0.9


class TestCanal:
    def test_where_it_is_labelled_it_is_its_own_class_and_nothing_else_is(self, truth: LabelMap) -> None:
        labels = keeping(truth, *LUMBAR, *DISCS, "canal")
        allowed = target2(labels)
        assert (allowed[labels["canal"]] == CANAL).all()
        between = spine_regions(labels).along & ~labels["canal"] & (labels.data == 0)
        assert (allowed[between] == BACKGROUND).mean() > 0.98
        assert "canal" not in spine_regions(labels).structures

    @partial
    def test_where_it_is_not_labelled_it_is_never_only_background(self, truth: LabelMap, structures: tuple[str, ...]) -> None:
        allowed = target2(keeping(truth, *structures))
        assert ((allowed[truth["canal"]] & CANAL) > 0).mean() > 0.95

    @partial
    def test_it_is_behind_the_bodies_and_not_in_them(self, truth: LabelMap, structures: tuple[str, ...]) -> None:
        allowed = target2(keeping(truth, *structures))
        for name in structures:
            front = truth[name] & (np.indices(truth.data.shape)[1] > np.argwhere(truth[name])[:, 1].mean())
            assert not (allowed[front] & CANAL).any(), name

    def test_beyond_the_ends_of_its_labels_it_is_open(self, truth: LabelMap) -> None:
        labels = keeping(truth, *LUMBAR, *DISCS, "canal")
        upper = labels["canal"] & (np.indices(truth.data.shape)[2] > 90)
        cut = LabelMap(np.where(labels["canal"] & ~upper, 0, labels.data).astype(np.uint8), labels.grid, VERSE)
        hidden = labels["canal"] & ~upper
        assert ((target2(cut)[hidden] & CANAL) > 0).mean() > 0.95
        assert (target2(cut)[upper] == CANAL).all()


class TestColumn:
    def test_the_column_joins_bodies_over_unlabelled_discs(self, truth: LabelMap) -> None:
        inside = target1(keeping(truth, *LUMBAR)) == 2
        for name in (*LUMBAR, "L1-L2", "L2-L3", "L3-L4", "L4-L5"):
            assert inside[truth[name]].mean() > 0.85, name

    def test_beyond_the_labels_the_column_is_left_open(self, truth: LabelMap) -> None:
        allowed = target1(keeping(truth, *LUMBAR))
        for name in ("T12", "T11", SACRUM):
            assert ((allowed[truth[name]] & 2) > 0).mean() > 0.9, name

    def test_it_does_not_leak_into_the_canal_or_the_abdomen(self, truth: LabelMap) -> None:
        inside = target1(keeping(truth, *LUMBAR, *DISCS)) == 2
        labelled = np.isin(truth.data, [VERSE[name] for name in (*LUMBAR, *DISCS)])
        assert inside.sum() < 1.25 * labelled.sum()
        assert inside[truth["canal"]].mean() < 0.05

    def test_discs_alone_do_not_show_the_column(self, truth: LabelMap) -> None:
        with pytest.raises(InputError, match="expected labelled vertebral bodies"):
            target1(keeping(truth, *DISCS))


@pytest.mark.parametrize("structures", [(), ("L3",), ("canal",)])
def test_fewer_than_two_structures_are_refused(truth: LabelMap, structures: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="at least two labelled"):
        spine_regions(keeping(truth, *structures))

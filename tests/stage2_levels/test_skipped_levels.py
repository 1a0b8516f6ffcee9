"""Levels that the labels pass over between labelled ones are not background."""

from __future__ import annotations

import numpy as np

from cascade.labels import skipped
from cascade.stage1_spine import target as stage1
from cascade.stage2_levels import target as stage2
from cascade.volume import LabelMap
from tests.datasets.miniatures import BODIES, NINE, phantom

_BODY, _DISC = 2, 4


def only(names: tuple[str, ...]) -> LabelMap:
    labels = phantom()[1]
    kept = np.isin(labels.data, [labels.scheme[name] for name in names])
    return LabelMap(np.where(kept, labels.data, 0).astype(np.uint8), labels.grid, labels.scheme)


def test_a_body_that_the_labels_pass_over_is_not_background() -> None:
    allowed = stage2.target(only(tuple(n for n in NINE if n != "L3")))
    l3 = phantom()[1]["L3"]
    assert ((allowed[l3] & _BODY) > 0).mean() > 0.99


def test_a_disc_that_the_labels_pass_over_is_not_background() -> None:
    allowed = stage2.target(only(tuple(n for n in NINE if n != "L2-L3")))
    disc = phantom()[1]["L2-L3"]
    assert ((allowed[disc] & _DISC) > 0).all()


def test_the_lumbosacral_disc_is_not_background_where_only_upper_discs_are_labelled() -> None:
    allowed = stage2.target(only(NINE))
    disc = phantom()[1]["L5-S1"]
    assert ((allowed[disc] & _DISC) > 0).mean() > 0.9


def test_where_every_level_is_labelled_nothing_is_left_open_between_them() -> None:
    labels = only(NINE)
    assert skipped(labels.structures) == ()
    allowed = stage2.target(labels)
    assert (allowed[labels["L3"]] == _BODY).all()
    assert (allowed[labels["L2-L3"]] == _DISC).all()


def test_the_column_is_open_where_a_body_is_passed_over() -> None:
    labels = only(tuple(n for n in BODIES if n != "L3"))
    allowed = stage1.target(labels)
    l3 = phantom()[1]["L3"]
    assert ((allowed[l3] & stage1.COLUMN) > 0).mean() > 0.99

"""Steps of correction, back and forth."""

from __future__ import annotations

import json

import pytest

from cascade.errors import InputError
from cascade.postproc.clicks.click import Click
from cascade.review.edits import MAX_STEPS, Edit, History

L3, L4 = Click((1.0, 2.0, 3.0), "L3"), Click((1.0, 2.0, 30.0), "L4")
AWAY = Click((5.0, 6.0, 7.0), "background")


def test_a_step_after_undo_forgets_what_was_taken_back() -> None:
    history = History().with_step(Edit((L3,), says="a")).with_step(Edit((L3, AWAY), says="b"))
    back = history.moved(-1)
    assert back.now.clicks == (L3,)
    assert back.moved(1).now.clicks == (L3, AWAY)
    other = back.with_step(Edit((L3, L4), says="c"))
    assert other.moved(1).now.clicks == (L3, L4)


def test_there_is_nothing_before_the_first_step_and_after_the_last() -> None:
    history = History().with_step(Edit((L3,)))
    assert not history.moved(-5).now
    assert history.moved(5) == history


def test_steps_survive_json() -> None:
    edit = Edit().named(L3, "this is L3").clicked(AWAY, says="taken").numbered("count 6", count=6, lowest="L6")
    history = History().with_step(edit)
    again = History.from_json(json.loads(json.dumps(history.to_json())))
    assert again == history
    assert again.now.names == {L3}


def test_a_new_name_takes_the_place_of_names_but_of_nothing_else() -> None:
    edit = Edit().named(L3, "").clicked(AWAY, says="").renamed(L4, "")
    assert edit.clicks == (AWAY, L4)
    assert edit.names == {L4}


def test_steps_are_bounded() -> None:
    history = History()
    for _ in range(MAX_STEPS - 1):
        history = history.with_step(Edit((L3,)))
    with pytest.raises(InputError, match="at most"):
        history.with_step(Edit((L3,)))

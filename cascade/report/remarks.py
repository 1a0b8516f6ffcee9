"""The warnings of a page: alarms first, notes last."""

from __future__ import annotations

import html
from collections.abc import Sequence

from cascade.notices import RANKS, Notice, count_of
from cascade.report.picture import display_name


def remarks(notices: Sequence[Notice]) -> str:
    """The section of a page, as HTML; that of notes alone is no warning."""
    ordered = sorted(notices, key=lambda notice: -RANKS.index(notice.rank))
    loud = [notice for notice in ordered if notice.is_for_looking]
    parts = (("Warnings", loud, ' class="notes" role="alert"'), ("Notes", ordered[len(loud) :], ' id="remarks"'))
    return "".join(f"<section{how}><h2>{title}</h2><ul>{''.join(map(_item, group))}</ul></section>" for title, group, how in parts if group)


def counted(notices: Sequence[Notice]) -> tuple[str, str]:
    """The number of warnings and alarms, and what is said below it.

    >>> counted([Notice("few-slices", None, "7"), Notice("missing-body", None, "L2")])
    ('1', '1 alarm, 1 note')
    """
    numbers = {rank: sum(notice.rank == rank for notice in notices) for rank in reversed(RANKS)}
    words = [count_of(number, rank) for rank, number in numbers.items() if number]
    return str(sum(notice.is_for_looking for notice in notices)), ", ".join(words) or "none"


def _item(notice: Notice) -> str:
    return f'<li class="{notice.rank}"><code>{html.escape(notice.code)}</code> {_said(notice)}</li>'


def _said(notice: Notice) -> str:
    """The text of a warning, led by the level it is about unless it begins with it."""
    text = html.escape(notice.text)
    if notice.level is None:
        return text
    name = f"<b>{html.escape(display_name(notice.level))}</b>"
    return f"{name}{text.removeprefix(notice.level)}" if notice.text.startswith(notice.level) else f"{name}: {text}"

"""Notes have a day, an id, a question and an answer, and stand in the list."""

from __future__ import annotations

import datetime
import re

from tests.docs.pages import NOTES, PAGES, links, text_of


def test_each_note_has_an_id_of_its_own_and_they_are_counted_on() -> None:
    ids = sorted(re.findall(r"^# (N\d{3}): \S", text_of(note), flags=re.MULTILINE) for note in NOTES)
    assert ids == [[f"N{number:03d}"] for number in range(1, len(NOTES) + 1)]


def test_each_note_is_dated_and_asks_and_answers() -> None:
    assert len(NOTES) >= 10
    assert all(datetime.date.fromisoformat(note.name[:10]) and re.fullmatch(r"[a-z0-9-]+", note.stem[11:]) for note in NOTES)
    assert [note.name for note in NOTES if not re.search(r"^Question: .+?^Answer: .+?", text_of(note), re.MULTILINE | re.DOTALL)] == []


def test_the_list_names_each_note_once_with_its_id_and_day() -> None:
    rows = re.findall(r"^\| \[(N\d{3})\]\((\S+)\) \| (\S+) \|", text_of(NOTES[0].with_name("README.md")), flags=re.MULTILINE)
    titles = {note.name: text_of(note)[2:6] for note in NOTES}
    assert rows == [(id_, name, name[:10]) for name, id_ in sorted(titles.items(), key=lambda item: item[1])]


def test_an_id_in_a_link_is_that_of_the_note_it_leads_to() -> None:
    titles = {note.name: text_of(note)[2:6] for note in NOTES}
    named = [pair for page in PAGES for pair in re.findall(r"\[(N\d{3})\]\(([^)\s]+)\)", text_of(page))]
    assert len(named) > len(NOTES)
    assert [(id_, link) for id_, link in named if titles[link.rsplit("/")[-1]] != id_] == []
    assert {link.rsplit("/")[-1] for page in PAGES for link in links(text_of(page)) if "notes/2" in link} <= set(titles)

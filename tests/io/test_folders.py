"""What a search of a folder comes by: links, circles, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

from cascade.io.folders import walk


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in walk(folder)]


def test_linked_folders_are_followed_and_each_place_is_come_to_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep" / "b").touch()
    (tmp_path / "in" / "own").mkdir(parents=True)
    (tmp_path / "in" / "own" / "a").touch()
    for name, target in {"1": "in/own", "2": "elsewhere", "3": "elsewhere/deep", "4": "in", "5": "elsewhere"}.items():
        (tmp_path / "in" / name).symlink_to(tmp_path / target)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    assert names(tmp_path / "in") == ["2/deep/b", "own/a"]


def test_a_link_to_a_folder_above_brings_what_is_new_there(tmp_path: Path) -> None:
    for name in ("in", "beside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
    (tmp_path / "in" / "up").symlink_to(tmp_path)
    assert names(tmp_path / "in") == ["a", "up/beside/a"]


def test_what_is_no_folder_is_an_entry_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names(tmp_path) == ["broken", "self"]


def test_a_folder_that_is_a_link_itself_is_searched(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a"]

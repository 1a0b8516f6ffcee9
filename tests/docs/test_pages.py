"""Pages name what is there: files, anchors, modules, functions."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.docs.pages import NOTES, PAGES, ROOT, anchors, links, text_of

#: Pages of the past name modules as they were called then.
PAST = {*NOTES, ROOT / "CHANGELOG.md"}
NAMED = [page for page in PAGES if page not in PAST]
#: Files of an exported bundle, not of the repository.
IN_A_BUNDLE = {"docs/README.md", "docs/model_card.md"}


def test_the_pages_were_found() -> None:
    assert {"README.md", "CONTRIBUTING.md"} <= {page.name for page in PAGES}
    assert len(PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    local = [link for link in links(text_of(page)) if not link.startswith(("http://", "https://", "mailto:"))]
    split = [(link, *link.partition("#")[::2]) for link in local]
    there = [(link, (page.parent / path).resolve() if path else page, anchor) for link, path, anchor in split]
    assert [link for link, target, _ in there if not target.exists()] == []
    assert [link for link, target, anchor in there if anchor and anchor not in anchors(text_of(target))] == []


@pytest.mark.parametrize("page", NAMED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_of_the_repository_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"(?<![\w/.-])(?:cascade|tests|benchmarks|docs|integrations)/[\w/.*-]+", text_of(page)))
    paths = {name.rstrip("./") for name in named} - IN_A_BUNDLE
    assert [name for name in sorted(paths) if not list(ROOT.glob(name)) and not is_new(name, page)] == []


@pytest.mark.parametrize("page", NAMED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_name_of_the_package_that_a_page_names_exists(page: Path) -> None:
    names = set(re.findall(r"(?<![\w/.-])cascade(?:\.[A-Za-z_]\w*)+", text_of(page)))
    assert [name for name in sorted(names) if not exists(name) and not is_new(name.replace(".", "/"), page)] == []


def is_new(path: str, page: Path) -> bool:
    """Whether a page of recipes makes this file, or the folder that it is in."""
    files = re.findall(r"^New file `(\S+)\.py`:$", text_of(page), flags=re.MULTILINE)
    made = [file.removesuffix("/__init__") for file in files]
    return any(f"{path}/".startswith((f"{file}/", f"{file}.py")) for file in made)


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one.

    >>> exists("cascade.volume.Grid.spacing_mm"), exists("cascade.volume.grid")
    (True, False)
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            if not hasattr(found, attribute):
                return attribute in getattr(found, "__dataclass_fields__", {})
            found = getattr(found, attribute)
        return True
    return False

"""The documentation as a site: ``sphinx-build -W -b html docs site``. Links are followed by the tests, which know the whole repository."""

import re
from typing import Any

from cascade import __version__

project, author, release = "cascade", "the cascade contributors", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title, html_show_copyright = "furo", f"cascade {__version__}", False
highlight_language = "text"
html_static_path = html_css_files = ["site.css"]
exclude_patterns = ["examples", "tutorials/*.py"]
myst_heading_anchors = 4
#: Files of the repository beside this folder are no pages of the site; tests/docs/test_pages.py follows every link.
suppress_warnings = ["myst.xref_missing", "myst.header"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

#: Pages that lie elsewhere in the repository, and what shows them here.
_SHOWN_BY = {"README": "index", "CHANGELOG": "changelog", "weights/README": "model-card"}


def _link(_: Any, name: str, source: list[str]) -> None:
    """Links to pages of the repository lead to the pages of the site that show them; below the list of notes are the notes."""
    up = "../" * (name.count("/") + 1)
    for there, here in _SHOWN_BY.items():
        source[0] = re.sub(rf"\]\({re.escape(up + there)}\.md", f"]({up[3:]}{here}.md", source[0])
    if name == "notes/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n2*\n```\n"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _link)

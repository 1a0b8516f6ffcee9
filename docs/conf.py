"""The documentation as a site: ``sphinx-build -W -b html docs site``. Links are followed by the tests, which know the whole repository."""

from cascade import __version__

project, author, release = "cascade", "the cascade contributors", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title = "furo", f"cascade {__version__}"
exclude_patterns = ["examples"]
myst_heading_anchors = 4
#: Files of the repository beside this folder are no pages of the site; tests/docs/test_pages.py follows every link.
suppress_warnings = ["myst.xref_missing", "myst.header"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False

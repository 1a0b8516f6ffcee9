"""A result in a cell of a notebook."""

from __future__ import annotations

import html
import re

from cascade.report.notebook import View
from tests.phantom_result import phantom_result


def test_a_notebook_shows_the_whole_page_in_a_frame_that_can_do_nothing_else() -> None:
    result = phantom_result()
    view = result.view("mine.nii.gz", height=700)
    assert isinstance(view, View)
    cell = view._repr_html_()
    frame = re.fullmatch(r'<iframe sandbox="allow-scripts" style="width:100%;height:700px;border:0" srcdoc="([^"]*)"></iframe>', cell)
    assert frame
    page = html.unescape(frame[1])
    assert page.startswith("<!doctype html>")
    assert "mine.nii.gz" in page
    assert all(level.name in page for level in result.levels)
    assert "default-src 'none'" in page

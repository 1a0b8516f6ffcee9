"""A result in a cell of a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass

from cascade.report.page import page_of
from cascade.report.result import Result


@dataclass(frozen=True)
class View:
    """The page of one scan, which notebooks show in a frame of its own: slices, names, measurements, warnings.

    Parameters
    ----------
    page : str
        HTML that needs nothing else.
    height : int
        Of the frame, in pixels.
    """

    page: str
    height: int

    def _repr_html_(self) -> str:
        """What Jupyter shows; the frame may run the page's script and nothing else."""
        frame = f"width:100%;height:{self.height}px;border:0"
        return f'<iframe sandbox="allow-scripts" style="{frame}" srcdoc="{html.escape(self.page, quote=True)}"></iframe>'


def view(result: Result, title: str = "scan", height: int = 900) -> View:
    """Show a result: see `View`."""
    return View(page_of(result, title), height)

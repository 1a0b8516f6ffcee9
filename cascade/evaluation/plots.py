"""Plots of an evaluation, as SVG to put into a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from cascade.evaluation.compare import StructureScore
from cascade.evaluation.figures import Group
from cascade.evaluation.results import CaseResult
from cascade.labels import CANAL, in_order

#: Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999")
_GOLDEN = 0.618


@dataclass(frozen=True)
class Axis:
    """A linear axis: values from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel of a value; values beyond the ends are drawn at the ends."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """About five round values."""
        raw = (self.high - self.low) / 5
        scale = 10.0 ** np.floor(np.log10(raw))
        step = scale * min((1, 2, 5, 10), key=lambda factor: abs(factor * scale - raw))
        return [float(step * n) for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def colour_by_dataset(results: Sequence[CaseResult]) -> dict[str, str]:
    """One colour a data set; beyond seven they repeat."""
    names = sorted({result.pair.case.dataset for result in results})
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def forest(groups: Sequence[Group], figure: str, axis_label: str) -> str:
    """Draw a figure of every group as a dot with its confidence interval."""
    shown = [(group, group.figures[figure]) for group in groups if group.figures[figure].mean is not None]
    low = min((f.low if f.low is not None else f.mean or 0.0 for _, f in shown), default=0.0)
    x = Axis(max(0.0, np.floor(low * 10 - 0.5) / 10), 1.0, 190, 690)
    bottom = 12 + 24 * len(shown)
    marks = [_line(x.at(tick), 6, x.at(tick), bottom, "grid") + _text(x.at(tick), bottom + 16, f"{tick:g}", "middle") for tick in x.ticks]
    for row, (group, value) in enumerate(shown):
        y = 18 + 24 * row
        marks.append(_text(180, y + 4, f"{group.dataset} {group.kind}", "end"))
        if value.low is not None and value.high is not None:
            marks.append(_line(x.at(value.low), y, x.at(value.high), y, "interval"))
        marks.append(_dot(x.at(value.mean or 0.0), y, "currentColor", f"{group.dataset} {group.kind}: {value.mean:.3f}", radius=4.5))
    return _svg(720, bottom + 40, [*marks, _text(440, bottom + 34, axis_label, "middle")])


def strip(results: Sequence[CaseResult], value: Callable[[StructureScore], float], axis_label: str, high: float = 1.0) -> str:
    """Draw one dot a structure and case over the structures, cranial to caudal, with a bar at each median.

    Parameters
    ----------
    results : sequence of CaseResult
    value : callable
        What to draw of a structure; NaN is left out.
    axis_label : str
    high : float
        Upper end of the axis; larger values are drawn there.
    """
    dots: dict[str, list[tuple[CaseResult, float]]] = {}
    for result in results:
        for score in (score for kind in result.kinds for score in kind.structures):
            if not np.isnan(value(score)):
                dots.setdefault(score.structure, []).append((result, value(score)))
    colours = colour_by_dataset(results)
    y = Axis(0.0, high, 252, 12)
    width = 60 + 46 * max(len(dots), 8)
    marks = [_line(50, y.at(tick), width - 8, y.at(tick), "grid") + _text(44, y.at(tick) + 4, f"{tick:g}", "end") for tick in y.ticks]
    for column, structure in enumerate([*in_order(dots), *(name for name in dots if name == CANAL)]):
        centre = 74 + 46 * column
        median = y.at(float(np.median([number for _, number in dots[structure]])))
        marks.append(_line(centre - 16, median, centre + 16, median, "interval"))
        marks.append(_text(centre, 272, structure.replace("-", "/"), "middle"))
        for n, (result, number) in enumerate(dots[structure]):
            about = f"{result.pair.name} {structure}: {number:.3g}"
            marks.append(_dot(centre - 15 + 30 * (n * _GOLDEN % 1), y.at(number), colours[result.pair.case.dataset], about))
    return _svg(width, 300, [*marks, _text(50, 294, axis_label, "start")])


def legend(results: Sequence[CaseResult]) -> str:
    """Name the colours of the data sets."""
    swatches = (
        f'<span class="key" style="background:{colour}"></span>{escape(name)}' for name, colour in colour_by_dataset(results).items()
    )
    return f"<p>{' &nbsp; '.join(swatches)}</p>"


def _svg(width: float, height: float, marks: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img">{"".join(marks)}</svg>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dot(x: float, y: float, colour: str, about: str, radius: float = 3) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"><title>{escape(about)}</title></circle>'

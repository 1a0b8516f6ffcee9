"""One page about an evaluation: figures, plots, and the worst cases as pictures. It needs nothing beside or behind it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from cascade._version import __version__
from cascade.errors import CascadeError
from cascade.evaluation import plots
from cascade.evaluation.compare import ALL_RIGHT_DICE, DETECTED_DICE, SLIVER_SHARE
from cascade.evaluation.figures import CONFIDENCE, HEADINGS, RESAMPLES, Figure, Group, Heading
from cascade.evaluation.results import CaseResult
from cascade.evaluation.summary import Evaluation, worst_first
from cascade.io.files import replacing
from cascade.labels import is_level
from cascade.notices import count_of
from cascade.report.picture import display_name, draw
from cascade.volume import FloatArray, LabelMap, Volume

#: So many cases are shown as pictures.
_WORST = 6

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; background: #fff }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0 } .wide { overflow-x: auto }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #d8dee4; vertical-align: top }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
small { display: block; white-space: nowrap; color: #59636e } svg { max-width: 100%; height: auto }
svg text { font-size: 12px; fill: currentColor }
.grid { stroke: #d8dee4 } .interval { stroke: currentColor; stroke-width: 2 } circle { fill-opacity: .75 }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .3em }
figure { margin: 1.5rem 0 } figure img { max-width: 100% } li { overflow-wrap: anywhere }
"""


def write_page(evaluation: Evaluation, path: Path) -> None:
    """Write the page: one HTML file that refers to no other."""
    with replacing(path, ".html") as temporary:
        temporary.write_text(_page(evaluation), encoding="utf-8")


def _page(evaluation: Evaluation) -> str:
    results = evaluation.results
    patients = count_of(len({result.pair.case.patient for result in results}), "patient")
    parts = [
        f"<h1>Evaluation</h1><p>{count_of(len(results), 'case')} of {patients}; structures from {escape(evaluation.highest)} down that the "
        f"reference labels. In small print: {CONFIDENCE:.0%} confidence intervals, bootstrap over patients.</p>",
        _problems(evaluation),
        "<h2>By data set</h2>",
        _table("data set", [(group.dataset, group) for group in evaluation.groups]),
        plots.forest(evaluation.groups, "dice", "Dice with the prediction of the same name: mean and confidence interval"),
        "<h2>By structure</h2>",
        plots.legend(results),
        plots.strip(results, lambda score: score.dice, "Dice with the prediction of the same name (bar: median)"),
        plots.strip(
            results, lambda score: score.distance95_mm, "95 % surface distance to the match in mm, cut at 10 (bar: median)", high=10
        ),
        _table("structure", [(display_name(group.structure), group) for group in evaluation.structures]),
        "<h2>Worst cases</h2>",
        *(_case(result) for result in worst_first(results)[:_WORST]),
        _DEFINITIONS,
        f"<p>Written by cascade {__version__}. For research; not a medical device.</p>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Evaluation</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _problems(evaluation: Evaluation) -> str:
    notices = [f"{result.pair.name}: {notice.text}" for result in evaluation.results for notice in result.notices]
    lines = "".join(f"<li>{escape(text)}</li>" for text in (*evaluation.unusable, *notices))
    return f"<h2>Problems</h2><ul>{lines}</ul>" if lines else ""


def _table(first: str, rows: Sequence[tuple[str, Group]]) -> str:
    figures = [name for name in HEADINGS if any(name in group.figures for _, group in rows)]
    headings = [first, "kind", "cases", "patients", "structures", *(HEADINGS[name].text for name in figures)]
    lines = [f"<tr>{''.join(f'<th>{escape(heading)}</th>' for heading in headings)}</tr>"]
    for name, group in rows:
        cells = [escape(str(cell)) for cell in (name, group.kind, group.cases, group.patients, group.structures)]
        cells += [_cell(group.figures[figure], HEADINGS[figure]) for figure in figures]
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(figure: Figure, heading: Heading) -> str:
    interval = f"<small>{heading.show(figure.low)}&ndash;{heading.show(figure.high)}</small>" if figure.low is not None else ""
    return heading.show(figure.mean) + interval


def _case(result: CaseResult) -> str:
    scores = [score for kind in result.kinds for score in kind.structures]
    mean = sum(score.dice for score in scores) / len(scores)
    worst = sorted(scores, key=lambda score: score.dice)[:4]
    lines = [
        f"{display_name(score.structure)} {score.dice:.3f}"
        + ("" if score.level_right else f" (found as {display_name(score.match or chr(8211))})")
        for score in worst
    ]
    extra = [name for kind in result.kinds for name in kind.extra]
    text = f"{result.pair.name}: mean Dice {mean:.3f}; worst {', '.join(lines)}" + (
        f"; extra {', '.join(map(display_name, extra))}" if extra else ""
    )
    return f"<figure><figcaption>{escape(text)}</figcaption>{_picture(result)}</figure>"


def _picture(result: CaseResult) -> str:
    """The scan with the reference and with the prediction in colour; nothing where there is no scan that fits."""
    try:
        scan, reference = result.pair.case.load()
    except CascadeError:
        return "<p>No picture: the scan is not beside the reference.</p>"
    scan = Volume(np.nan_to_num(scan.data, posinf=0, neginf=0), scan.grid)
    prediction = result.pair.empty_prediction(reference) if result.failed else result.pair.load_prediction()[0]
    picture = draw(scan, reference, _centres_mm(reference), prediction)
    return f'<img alt="scan, reference, prediction" src="{_data_uri(picture)}"><p>scan, reference, prediction</p>'


def _centres_mm(labels: LabelMap) -> FloatArray:
    """Centres of the labelled levels: where the picture cuts the scan."""
    values = [value for value, name in zip(labels.values, labels.structures, strict=True) if is_level(name)]
    return labels.grid.to_world(ndimage.center_of_mass(labels.data > 0, labels.data, values))


def _data_uri(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


_DEFINITIONS = f"""<h2>Definitions</h2>
<p>The <em>match</em> of a labelled structure is the predicted structure of its kind that overlaps it most, whatever its name.
<em>Dice</em>: with the prediction of the same name. <em>Any name</em>: Dice with the match. <em>Detected</em>: Dice with the match
above {DETECTED_DICE}. <em>Mean</em> and <em>95 %</em>: distance between the surfaces of structure and match, and <em>volume</em>:
absolute error of the volume, both of detected structures. <em>Level</em>: share of the detected structures whose name is right.
<em>All right</em>: share of the cases in which every structure of the kind has a match with the right name and Dice above
{ALL_RIGHT_DICE}. <em>Extra</em>: predicted structures per case that overlap no labelled one although they lie between the highest and
the lowest. Structures that the upper or lower border of the scan cuts to less than {SLIVER_SHARE:.0%} of the median volume are not
scored. Intervals: {RESAMPLES} bootstrap resamples of whole patients.</p>"""

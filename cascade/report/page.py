"""One self-contained HTML page a scan, and an index page for a folder of them: nothing is fetched, nothing but the file's name is told."""

from __future__ import annotations

import dataclasses
import html
import importlib.resources
import json
import math
import os
import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cascade.errors import InputError
from cascade.io.files import place_of, replacing
from cascade.labels import BODIES
from cascade.measure import Measurement, find_marks
from cascade.notices import count_of, percent
from cascade.report.findings import findings
from cascade.report.picture import PIXEL_MM, curved_sagittal, display_name, display_span, draw
from cascade.report.remarks import counted, remarks
from cascade.report.views import Stroke, View, curved_view, data_uri, slice_views
from cascade.terminology import colour_of

if TYPE_CHECKING:
    from cascade.report.result import Result

_THUMBNAIL = (360, 400)
#: What a thumbnail shows around the labelled structures.
_AROUND_MM = 25.0
_CARD = re.compile(r'<script type="application/json" id="card-data">(?P<card>.*?)</script>')
#: What stands for itself in an address (RFC 3986).
_PLAIN = frozenset(string.ascii_letters + string.digits + "-._~/")
#: Confidence below which a level is marked.
_LOW = 0.9
#: Columns of the two tables: field of `Measurement`, heading, unit, decimals, explanation.
_SHARED = (
    ("volume_ml", "Volume", "ml", 1, "voxels times voxel volume"),
    ("anterior_mm", "Anterior", "mm", 1, "height at 4/5 of the depth"),
    ("middle_mm", "Middle", "mm", 1, "height at half the depth"),
    ("posterior_mm", "Posterior", "mm", 1, "height at 1/5 of the depth"),
    ("depth_mm", "Depth", "mm", 1, "front to rear at half height"),
    ("width_mm", "Width", "mm", 1, "side to side at half height"),
    ("wedge_deg", "Wedge", "°", 1, "between the end plates; positive: higher in front"),
)
_COLUMNS = {
    "body": (
        *_SHARED,
        ("segment_deg", "Segment", "°", 1, "to the upper end plate of the next body below; positive: lordotic"),
        ("slip_mm", "Slip", "mm", 1, "on the next body below; positive: to the front"),
        ("signal", "Signal", "", 2, "median intensity over that of the fluid beside it"),
    ),
    "disc": (
        *_SHARED,
        ("height_index", "Index", "", 2, "mean height over the middle height of the bodies it joins"),
        ("signal", "Signal", "", 2, "mean intensity over that of the reference named beside it"),
    ),
}
_CUT = {
    "end": ("not measured", "cut by the border of the field of view"),
    "side": ("cut at the side", "neither volume nor width is measured"),
}


def save_report(result: Result, path: Path, title: str) -> None:
    """Write the page of one scan.

    Parameters
    ----------
    result : Result
        A `cascade.segmentation.Segmentation`.
    path : Path
        ``.html``; written beside it first, then renamed.
    title : str
        The scan's file name; nothing else tells where it comes from.
    """
    with replacing(path) as temporary:
        temporary.write_text(page_of(result, title), encoding="utf-8")


def page_of(result: Result, title: str) -> str:
    """The page of one scan, as HTML that needs nothing else."""
    title = shown(title)
    return _template("page.html").substitute(
        title=html.escape(title),
        style=_asset("style.css"),
        script=_asset("page.js"),
        summary=_summary(result),
        warnings=remarks(result.warnings),
        curved=_curved(result),
        findings=findings(result.measurements),
        slices=_json([_slice(view) for view in slice_views(result.scan, result.labels)]),
        colours=_json({name: _colour(name) for name in result.labels.structures}),
        bodies=_table(result, "body"),
        discs=_table(result, "disc"),
        provenance=_provenance(result),
        card=_json(dataclasses.asdict(_card_of(result, title))),
    )


@dataclass(frozen=True)
class _Card:
    """What the index shows of a scan; part of its report."""

    title: str
    thumbnail: str
    confidence: float
    weakest: str
    codes: Sequence[str]
    found: str


@dataclass
class ReportIndex:
    """The page that leads to the reports of a folder, the least confident scan first.

    Parameters
    ----------
    folder : Path
        Of the reports.
    """

    folder: Path
    _cards: list[tuple[_Card, str]] = field(default_factory=list, init=False)
    _failed: list[tuple[str, str]] = field(default_factory=list, init=False)

    def add(self, report: Path) -> None:
        """Take up a scan by its report.

        Raises
        ------
        InputError
            The file is no report of this version.
        """
        try:
            embedded = _CARD.search(place_of(report).read_text(encoding="utf-8"))
            card = _Card(**json.loads(embedded["card"] if embedded else ""))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{report}: expected a report of this version ({error}); make it again") from error
        place = self._place(report)
        card = dataclasses.replace(card, title=shown(place.with_name(card.title).as_posix()))
        self._cards.append((card, _address(place)))

    def add_failed(self, report: Path, title: str, why: str) -> None:
        """Take up a scan whose report there will not be, and why."""
        self._failed.append((shown(self._place(report).with_name(title).as_posix()), shown(why)))

    def _place(self, report: Path) -> Path:
        return Path(os.path.relpath(report, self.folder))

    def save(self, name: str = "index.html", notes: str = "") -> None:
        """Write the page into the folder; `notes` is HTML that it shows above the scans."""
        cards = sorted(self._cards, key=lambda entry: (entry[0].confidence, entry[0].title))
        failed = "".join(f"<li><b>{html.escape(title)}</b> {html.escape(why)}</li>" for title, why in sorted(self._failed))
        text = _template("index.html").substitute(
            style=_asset("style.css"),
            count=count_of(len(cards), "scan"),
            flagged=sum(bool(card.codes) for card, _ in cards),
            lost=len(self._failed),
            cards="".join(_card(card, href) for card, href in cards),
            failed=notes + (f'<section class="notes bad"><h2>Not segmented</h2><ul>{failed}</ul></section>' if failed else ""),
        )
        with replacing(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def shown(name: str) -> str:
    r"""A file name as text for people: bytes that are no UTF-8 are replaced, and a locale that knows only ASCII does not matter.

    >>> shown("sc\udce9n.nii.gz") == "sc\N{REPLACEMENT CHARACTER}n.nii.gz"
    True
    """
    return os.fsencode(name).decode("utf-8", "replace") if any("\udc80" <= letter <= "\udcff" for letter in name) else name


def _address(path: Path) -> str:
    """A relative path as an address: every byte but letters, digits and a few signs is written as its number.

    >>> _address(Path("a/50% #1.html"))
    'a/50%25%20%231.html'
    """
    return "".join(chr(byte) if chr(byte) in _PLAIN else f"%{byte:02X}" for byte in os.fsencode(path.as_posix()))


def _asset(name: str) -> str:
    return importlib.resources.files("cascade.report").joinpath(name).read_text(encoding="utf-8")


def _template(name: str) -> Template:
    return Template(_asset(name))


def _json(content: object) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _colour(structure: str) -> str:
    return "rgb({},{},{})".format(*colour_of(structure))


def _bodies(result: Result) -> list[str]:
    return [level.name for level in result.levels if level.name in BODIES]


def _span(result: Result) -> str:
    bodies = _bodies(result)
    return f"{bodies[0]} to {bodies[-1]}" if bodies else "none"


def _summary(result: Result) -> str:
    bodies = _bodies(result)
    lordosis = next((row for row in reversed(result.measurements) if row.kind == "lordosis"), None)
    facts = [
        ("Vertebrae", _span(result), f"{len(bodies)} named"),
        ("Naming confidence", _percent(result.numbering.confidence, 1), "probability of these names, given the number of lumbar vertebrae"),
        (
            "Lordosis",
            f"{lordosis.segment_deg:.0f}°" if lordosis and lordosis.segment_deg is not None else "n/a",
            f"{display_span(lordosis.structure)}, lying" if lordosis else "needs L1 and L5 or S1 in view",
        ),
        ("Warnings", *counted(result.warnings)),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd><dd>{html.escape(note)}</dd></div>" for name, value, note in facts)


def _curved(result: Result) -> str:
    """Both cuts along the column, slips and canal drawn over the sagittal one."""
    line_mm, marks = result.spine.centreline_mm, find_marks(result.fitted, result.measurements)
    sagittal = curved_view(result.scan, result.labels, line_mm, "sagittal", marks)
    return _figure(sagittal, "sagittal") + _figure(curved_view(result.scan, result.labels, line_mm, "coronal"), "coronal")


def _figure(view: View, name: str) -> str:
    paths = "".join(
        f'<path data-s="{o.structure}" style="--c:{_colour(o.structure)}" d="{o.path}"><title>{o.text}</title></path>'
        for o in view.outlines
    )
    names = "".join(
        f'<text data-s="{o.structure}" x="{o.at[0]:.1f}" y="{o.at[1]:.1f}" text-anchor="{o.anchor}">{o.text}</text>'
        for o in view.outlines
        if o.anchor != "none"
    )
    strokes = "".join(_stroke(stroke) for stroke in view.strokes)
    outlines = count_of(len(view.outlines), "structure")
    return (
        f'<figure class="view" id="{name}" style="--ratio:{view.width / view.height:.4f}"><div class="stack">'
        f'<img src="{view.source}" width="{view.width}" height="{view.height}" alt="The scan, {view.title}">'
        f'<svg viewBox="0 0 {view.width} {view.height}" style="--h:{view.height}" role="img" '
        f'aria-label="Outlines of {outlines}">{paths}{names}{strokes}{_sides(view)}{_scale(view)}</svg></div>'
        f"<figcaption>{view.title.capitalize()}</figcaption></figure>"
    )


def _stroke(stroke: Stroke) -> str:
    x1, y1, x2, y2 = stroke.ends
    line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    text = f'<text x="{max(x1, x2) + 6:.1f}" y="{y1:.1f}">{stroke.text}</text>' if stroke.text else ""
    return f'<g class="mark {stroke.kind}" data-s="{stroke.structure}">{line}{text}</g>'


def _sides(view: View) -> str:
    left, right = view.sides
    middle, margin = view.height / 2, view.height * 0.018
    return (
        f'<text class="side" x="{margin:.1f}" y="{middle:.1f}">{left}</text>'
        f'<text class="side" x="{view.width - margin:.1f}" y="{middle:.1f}" text-anchor="end">{right}</text>'
    )


def _scale(view: View) -> str:
    """A bar of 5 cm."""
    right, y = view.width - view.height * 0.018, view.height * 0.982
    left = right - 50 / view.pixel_mm
    return (
        f'<line class="scale" x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>'
        f'<text class="side" x="{right:.1f}" y="{view.height * 0.962:.1f}" text-anchor="end">5 cm</text>'
    )


def _slice(view: View) -> dict[str, object]:
    outlines = [[o.structure, o.text, o.path, round(o.at[0], 1), round(o.at[1], 1), o.anchor] for o in view.outlines]
    return {"title": view.title, "src": view.source, "w": view.width, "h": view.height, "mm": round(view.pixel_mm, 4), "o": outlines}


def _table(result: Result, kind: str) -> str:
    confidence = {level.name: level.confidence for level in result.levels}
    head = "".join(
        f'<th scope="col" title="{note}">{heading}{f"<small>{unit}</small>" if unit else ""}</th>'
        for _, heading, unit, _, note in _COLUMNS[kind]
    )
    rows = "".join(_table_row(row, kind, confidence.get(row.structure)) for row in result.measurements if row.kind == kind)
    if not rows:
        return '<p class="none">None found.</p>'
    name = "Body" if kind == "body" else "Disc"
    return f'<table><thead><tr><th scope="col">{name}</th>{head}<th scope="col">Confidence</th></tr></thead><tbody>{rows}</tbody></table>'


def _table_row(row: Measurement, kind: str, confidence: float | None) -> str:
    cells = "".join(_cell(row, name, decimals) for name, _, _, decimals, _ in _COLUMNS[kind])
    note, why = _CUT.get(row.cut, ("", ""))
    cut = f' <small class="cut" title="{why}">{note}</small>' if note else ""
    swatch = f'<i style="--c:{_colour(row.structure)}"></i>'
    button = f'<button type="button" data-s="{row.structure}" aria-pressed="false">{swatch}{display_name(row.structure)}</button>'
    return f'<tr data-s="{row.structure}"><th scope="row">{button}{cut}</th>{cells}{_bar(confidence)}</tr>'


def _cell(row: Measurement, name: str, decimals: int) -> str:
    value, sd = getattr(row, name), (row.sd or {}).get(name)
    if value is None:
        return '<td class="na">n/a</td>'
    note = f" <small>{row.signal_reference}</small>" if name == "signal" else ""
    error = "" if sd is None else f' <small class="sd">\N{PLUS-MINUS SIGN} {sd:.{decimals}f}</small>'
    number = f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
    return f"<td>{number}{error}{note}</td>"


def _percent(share: float, decimals: int = 0) -> str:
    """A probability, or that it is not known: labels alone do not tell it."""
    return "n/a" if math.isnan(share) else percent(share, decimals)


def _bar(confidence: float | None) -> str:
    if confidence is None or math.isnan(confidence):
        return '<td class="na">n/a</td>'
    low = ' class="low"' if confidence < _LOW else ""
    return f"<td{low}><meter min=0 low=0.7 high=0.9 optimum=1 max=1 value={confidence:.3f}></meter> {percent(confidence)}</td>"


def _provenance(result: Result) -> str:
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in _facts(result))


def _facts(result: Result) -> Iterable[tuple[str, str]]:
    told = result.provenance
    yield "cascade", str(told.get("version", "n/a"))
    for stage, digest in told.get("checkpoint_sha256", {}).items():
        yield f"sha256 of {stage}", str(digest)
    grid = result.scan.grid
    yield "Scan", f"{_times(grid.shape)} voxels of {_times(round(s, 3) for s in grid.spacing_mm)} mm, axes {grid.axcodes}"
    yield "Label scheme", result.labels.scheme.name
    yield "Device", " with ".join(str(told[name]) for name in ("device", "backend") if name in told) or "n/a"
    yield "Seconds", ", ".join(f"{part} {seconds:.1f}" for part, seconds in told.get("seconds", {}).items()) or "n/a"


def _times(numbers: Iterable[float]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(f"{number:g}" for number in numbers)


def thumbnail_of(result: Result, size: tuple[int, int] = _THUMBNAIL) -> Image.Image:
    """The coloured cut along the column around what was found, at most so many pixels wide and high."""
    picture = draw(result.scan, result.labels, result.spine.centreline_mm)
    _, numbers = curved_sagittal(result.scan, result.labels, result.spine.centreline_mm)
    rows, columns = np.nonzero(numbers) if numbers.any() else np.indices(numbers.shape).reshape(2, -1)
    margin = round(_AROUND_MM / PIXEL_MM)
    top, bottom = max(rows.min() - margin, 0), min(rows.max() + margin, numbers.shape[0])
    left, right = max(columns.min() - margin, 0), min(columns.max() + margin, numbers.shape[1])
    plain = numbers.shape[1]
    coloured = picture.crop((plain + left, top, plain + right, bottom))
    coloured.thumbnail(size, Image.Resampling.LANCZOS)
    return coloured


def _card_of(result: Result, title: str) -> _Card:
    weakest = min(result.levels, key=lambda level: level.confidence, default=None)
    return _Card(
        title,
        data_uri(thumbnail_of(result)),
        weakest.confidence if weakest else 0.0,
        display_name(weakest.name) if weakest else "none",
        [notice.code for notice in result.warnings if notice.is_for_looking],
        f"{_span(result)}, {count_of(len(result.levels), 'structure')}",
    )


def _card(card: _Card, href: str) -> str:
    flags = "".join(f"<code>{html.escape(code)}</code> " for code in card.codes)
    low = " low" if card.confidence < _LOW else ""
    title = html.escape(card.title)
    return (
        f'<li data-flagged="{int(bool(card.codes))}"><a href="{html.escape(href)}"><img src="{card.thumbnail}" alt=""><h2>{title}</h2></a>'
        f'<p class="confidence{low}">'
        f"<meter min=0 low=0.7 high=0.9 optimum=1 max=1 value={card.confidence:.3f}></meter> {percent(card.confidence)} "
        f'<small class="least">least sure: {card.weakest}</small></p><p><small>{card.found}</small></p><p>{flags}</p></li>'
    )

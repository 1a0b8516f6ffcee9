"""The overview of prepared cases: ``cases.tsv``, ``problems.json`` and ``report.html``."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cascade.datasets.axes import centres_mm
from cascade.datasets.base import Options, natural_key
from cascade.datasets.problems import CODES, Problem
from cascade.datasets.records import Record
from cascade.datasets.split import assign_splits, join_patients
from cascade.io.files import replacing
from cascade.labels import in_order
from cascade.notices import count_of
from cascade.volume import FloatArray, LabelMap

TABLE, PROBLEMS, REPORT, PICTURES = "cases.tsv", "problems.json", "report.html", "pictures"
COLUMNS = (
    "dataset",
    "case",
    "patient",
    "split",
    "sequence",
    "shape",
    "spacing_mm",
    "scheme",
    "label_ids",
    "unlabelled",
    "volumes_ml",
    "notes",
)
_SEVERITIES = ("error", "warning", "note")
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --error: #c62828; --warning: #b26a00; --note: #607d8b; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; border-bottom: 1px solid var(--line); }
section { border-top: 2px solid var(--line); margin-top: 2rem; display: flex; flex-wrap: wrap; gap: 1.5rem; }
section img { max-width: 34rem; width: 100%; height: auto; object-fit: contain; align-self: flex-start; margin-top: 1rem; }
section div { flex: 1 1 22rem; } .error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
code { font-weight: 600; }
"""


def problems_of(records: Iterable[Record]) -> tuple[Problem, ...]:
    """Every problem of every case, and images that two cases share; the worst first within a case."""
    records = list(records)
    found = [problem for record in records for problem in record.problems] + _shared_images(records)
    return tuple(sorted(found, key=lambda p: (natural_key(p.case), _SEVERITIES.index(p.severity), p.code, p.text)))


def write_overview(out: Path, records: Sequence[Record], options: Options) -> None:
    """Write table, problems and report; the same records give the same bytes."""
    rows = _rows(records, options)
    problems = problems_of(records)
    with replacing(out / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with replacing(out / PROBLEMS) as temporary:
        temporary.write_text(json.dumps([p.to_dict() for p in problems], indent=1) + "\n", encoding="utf-8")
    with replacing(out / REPORT) as temporary:
        temporary.write_text(_page(rows, problems), encoding="utf-8")


def centreline(labels: LabelMap) -> FloatArray:
    """Centres of the structures from head to foot, (n, 3) in RAS+ mm: the cut of the picture follows them."""
    names = in_order(labels.structures) or list(labels.structures)
    centres = centres_mm(labels)
    return np.array([centres[name] for name in names])


def _done(records: Iterable[Record]) -> list[Record]:
    return sorted((r for r in records if r.state == "done"), key=lambda r: (r.dataset, natural_key(r.case)))


def _rows(records: Iterable[Record], options: Options) -> list[dict[str, str]]:
    """Lines of the table; cases with the same image count as one patient, who is in one split."""
    done = _done(records)
    names = {f"{r.dataset}/{r.case}": r for r in done}
    patients = join_patients({k: r.row["patient"] for k, r in names.items()}, {k: r.image_sha256 for k, r in names.items()})
    splits = assign_splits(patients.values(), options.val_share, options.seed)
    return [r.row | {"patient": patients[key], "split": splits[patients[key]]} for key, r in names.items()]


def _shared_images(records: Iterable[Record]) -> list[Problem]:
    first: dict[str, Record] = {}
    found = []
    for record in _done(records):
        other = first.setdefault(record.image_sha256, record)
        if other is not record:
            found.append(Problem(record.case, "duplicate-patient", f"its image is that of case {other.case} of {other.dataset}"))
    return found


def _page(rows: list[dict[str, str]], problems: tuple[Problem, ...]) -> str:
    cases = {row["case"] for row in rows}
    lost = [p for p in problems if p.case not in cases or p.severity == "error"]
    sections = [_section(row, [p for p in problems if p.case == row["case"]]) for row in rows]
    summary = f"{count_of(len(rows), 'case')}, {count_of(len({row['patient'] for row in rows}), 'patient')}"
    left_out = f"<h2>Left out or left aside</h2>{_table(lost, with_case=True)}" if lost else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Prepared cases</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>Prepared cases</h1><p>{summary}</p>{left_out}\n"
        f"<h2>What the codes mean</h2>{_legend(problems)}\n{''.join(sections)}</body></html>\n"
    )


def _legend(problems: tuple[Problem, ...]) -> str:
    used = {p.code: sum(q.code == p.code for q in problems) for p in problems}
    lines = [
        f'<tr><td class="{code.severity}"><code>{name}</code></td><td>{used[name]}</td><td>{html.escape(code.meaning)}</td></tr>'
        for name, code in CODES.items()
        if name in used
    ]
    return f"<table><tr><th>code</th><th>times</th><th>meaning</th></tr>{''.join(lines)}</table>" if lines else "<p>No problem.</p>"


def _section(row: dict[str, str], problems: list[Problem]) -> str:
    facts = "".join(f"<tr><th>{key}</th><td>{html.escape(row[key])}</td></tr>" for key in COLUMNS if key not in ("case", "notes"))
    name = html.escape(row["case"], quote=True)
    return (
        f'\n<section id="{name}"><img src="{PICTURES}/{name}.png" loading="lazy" alt="sagittal cut of case {name}, plain and labelled">'
        f"<div><h2>{name}</h2><table>{facts}</table>{_table(problems, with_case=False)}</div></section>"
    )


def _table(problems: Sequence[Problem], *, with_case: bool) -> str:
    lines = [
        f"<tr>{f'<td>{html.escape(p.case)}</td>' if with_case else ''}"
        f'<td class="{p.severity}">{p.severity} <code>{p.code}</code></td><td>{html.escape(p.text)}</td></tr>'
        for p in problems
    ]
    return f"<table>{''.join(lines)}</table>" if lines else ""

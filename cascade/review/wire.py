"""What the page is told: plain types, and voxels as NIfTI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade.io.nifti import nifti_bytes
from cascade.labels import BODIES, CANAL, CASCADE_EXTENDED, SACRUM, is_disc
from cascade.measure import as_dict
from cascade.notices import CODES, RANKS, Notice
from cascade.report.picture import display_name, window
from cascade.review.desk import Desk
from cascade.review.edits import Edit
from cascade.review.files import SHOWN, options_of, without_nan
from cascade.review.worker import Worker
from cascade.segmentation import Segmentation
from cascade.terminology import colour_of, description_of

#: The page and its pictures have axes along these.
AXES = "RAS"


def overview(desk: Desk, worker: Worker) -> dict[str, Any]:
    """The list of scans."""
    return {
        "version": desk.version,
        "who": desk.who,
        "left": worker.left,
        "seconds": round(worker.seconds, 1),
        "busy": worker.busy,
        "scans": [_row(desk, worker, key) for key in desk.order()],
    }


def _row(desk: Desk, worker: Worker, key: str) -> dict[str, Any]:
    item, record, progress = desk.items[key], desk.record(key), desk.progress[key]
    confidence = desk.confidence[key]
    at_hand = desk.shelf.peek(key)
    return {
        "id": key,
        "title": item.title,
        "state": record.state,
        "revision": record.revision,
        "kept": record.kept >= record.revision,
        "steps": len(record.history.now.clicks) + len(options_of(record.history.now)) // 2,
        "phase": progress.phase,
        "why": progress.why,
        "fraction": round(worker.fraction(key), 2),
        "working": worker.busy == key,
        "confidence": None if math.isnan(confidence) else round(confidence, 4),
        "warnings": list(desk.warnings(key)),
        "alarms": sum(rank == "alarm" for rank in desk.warnings(key).values()),
        "thumbnail": progress.version if desk.files(key).thumbnail.is_file() else None,
        "atHand": at_hand is not None and at_hand.seen is not None,
    }


def scan_state(desk: Desk, key: str) -> dict[str, Any]:
    """One scan as it is now."""
    record = desk.record(key)
    return _state(desk, key, desk.shown(key), record.history.now) | {"revision": record.revision}


def _state(desk: Desk, key: str, result: Segmentation, edit: Edit) -> dict[str, Any]:
    item, record = desk.item(key), desk.record(key)
    content = without_nan({"levels": [asdict(level) for level in result.levels], "numbering": asdict(result.numbering)})
    return {
        "id": key,
        "title": item.title,
        "state": record.state,
        "who": record.who,
        "when": record.when,
        "note": record.note,
        "structures": [_structure(level) for level in content["levels"]],
        "numbering": {**content["numbering"], "second_best": [display_name(name or "?") for name in result.numbering.second_best]},
        "warnings": [_warning(n, result) for n in sorted(result.warnings, key=lambda n: -RANKS.index(n.rank))],
        "said": {
            "undo": record.history.now.says if record.history.at else "",
            "redo": record.history.moved(1).now.says if record.history.at + 1 < len(record.history.steps) else "",
            "clicks": [[*click.position_mm, display_name(click.structure)] for click in edit.clicks],
            "lowest": edit.numbering.lowest,
            "highest": edit.numbering.highest,
            "count": edit.numbering.count,
        },
        "from": "an earlier run" if item.earlier else "this page",
    }


def preview_state(desk: Desk, key: str, before: Segmentation, result: Segmentation, edit: Edit) -> dict[str, Any]:
    """One scan as it would be, and what would change."""
    return _state(desk, key, result, edit) | {"preview": True, "changes": changes(before, result), "says": edit.says}


def changes(before: Segmentation, after: Segmentation) -> list[str]:
    """In words: which structures come, go, grow or shrink."""
    old, new = ({level.name: level.volume_ml for level in one.levels} for one in (before, after))
    said = [f"{display_name(name)} comes" for name in new if name not in old]
    said += [f"{display_name(name)} goes" for name in old if name not in new]
    for name in (name for name in new if name in old):
        if abs(new[name] - old[name]) >= 0.005:
            said.append(f"{display_name(name)} {new[name] - old[name]:+.2f} ml")
    return said


def _structure(level: dict[str, Any]) -> dict[str, Any]:
    name = level["name"]
    return level | {"text": display_name(name), "what": description_of(name), "value": SHOWN[name], "kind": kind_of(name)}


def kind_of(name: str) -> str:
    """Body, disc or sacrum."""
    return "sacrum" if name == SACRUM else "disc" if is_disc(name) else "body"


def _warning(notice: Notice, result: Segmentation) -> dict[str, Any]:
    places = {level.name: level.centroid_mm for level in result.levels}
    place = places.get(notice.level or "") or _between(notice.level, places) or _end(notice.code, result)
    return {
        "code": notice.code,
        "rank": notice.rank,
        "level": notice.level and display_name(notice.level),
        "text": notice.text,
        "at_mm": place,
    }


def _between(level: str | None, places: dict[str, tuple[float, float, float]]) -> tuple[float, ...] | None:
    """Where a disc would be that was not found."""
    if not level or not is_disc(level):
        return None
    upper, lower = level.split("-")
    ends = [places.get(upper), places.get(SACRUM if lower == "S1" else lower)]
    if ends[0] is None or ends[1] is None:
        return None
    return tuple((a + b) / 2 for a, b in zip(ends[0], ends[1], strict=True))


def _end(code: str, result: Segmentation) -> tuple[float, float, float] | None:
    """Doubts about the names begin at the lower end of the spine."""
    doubt = code in CODES and CODES[code].about == "names"
    return result.levels[-1].centroid_mm if doubt and result.levels else None


def measurements(result: Segmentation) -> list[dict[str, Any]]:
    """The table of measurements."""
    rows: list[dict[str, Any]] = without_nan([as_dict(row) for row in result.measurements])
    return [row | {"text": display_name(row["structure"])} for row in rows]


def vocabulary() -> dict[str, Any]:
    """Names that can be given, numbers and colours."""
    names = [name for name in SHOWN.ids if name != CANAL]
    usual = set(CASCADE_EXTENDED.ids)
    return {
        "structures": [
            {"name": n, "text": display_name(n), "value": SHOWN[n], "kind": kind_of(n), "colour": colour_of(n), "usual": n in usual}
            for n in names
        ],
        "canal": SHOWN[CANAL],
        "bodies": [body for body in BODIES if body in usual],
    }


def scan_bytes(result: Segmentation) -> bytes:
    """The scan as NIfTI, as small as its numbers allow, with the window to show it in."""
    scan = result.scan.reoriented(AXES)
    return nifti_bytes(_smallest(scan.data), scan.grid, window(scan.data))


def _smallest(data: NDArray[np.float32]) -> NDArray[Any]:
    low, high = float(data.min()), float(data.max())
    if low >= -32768 and high <= 32767:
        whole = data.astype(np.int16)
        if (whole == data).all():
            return whole
    return data


def label_bytes(result: Segmentation) -> bytes:
    """The labels as NIfTI."""
    labels = result.labels.reoriented(AXES)
    return nifti_bytes(labels.data, labels.grid, (0.0, 255.0))


def label_box(result: Segmentation) -> tuple[Sequence[int], bytes]:
    """The box that holds all labels (first voxel and shape), and its voxels, x fastest."""
    data = result.labels.reoriented(AXES).data
    filled = [np.flatnonzero(data.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not len(filled[0]):
        return (0, 0, 0, 0, 0, 0), b""
    first, last = [int(f[0]) for f in filled], [int(f[-1]) + 1 for f in filled]
    part = data[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    return (*first, *part.shape), part.astype(np.uint8).tobytes(order="F")


def name_of(file: str) -> str:
    """A dropped file's name as it may stand on the disk: no folders, no surprises."""
    plain_name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in Path(file.replace("\\", "/")).name)
    return plain_name.lstrip(".")[-120:]

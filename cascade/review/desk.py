"""The desk at which scans are reviewed: what may be seen and said of each; the page and its server only show it."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade.cohorts.answers import answer_path, read_answer
from cascade.cohorts.manifest import digest_of
from cascade.errors import InputError, NotAtHandError, NumberingError, ReviewConflictError
from cascade.io.scan import read_scan
from cascade.networks.progress import heard_by
from cascade.networks.spec import CASCADE_STAGES
from cascade.notices import RANKS, Notice, Rank
from cascade.pipeline import Segmenter
from cascade.review.edits import Edit
from cascade.review.files import SHOWN, Files
from cascade.review.items import Item
from cascade.review.records import Record, Records, State, one_line
from cascade.review.shelf import MAX_BYTES, Shelf
from cascade.review.words import Word, edit_of
from cascade.segmentation import Perception, Segmentation

#: Where in the work on a scan each stage begins and ends.
_PARTS = dict(zip(CASCADE_STAGES, ((0.05, 0.25), (0.25, 0.95)), strict=True))


@dataclass
class Progress:
    """How far one scan is.

    Parameters
    ----------
    phase : {"waiting", "working", "ready", "failed"}
    why : str
        What is wrong.
    started : float
        On the monotonic clock, while working.
    share : float
        How much of what the networks do is done.
    version : int
        Of the small picture.
    """

    phase: str = "waiting"
    why: str = ""
    started: float = 0.0
    share: float = 0.0
    version: int = 0


class Desk:
    """All scans of one review.

    Parameters
    ----------
    items : sequence of Item
    folder : Path
        Where everything is written.
    segmenter : callable
        Loads the networks when they are first needed.
    who : str
        Who reviews.
    max_bytes : int
        Of what is at hand.
    """

    def __init__(
        self, items: Sequence[Item], folder: Path, segmenter: Callable[[], Segmenter], *, who: str, max_bytes: int = MAX_BYTES
    ) -> None:
        self.folder, self.who = folder, who
        self.items = {item.id: item for item in items}
        self.records = Records(folder, [item.name for item in items])
        self.shelf = Shelf(max_bytes)
        self.progress = {item.id: Progress("ready" if Files(folder, item).has_automatic() else "waiting") for item in items}
        self.confidence = {item.id: self._known_confidence(item) for item in items}
        self._codes: dict[str, Mapping[str, Rank]] = {}
        self._loaded: Segmenter | None = None
        self._load, self._loading = segmenter, threading.Lock()
        self._locks = {item.id: threading.RLock() for item in items}
        self.changed = threading.Condition()
        self.version, self.said_at = 0, -math.inf

    # ------------------------------------------------------------------------------------------ scans

    def item(self, key: str) -> Item:
        """A scan by what it is called in addresses; InputError if there is none."""
        found = self.items.get(key)
        if found is None:
            raise InputError("there is no such scan")
        return found

    def add(self, item: Item) -> None:
        """Take up one more scan."""
        self.records.add(item.name)
        self._locks[item.id] = threading.RLock()
        self.confidence[item.id] = math.nan
        self.progress[item.id] = Progress()
        self.items = {**self.items, item.id: item}
        self.tell()

    def order(self) -> list[str]:
        """The scans as they are looked at: the least sure first; those that nothing is known about last."""

        def place(key: str) -> tuple[bool, float, int, str]:
            confidence = self.confidence[key]
            waiting = self.progress[key].phase == "waiting"
            return waiting, 1.0 if math.isnan(confidence) else confidence, -len(self.warnings(key)), self.items[key].title

        return sorted(self.items, key=place)

    def files(self, key: str) -> Files:
        """Where a scan's files are."""
        return Files(self.folder, self.item(key))

    def record(self, key: str) -> Record:
        """What is known about a scan."""
        return self.records.read(self.item(key).name)

    def tell(self) -> None:
        """Something has changed that the list shows."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    # ------------------------------------------------------------------------------------------ results

    @property
    def segmenter(self) -> Segmenter:
        """The networks."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def shown(self, key: str) -> Segmentation:
        """What holds now, with every structure.

        Raises
        ------
        NotAtHandError
            It has to be computed first.
        InputError
            Scan or labels cannot be read.
        """
        return self.result(key, self.record(key).history.now)

    def result(self, key: str, edit: Edit) -> Segmentation:
        """What an edit gives; errors as those of `shown`, and NumberingError for what cannot be."""
        with self._locks[self.item(key).id]:
            at_hand = self.shelf.get(key)
            found = at_hand.result(edit)
            if found is None:
                found = self._made(key, edit)
                at_hand.keep(edit, found)
                self.shelf.trim()
            return found

    def _made(self, key: str, edit: Edit) -> Segmentation:
        seen = self.shelf.get(key).seen
        if seen is not None:
            return self.segmenter.name(seen, scheme=SHOWN, numbering=edit.numbering, clicks=edit.clicks)
        if edit or not self.files(key).has_automatic():
            raise NotAtHandError("the networks are reading this scan")
        if problem := self.item(key).problem():
            raise InputError(problem)
        return self.files(key).read_automatic()

    def answer(self, key: str) -> Perception:
        """Have the networks' answer at hand: seconds of work."""
        at_hand = self.shelf.get(key)
        if at_hand.seen is None:
            item = self.item(key)
            if problem := item.problem():
                raise InputError(problem)
            with heard_by(lambda stage, share: self._hear(key, stage, share)):
                seen = self._kept_answer(item) or self.segmenter.perceive(item.image, item.series)
            with self._locks[key]:
                at_hand = self.shelf.get(key)
                at_hand.seen = seen
            self.shelf.trim()
            return seen
        return at_hand.seen

    def _hear(self, key: str, stage: str, share: float) -> None:
        start, end = _PARTS.get(stage, (0.0, 0.95))
        progress = self.progress[key]
        progress.share = max(progress.share, start + (end - start) * share)  # a stage that looks again begins again

    def _kept_answer(self, item: Item) -> Perception | None:
        """What an earlier run has kept with ``--keep-probabilities``, if it is of this scan and these weights."""
        path = answer_path(item.earlier) if item.earlier else None
        if path is None or not path.is_file():
            return None
        scan, weights = read_scan(item.image, item.series), self.segmenter.checkpoint_sha256
        return read_answer(path, scan, digest_of(item.image), weights, self.segmenter.stage2.spec)

    def segment(self, key: str) -> None:
        """Segment a scan, and keep what the networks said."""
        item, files = self.item(key), self.files(key)
        digest = digest_of(item.image)
        self.answer(key)
        result = self.result(key, Edit())
        files.write_automatic(result, digest)
        self.confidence[key] = _confidence(result)

    def draw(self, key: str) -> None:
        """Draw the small picture."""
        self.files(key).write_thumbnail(self.shown(key))
        self.progress[key].version += 1
        self.tell()

    def warnings(self, key: str) -> Mapping[str, Rank]:
        """Codes of the warnings and alarms of a scan's automatic result, with their highest ranks, alarms first; read once."""
        item = self.item(key)
        if item.earlier:
            return ranked(item.warnings)
        if key not in self._codes:
            known = self.files(key).known()
            if not known:
                return {}
            self._codes[key] = ranked(Notice(**notice) for notice in known.get("warnings", ()))
        return self._codes[key]

    def _known_confidence(self, item: Item) -> float:
        value = Files(self.folder, item).known().get("numbering", {}).get("confidence") if item.earlier is None else None
        return math.nan if value is None else float(value)

    # ------------------------------------------------------------------------------------------ what a person says

    def preview(self, key: str, word: Word) -> tuple[Edit, Segmentation]:
        """What a word would change.

        Raises
        ------
        NotAtHandError
            The networks' answer is needed and not there yet.
        NumberingError, InputError
            It contradicts what was found, or what was said before.
        """
        with self._locks[self.item(key).id]:
            if self.shelf.get(key).seen is None:
                raise NotAtHandError("the networks are reading this scan")
            now = self.record(key).history.now
            problem: NumberingError | None = None
            for edit in edit_of(word, now, self.result(key, now), self.shelf.get(key).seen):
                try:
                    return edit, self.result(key, edit)
                except NumberingError as error:
                    problem = problem or error
            raise problem or InputError("nothing to change")

    def say(self, key: str, word: Word, seen: int) -> Record:
        """Correct a scan; errors as those of `preview`, and ReviewConflictError if it was changed meanwhile."""
        record = self._unchanged(key, seen)
        edit, _ = self.preview(key, word)
        return self._change(key, seen, history=record.history.with_step(edit), state="new")

    def move(self, key: str, by: int, seen: int) -> Record:
        """Undo (-1) or redo (1)."""
        record = self._unchanged(key, seen)
        history = record.history.moved(by)
        self.result(key, history.now)
        return self._change(key, seen, history=history, state="new")

    def decide(self, key: str, state: State, note: str, seen: int) -> Record:
        """Accept or reject a scan, or take that back; accepting one with corrections makes it corrected."""
        record = self._unchanged(key, seen)
        if state in ("accepted", "corrected"):
            state = "corrected" if record.history.now else "accepted"
        return self._change(key, seen, state=state, note=one_line(note))

    def _unchanged(self, key: str, seen: int) -> Record:
        record = self.record(key)
        if record.revision != seen:
            raise ReviewConflictError("this scan was changed meanwhile, in another window or by another person; here is how it is now")
        return record

    def _change(self, key: str, seen: int, **fields: Any) -> Record:
        record = self.records.change(self.item(key).name, seen, who=self.who, **fields)
        self.said_at = time.monotonic()
        self.tell()
        return record

    # ------------------------------------------------------------------------------------------ what is kept

    def unkept(self) -> list[str]:
        """Scans whose files do not show their last revision."""
        return [key for key, item in self.items.items() if (record := self.records.read(item.name)).kept < record.revision]

    def keep(self, key: str) -> None:
        """Write the files of a scan's last revision; errors as those of `result`, and OutputError."""
        item, record = self.item(key), self.record(key)
        edit = record.history.now
        if edit or record.state in ("accepted", "corrected"):
            shown = self.result(key, edit)
            self.files(key).keep(self._in_scheme(key, edit, shown), shown, record)
        else:
            self.files(key).forget()
        self.records.mark_kept(item.name, record.revision)
        self.tell()

    def _in_scheme(self, key: str, edit: Edit, shown: Segmentation) -> Segmentation:
        """The result as ``cascade-segment`` would give it with the same clicks, where the networks' answer is at hand."""
        scheme, seen = self.item(key).scheme, self.shelf.get(key).seen
        if seen is not None:
            return self.segmenter.name(seen, scheme=scheme, numbering=edit.numbering, clicks=edit.clicks)
        labels = shown.labels.to_scheme(scheme, lost="drop")
        return dataclasses.replace(shown, labels=labels, levels=tuple(level for level in shown.levels if level.name in labels.scheme))


def ranked(notices: Iterable[Notice]) -> dict[str, Rank]:
    """Codes of warnings and alarms with their highest ranks, alarms first.

    >>> ranked([Notice("few-slices", None, "7"), Notice("body-split", "L2", ""), Notice("missing-body", "L3", "")])
    {'missing-body': 'alarm', 'body-split': 'warning'}
    """
    found: dict[str, Rank] = {}
    for notice in sorted(notices, key=lambda notice: (-RANKS.index(notice.rank), notice.code)):
        if notice.is_for_looking:
            found.setdefault(notice.code, notice.rank)
    return found


def _confidence(result: Segmentation) -> float:
    return float(result.numbering.confidence)

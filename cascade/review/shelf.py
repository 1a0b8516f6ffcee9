"""What is at hand of the scans that were looked at last: bounded, so that a cohort of hundreds fits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from cascade.review.edits import Edit
from cascade.segmentation import Perception, Segmentation

#: Results of one scan that are kept beside the one that is shown: back and forth is instant.
_RESULTS = 4
#: Bytes of scans, probabilities and labels at hand, unless said otherwise.
MAX_BYTES = 2 << 30


@dataclass(eq=False)
class Open:
    """What is at hand of one scan.

    Parameters
    ----------
    seen : Perception or None
        The networks' answer.
    """

    seen: Perception | None = None
    _results: OrderedDict[Any, Segmentation] = field(default_factory=OrderedDict)

    def result(self, edit: Edit) -> Segmentation | None:
        """What an edit gives, if it is at hand."""
        found = self._results.get(edit.key)
        if found is not None:
            self._results.move_to_end(edit.key)
        return found

    def keep(self, edit: Edit, result: Segmentation) -> None:
        """Have a result at hand."""
        self._results[edit.key] = result
        self._results.move_to_end(edit.key)
        while len(self._results) > _RESULTS:
            self._results.popitem(last=False)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, each counted once."""
        arrays: list[NDArray[Any]] = []
        for result in self._results.values():
            arrays += [result.scan.data, result.labels.data, result.spine.probability.data, result.spine.column]
        if self.seen is not None:
            evidence, spine = self.seen.evidence, self.seen.spine
            arrays += [self.seen.scan.data, evidence.probabilities, evidence.automatic.values, spine.probability.data, spine.column]
            arrays += self.seen.drawn.values()
        return sum({id(array): array.nbytes for array in arrays}.values())


class Shelf:
    """The scans that were used last, as many as fit into `max_bytes`, and always the very last one.

    Parameters
    ----------
    max_bytes : int
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._open: OrderedDict[str, Open] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: str) -> Open:
        """What is at hand of a scan; it becomes the last one used."""
        with self._mutex:
            found = self._open.setdefault(key, Open())
            self._open.move_to_end(key)
            return found

    def peek(self, key: str) -> Open | None:
        """The same, without using it."""
        with self._mutex:
            return self._open.get(key)

    def trim(self) -> None:
        """Let go of what has not been used for longest, until the rest fits."""
        with self._mutex:
            total = sum(one.nbytes for one in self._open.values())
            while total > self.max_bytes and len(self._open) > 1:
                _, oldest = self._open.popitem(last=False)
                total -= oldest.nbytes

    @property
    def nbytes(self) -> int:
        """Memory of all that is at hand."""
        with self._mutex:
            return sum(one.nbytes for one in self._open.values())

    def __len__(self) -> int:
        """How many scans are at hand."""
        with self._mutex:
            return len(self._open)

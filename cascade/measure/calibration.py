"""What turns the spread of a number over views of a scan into its error: fitted to reference labels, and read from ``calibration.json``.

``python benchmarks/repeats.py`` fits, checks and writes it. What could not be calibrated is not in there, and gets no error.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping

#: By kind of row and column: by what the spread is multiplied, and the error that is left where there is no spread.
CALIBRATION: Mapping[str, Mapping[str, tuple[float, float]]] = {
    kind: {column: (float(factor), float(floor)) for column, (factor, floor) in columns.items()}
    for kind, columns in json.loads(
        importlib.resources.files("cascade.measure").joinpath("calibration.json").read_text(encoding="utf-8")
    ).items()
}
#: Columns that have an error in at least one kind of row.
CALIBRATED = frozenset(column for columns in CALIBRATION.values() for column in columns)

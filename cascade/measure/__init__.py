"""What people measure on a labelled spine: volumes, heights, angles, signal."""

from cascade.measure.fitted import Fitted
from cascade.measure.gaps import unmeasured
from cascade.measure.marks import Mark, find_marks
from cascade.measure.spine import measure
from cascade.measure.spread import with_spread
from cascade.measure.table import COLUMNS, SD, Measurement, as_dict, combine_tables, numbers, save_table, table

__all__ = [
    "COLUMNS",
    "SD",
    "Fitted",
    "Mark",
    "Measurement",
    "as_dict",
    "combine_tables",
    "find_marks",
    "measure",
    "numbers",
    "save_table",
    "table",
    "unmeasured",
    "with_spread",
]

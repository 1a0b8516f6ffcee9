"""What people measure on a labelled spine: volumes, heights, angles, signal."""

from cascade.measure.gaps import unmeasured
from cascade.measure.marks import Mark, find_marks
from cascade.measure.spine import measure
from cascade.measure.table import COLUMNS, Measurement, combine_tables, numbers, save_table, table

__all__ = ["COLUMNS", "Mark", "Measurement", "combine_tables", "find_marks", "measure", "numbers", "save_table", "table", "unmeasured"]

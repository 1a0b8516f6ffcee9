"""What people measure on a labelled spine: volumes, heights, angles, signal."""

from cascade.measure.spine import measure
from cascade.measure.table import COLUMNS, Measurement, combine_tables, numbers, save_table, table

__all__ = ["COLUMNS", "Measurement", "combine_tables", "measure", "numbers", "save_table", "table"]

"""What people measure on a labelled spine: volumes, heights, angles, signal."""

from cascade.measure.spine import measure
from cascade.measure.table import COLUMNS, Measurement, save_table, table

__all__ = ["COLUMNS", "Measurement", "measure", "save_table", "table"]

"""What people measure on a labelled spine: volumes, heights, angles, signal."""

from cascade.measure.table import COLUMNS, Measurement, measure, save_table, table

__all__ = ["COLUMNS", "Measurement", "measure", "save_table", "table"]

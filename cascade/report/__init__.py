"""What a person looks at: a page for each scan, an index for many, and pictures."""

from cascade.report.page import ReportIndex, save_report

__all__ = ["ReportIndex", "save_report"]

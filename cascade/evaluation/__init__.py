"""Predictions against references: pairing files, scoring structures, figures with confidence intervals, a report.

`docs/evaluate.md` defines every figure.
"""

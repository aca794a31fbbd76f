"""Formulas on arrays: measures, scoring rules, costs, calibration maps and tests; knows no study and no data frame."""

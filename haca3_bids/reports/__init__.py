"""Figures, report pages and tables."""

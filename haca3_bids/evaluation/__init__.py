"""Measures of harmonization: similarity, overlap, reliability, travelling subjects, change over time, site effects."""

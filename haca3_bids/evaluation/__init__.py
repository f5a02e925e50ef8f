"""Measures of how well harmonization works: similarity, overlap, reliability, travellers, change over time."""

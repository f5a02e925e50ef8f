"""Baselines: our own, smaller versions of the harmonization methods in figure 3 of HACA3."""

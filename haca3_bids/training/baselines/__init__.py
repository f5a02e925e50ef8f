"""Baselines: our own, smaller versions of the harmonization methods in figure 3 of HACA3."""

CONFIG = "baseline.json"  # in the folder of a training: its method, sites and contrasts, and the rest of its identity

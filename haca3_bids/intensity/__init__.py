"""Scales of an image: its 95th percentile, its white-matter peak, its background."""

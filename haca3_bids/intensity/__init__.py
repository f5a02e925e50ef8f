"""Intensity scales, background and artifacts of an image."""

"""Nipype nodes: load, call, save."""

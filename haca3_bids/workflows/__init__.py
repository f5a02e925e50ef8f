"""Nipype graphs."""

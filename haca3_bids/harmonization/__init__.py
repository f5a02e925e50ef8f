"""The engine: sources and targets in, harmonized images out."""

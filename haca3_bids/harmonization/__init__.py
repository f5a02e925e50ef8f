"""The engine: images of a session and targets in, harmonized images out."""
